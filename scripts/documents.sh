#!/usr/bin/env bash
# What the documents show of the model and its speed, made anew: the answers behind the commands, docs/figures/*.json (speed
# from the last comparison in SPEED.md) and docs/images. Run it when the model, the page or SPEED.md has changed.
#   --log LOG    also the training curves, from the log.jsonl of scripts/train
#   --no-page    not the screenshot of the page, which needs npm's registry and pngquant
set -euo pipefail
cd "$(dirname "$0")/.."

page=1
options=()
while [ $# -gt 0 ]; do
    case "$1" in
    --no-page) page=0 ;;
    --log) options+=(--log "$2") && shift ;;
    *)
        echo "usage: $0 [--log LOG] [--no-page]" >&2
        exit 2
        ;;
    esac
    shift
done
cmake --preset release >/dev/null
cmake --build --preset release --target minivlm-server minivlm
PYTHONPATH=scripts:tests/e2e OPENBLAS_NUM_THREADS=1 python3 -m documents ${options[@]+"${options[@]}"}
[ "$page" = 0 ] || scripts/screenshot.sh
