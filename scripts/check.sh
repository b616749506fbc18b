#!/usr/bin/env bash
# Everything a change must pass, in one command: format, layers, symbols, sanitizers, all tests. What CI runs too.
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=$(($(nproc) + 1)) # many tests wait more than they compute

step() { printf '\n== %s\n' "$*"; }

step "format"
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror

step "layers"
python3 scripts/check_layers.py --self-test
python3 scripts/check_layers.py
scripts/check_symbols.sh --self-test
python3 scripts/check_elf.py --self-test
python3 scripts/check_names.py --self-test
python3 scripts/check_names.py
python3 scripts/check_docs.py --self-test
python3 scripts/check_docs.py
python3 scripts/check_sizes.py --self-test
python3 scripts/check_sizes.py

step "python (scripts/test.sh installs ruff and mypy)"
.venv-lint/bin/ruff check
.venv-lint/bin/mypy
(cd clients/python && ../../.venv-lint/bin/mypy --strict --ignore-missing-imports minivlm_client)

step "address and undefined-behaviour sanitizers: unit, golden, fuzz regressions, chaos"
cmake --preset asan >/dev/null
cmake --build --preset asan
ctest --preset asan -L address -j "$jobs"

step "thread sanitizer: everything with threads"
cmake --preset tsan >/dev/null
cmake --build --preset tsan --target threads
ctest --preset tsan -L threads -j "$jobs"

step "release: all tests"
cmake --preset release -DMINIVLM_TRAINING_TESTS="${TRAINING_TESTS:-0}" \
    -DMINIVLM_CLIENT_TESTS="${CLIENT_TESTS:-0}" >/dev/null
cmake --build --preset release
scripts/check_symbols.sh build/release
python3 scripts/check_elf.py build/release/minivlm-server build/release/minivlm
ctest --preset release -LE long -j "$jobs"
