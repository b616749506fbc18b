#!/usr/bin/env bash
# The page in Debian's Chromium: run.sh BUILD_DIR [options of node --test]. Packages are installed into BUILD_DIR/browser,
# screenshots lie in BUILD_DIR/browser/shots afterwards.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
shift
place=$build/browser

fail() {
    echo "browser tests: $*" >&2
    exit 1
}

for program in node npm chromium; do
    command -v "$program" >/dev/null || fail "$program is missing: scripts/install_deps.sh test installs it"
done
mkdir -p "$place"
if ! cmp -s "$here/package-lock.json" "$place/installed.json"; then
    cp "$here/package.json" "$here/package-lock.json" "$place/"
    (cd "$place" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --ignore-scripts --loglevel=error) ||
        fail "npm could not install playwright-core and axe-core: the package registry must be reachable (npm config get" \
            "registry says which it is)"
    cp "$here/package-lock.json" "$place/installed.json"
fi
rm -rf "$place/shots"
mkdir -p "$place/shots"
MINIVLM_BUILD_DIR=$build BROWSER_PLACE=$place exec node --test "$@" "$here"/test_*.mjs
