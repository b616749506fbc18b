#!/usr/bin/env bash
# Fuzzes the targets of tests/fuzz one after the other and prints for each: seconds, CPU seconds, executions, edges covered,
# inputs in the corpus, crashes.
#
#   fuzz.sh [SECONDS [TARGET...]]    60 seconds for each target and all targets by default; nice it to spare the machine
#   fuzz.sh --table                  what all runs so far add up to, as in docs/operations.md
#   fuzz.sh --keep                   takes what build/fuzz has found into the tree: the fewest inputs that reach each edge
#                                    become tests/fuzz/corpus, and the runs are added to tests/fuzz/record.tsv
#                                    and to the table in docs/operations.md
#
# Builds the preset `fuzz` (clang). What is found grows in build/fuzz/corpus, and each run is a line of
# build/fuzz/record.tsv (target, seconds, CPU seconds, executions, edges). Words of a format are in
# tests/fuzz/dictionary/TARGET. Time limits are wall-clock times, so they are long; a crash is left in
# build/fuzz/crashes: cut it down (-minimize_crash=1), mend, and put it into tests/fuzz/regression.
set -euo pipefail
cd "$(dirname "$0")/.."
export OPENBLAS_NUM_THREADS=1

record=build/fuzz/record.tsv
kept=tests/fuzz/record.tsv
runs() { cat "$kept" $([ ! -f "$record" ] || echo "$record"); }

# One line for each target: sums, and the most edges.
sums() {
    awk -F'\t' -v OFS='\t' '
        { wall[$1] += $2; cpu[$1] += $3; runs[$1] += $4; if ($5 + 0 > edges[$1] + 0) edges[$1] = $5 }
        END { for (t in runs) printf "%s\t%.0f\t%.1f\t%.0f\t%s\n", t, wall[t], cpu[t], runs[t], edges[t] }' | LC_ALL=C sort
}

keep() {
    for folder in build/fuzz/corpus/*; do
        target=$(basename "$folder")
        fresh=build/fuzz/kept/$target
        rm -rf "$fresh"
        mkdir -p "$fresh" "tests/fuzz/corpus/$target"
        "build/fuzz/tests/$target" -merge=1 -use_counters=0 -timeout=600 -rss_limit_mb=4096 "$fresh" \
            "tests/fuzz/corpus/$target" "$folder" >"build/fuzz/$target.log" 2>&1
        printf '%-24s %5s inputs, %s before\n' "$target" "$(find "$fresh" -type f | wc -l)" \
            "$(find "tests/fuzz/corpus/$target" -type f | wc -l)"
        rm -rf "tests/fuzz/corpus/$target"
        mv "$fresh" "tests/fuzz/corpus/$target"
    done
    runs | sums >build/fuzz/sums.tsv
    mv build/fuzz/sums.tsv "$kept"
    rm -f "$record"
    write_table
}

# The numbers of docs/operations.md from the record, row by row; what a target reads stays as it is.
write_table() {
    # shellcheck disable=SC2016
    awk '
        function grouped(n, out) {
            n = sprintf("%.0f", n)
            for (out = ""; length(n) > 3; n = substr(n, 1, length(n) - 3)) out = "," substr(n, length(n) - 2) out
            return n out
        }
        FNR == NR {
            split($0, f, "\t")
            row[f[1]] = grouped(f[4]) " | " grouped(f[2]) " | " grouped(f[3]) " | " grouped(f[5])
            next
        }
        /^\| `fuzz_/ {
            split($0, cell, " [|] ")
            name = cell[1]
            gsub(/[|` ]/, "", name)
            if (name in row) $0 = cell[1] " | " cell[2] " | " row[name] " |"
        }
        { print }' "$kept" docs/operations.md >build/fuzz/operations.md
    cp build/fuzz/operations.md docs/operations.md
}

case "${1:-}" in
--table)
    # shellcheck disable=SC2016
    runs | sums | awk -F'\t' '
        BEGIN { print "| target | executions | seconds | CPU seconds | edges |\n|---|---|---|---|---|" }
        { printf "| `%s` | %.0f | %.0f | %.0f | %s |\n", $1, $4, $2, $3, $5; a += $4; b += $2; c += $3 }
        END { printf "| all | %.0f | %.0f | %.0f | |\n", a, b, c }'
    exit
    ;;
--keep)
    keep
    exit
    ;;
esac
seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        targets+=("$(basename "$source" .c)")
    done
fi

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${targets[@]}" >/dev/null
mkdir -p build/fuzz/crashes

status=0
TIMEFORMAT='%R %U %S'
printf '%-24s %8s %8s %12s %8s %8s %8s\n' target seconds cpu executions edges inputs crashes
for target in "${targets[@]}"; do
    mkdir -p "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target"
    more=()
    [ -d "tests/fuzz/regression/$target" ] && more+=("tests/fuzz/regression/$target")
    [ -f "tests/fuzz/dictionary/$target" ] && more+=("-dict=tests/fuzz/dictionary/$target")
    log=build/fuzz/$target.log
    times=$({ time "build/fuzz/tests/$target" -max_total_time="$seconds" -timeout=600 -rss_limit_mb=4096 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/crashes/$target-" "build/fuzz/corpus/$target" \
        "tests/fuzz/corpus/$target" "${more[@]}" >"$log" 2>&1; } 2>&1) || status=1
    read -r wall user system <<<"$times"
    cpu=$(awk "BEGIN { print $user + $system }")
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
    inputs=$(find "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" -type f | wc -l)
    crashes=$(find build/fuzz/crashes -name "$target-*" -not -name '*-slow-unit-*' | wc -l)
    printf '%s\t%s\t%s\t%s\t%s\n' "$target" "$wall" "$cpu" "${executions:-0}" "${edges:-0}" >>"$record"
    printf '%-24s %8s %8s %12s %8s %8s %8s\n' "$target" "$wall" "$cpu" "${executions:--}" "${edges:--}" "$inputs" "$crashes"
done
exit $status
