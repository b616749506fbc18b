#!/usr/bin/env bash
# Takes the README's picture of the page, docs/images/page.png, from the service and the model in the repository: run it
# again when the page or the model has changed (PHOTO=docs/photos/coffee.jpg QUESTION='what is it?' choose others). Needs scripts/install_deps.sh test, npm's registry and pngquant.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v pngquant >/dev/null || {
    echo "screenshot: pngquant is missing: apt-get install pngquant" >&2
    exit 1
}
cmake --preset release >/dev/null
cmake --build --preset release --target minivlm-server
tests/browser/install.sh build/release
MINIVLM_BUILD_DIR=build/release BROWSER_PLACE=build/release/browser node tests/browser/screenshot.mjs
pngquant --force --strip --speed 1 --quality 60-95 --output docs/images/page.png build/release/browser/shots/readme.png
ls -l docs/images/page.png
