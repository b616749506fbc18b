#!/usr/bin/env bash
# Line coverage of engine, server and config by the unit, golden, fuzz-replay and end-to-end tests (preset coverage).
#
#   coverage.sh [CTEST-ARGUMENT...]    for instance -L unit; default: unit, golden, fuzz, e2e
#
# Prints the files by how many lines are not covered, and the total; build/coverage/coverage.txt keeps it. Needs
# scripts/install_deps.sh analysis. Left out are server/sandbox, as gcov writes files at the end (it is tested in the
# release build), and the library of kernels, whose counts gcovr 5.2 cannot read (tests/unit/engine/kernels hold each
# kernel against plain C).
set -euo pipefail
cd "$(dirname "$0")/.."

arguments=("$@")
[ ${#arguments[@]} -gt 0 ] || arguments=(-L 'unit|golden|fuzz|e2e')
cmake --preset coverage >/dev/null
cmake --build --preset coverage >/dev/null
find build/coverage -name '*.gcda' -delete
E2E_PATIENCE=${E2E_PATIENCE:-4} ctest --preset coverage "${arguments[@]}" -LE long || echo "some tests failed; see above"
gcovr --gcov-ignore-parse-errors --exclude-directories '.*minivlm_kernels.*' --root . --object-directory build/coverage \
    --filter 'engine/' --filter 'server/' --filter 'config/' --exclude 'server/sandbox/' --sort-uncovered \
    --txt build/coverage/coverage.txt build/coverage
cat build/coverage/coverage.txt
