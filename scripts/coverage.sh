#!/usr/bin/env bash
# Line coverage of engine, server and config (preset coverage): the unit and golden tests, the replay of the fuzz corpora and
# those end-to-end tests that go through the most code.
#
#   coverage.sh [CTEST-ARGUMENT...]    fewer of these tests, for instance -L unit
#
# Prints the files by how many lines are not covered, then the sum of each folder and of all; build/coverage/coverage.txt
# keeps it. A test that fails or takes longer than ten minutes is named, and the rest counts. Needs
# scripts/install_deps.sh analysis.
#
# Left out are server/sandbox, because gcov writes files at the end (its tests run in the release build), and
# engine/kernels, which is built without counters, as its loops would take most of the time (each kernel is compared with
# plain C in tests/unit/engine/kernels).
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=$(($(nproc) + 1))
arguments=("$@")
if [ ${#arguments[@]} -eq 0 ]; then
    end_to_end='adapters|addresses|answers|cli|clients|collections|conduct|connections|keys|lifecycle|page|routes'
    # test_gate_sim simulates hours of a gate that test_gate covers
    arguments=(-R "^(unit|golden|fuzz)/|^e2e/test_($end_to_end)\.py" -E 'unit/engine/kernels/|test_gate_sim')
fi
mapfile -t targets < <(
    find tests/unit -name 'test_*.c' -not -path '*/kernels/*' | sed 's|tests/unit/||; s|/|_|g; s|\.c$||'
    basename -s .c tests/golden/test_*.c | sed 's|^|golden_|'
    basename -s .c tests/fuzz/fuzz_*.c
)
cmake --preset coverage >/dev/null
cmake --build --preset coverage --target minivlm-server minivlm "${targets[@]}"
find build/coverage -name '*.gcda' -delete
OPENBLAS_NUM_THREADS=1 E2E_PATIENCE=${E2E_PATIENCE:-4} ctest --preset coverage "${arguments[@]}" -LE long -j "$jobs" \
    --timeout 600 --output-on-failure >build/coverage/tests.log || grep -A 100 'tests FAILED' build/coverage/tests.log || true
gcovr -j "$jobs" --gcov-ignore-parse-errors --exclude-directories '.*minivlm_kernels.*' --root . \
    --object-directory build/coverage --filter 'engine/' --filter 'server/' --filter 'config/' --exclude 'server/sandbox/' \
    --exclude 'engine/kernels/' --sort-uncovered --txt build/coverage/files.txt --csv build/coverage/files.csv build/coverage
{
    cat build/coverage/files.txt
    awk -F, 'NR > 1 { folder = $1; sub("/[^/]*$", "", folder); lines[folder] += $2; covered[folder] += $3
                      all += $2; all_covered += $3 }
             END { for (f in lines) printf "%-28s %6d lines %6.1f %%\n", f, lines[f], 100 * covered[f] / lines[f] | "sort"
                   close("sort"); printf "%-28s %6d lines %6.1f %%\n", "all", all, 100 * all_covered / all }' \
        build/coverage/files.csv
} | tee build/coverage/coverage.txt
