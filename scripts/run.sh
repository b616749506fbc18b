#!/usr/bin/env bash
# Installs what is missing, builds the release and starts the service with the model in the repository.
# Further arguments go to the server: scripts/run.sh --server.port=9000
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_deps.sh build
scripts/fetch_viewer.sh
cmake --preset release >/dev/null
cmake --build --preset release --target minivlm-server minivlm

# OpenBLAS would start one helper thread a CPU before main(); the engine brings its own threads.
export OPENBLAS_NUM_THREADS=1
exec build/release/minivlm-server --model.dir=models/minivlm-base "$@"
