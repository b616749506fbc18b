#!/usr/bin/env bash
# Fetches Swagger UI, which the build compiles into the service for /docs, into build/viewer: by the version and hash in
# scripts/requirements-viewer.txt, from the package index that pip is configured for. Does nothing when it is there.
# Nothing depends on it: without a network, /docs is a short page that says how to add it.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=scripts/requirements-viewer.txt
place=build/viewer
files=(swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt swagger-ui.css)

cmp -s "$wanted" "$place/$(basename "$wanted")" && exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --retries 1 --timeout 20 \
    --require-hashes --requirement "$wanted" --dest "$folder" 2>"$folder/log"; then
    grep ERROR "$folder/log" >&2 || true
    echo "fetch_viewer: no viewer for /docs (it needs python3-pip and the package index); the build goes on without it" >&2
    exit 0
fi
python3 -m zipfile -e "$folder"/*.whl "$folder/wheel"
rm -rf "$place"
mkdir -p "$place"
for file in "${files[@]}"; do
    find "$folder/wheel" -path "*/swagger-ui-dist/$file" -exec cp {} "$place/" \;
done
cp "$wanted" "$place/" # last: everything before it is there
