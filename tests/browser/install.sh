#!/usr/bin/env bash
# install.sh BUILD_DIR: what the tests of the page need from npm, into BUILD_DIR/browser; does nothing when it is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
place=$1/browser

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
        fail "npm could not install playwright-core and axe-core; its registry must be reachable (npm config get registry)"
    cp "$here/package-lock.json" "$place/installed.json"
fi
rm -rf "$place/shots"
mkdir -p "$place/shots"
