#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests.
#   --training   also the tests of the PyTorch reference and the training pipeline (installs PyTorch into .venv)
set -euo pipefail
cd "$(dirname "$0")/.."

training=0
for argument in "$@"; do
    case "$argument" in
    --training) training=1 ;;
    *)
        echo "usage: $0 [--training]" >&2
        exit 2
        ;;
    esac
done

scripts/install_deps.sh test
if [ "$training" = 1 ]; then
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/pip install -q --disable-pip-version-check -r scripts/requirements-reference.txt \
        -r scripts/train/requirements.txt
fi
TRAINING_TESTS=$training exec scripts/check.sh
