#!/usr/bin/env bash
# Fuzzes every target of tests/fuzz in turn, at idle priority, and prints for each: seconds, those of a processor,
# executions, edges covered, inputs in the corpus, crashes.
#
#   fuzz.sh [SECONDS [TARGET...]]    60 seconds a target and all targets by default
#   fuzz.sh --table                  what all runs so far add up to, as in docs/operations.md
#
# Builds the preset `fuzz` (clang). What is found grows in build/fuzz/corpus, and each run is a line of
# build/fuzz/record.tsv; both are kept. Time-outs are of the wall, so at idle priority they are long; a crash is left in
# build/fuzz/crashes: cut it down (-minimize_crash=1), mend, and put it to tests/fuzz/regression.
# Inputs worth keeping: build/fuzz/tests/TARGET -merge=1 tests/fuzz/corpus/TARGET build/fuzz/corpus/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."

record=build/fuzz/record.tsv
if [ "${1:-}" = --table ]; then
    # shellcheck disable=SC2016
    sort "$record" | awk -F'\t' '
        function row(name, n, s, c, e) { printf "| %s | %.0f | %.0f | %.1f | %s |\n", name, n, s, c, e }
        { if (!($1 in runs)) names[++n] = $1
          runs[$1] += $4; wall[$1] += $2; cpu[$1] += $3; if ($5 + 0 > edges[$1] + 0) edges[$1] = $5 }
        END { print "| target | executions | seconds | of a processor | edges |\n|---|---|---|---|---|"
              for (i = 1; i <= n; i++) { t = names[i]; row("`" t "`", runs[t], wall[t], cpu[t], edges[t])
                                         a += runs[t]; b += wall[t]; c += cpu[t] }
              row("all", a, b, c, "") }'
    exit
fi
seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        targets+=("$(basename "$source" .c)")
    done
fi

cmake --preset fuzz >/dev/null
nice -n 19 cmake --build --preset fuzz --target "${targets[@]}" >/dev/null
mkdir -p build/fuzz/crashes

status=0
TIMEFORMAT='%R %U %S'
printf '%-24s %8s %8s %12s %8s %8s %8s\n' target seconds cpu executions edges inputs crashes
for target in "${targets[@]}"; do
    mkdir -p "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target"
    regressions=()
    [ -d "tests/fuzz/regression/$target" ] && regressions=("tests/fuzz/regression/$target")
    log=build/fuzz/$target.log
    times=$({ time chrt -i 0 nice -n 19 "build/fuzz/tests/$target" -max_total_time="$seconds" -timeout=600 \
        -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="build/fuzz/crashes/$target-" \
        "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" "${regressions[@]}" >"$log" 2>&1; } 2>&1) || status=1
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
