#!/usr/bin/env bash
# The page in Debian's Chromium: run.sh BUILD_DIR [options of node --test]. Screenshots lie in BUILD_DIR/browser/shots
# afterwards.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
shift
"$here/install.sh" "$build"
MINIVLM_BUILD_DIR=$build BROWSER_PLACE=$build/browser exec node --test "$@" "$here"/test_*.mjs
