#!/usr/bin/env bash
# Static analysis beyond the compilers: cppcheck over everything, clang-tidy (.clang-tidy) over what is named or changed.
#
#   lint.sh               cppcheck on all sources, clang-tidy on those that differ from origin/main (or main)
#   lint.sh --all         clang-tidy on all sources too (minutes)
#   lint.sh FILE.c...     both on these
#
# Exit code 1 when something is found. Needs scripts/install_deps.sh analysis.
set -euo pipefail
cd "$(dirname "$0")/.."

base=$(git rev-parse -q --verify origin/main || git rev-parse -q --verify main || git rev-parse HEAD)
case "${1:-}" in
--all)
    mapfile -t all < <(git ls-files 'engine/*.c' 'server/*.c' 'config/*.c' 'cli/*.c')
    tidy=("${all[@]}")
    ;;
"")
    mapfile -t all < <(git ls-files 'engine/*.c' 'server/*.c' 'config/*.c' 'cli/*.c')
    mapfile -t tidy < <(git diff --name-only --diff-filter=d "$base" -- 'engine/*.c' 'server/*.c' 'config/*.c' 'cli/*.c')
    ;;
*)
    all=("$@")
    tidy=("$@")
    ;;
esac

# Left out, because cppcheck 2.10 is wrong here: uninitialised variables (it takes the elements of a TAILQ for fresh ones;
# the compilers and valgrind look for these) and the syntax of variadic macros that it does not expand.
cppcheck --quiet --std=c11 --language=c --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
    --suppress=missingIncludeSystem --suppress='*:/usr/include/*' --suppress=uninitvar \
    --suppress=syntaxError --suppress=unknownMacro --suppress=internalAstError -D_GNU_SOURCE -D__x86_64__ -I. -j "$(nproc)" "${all[@]}"
echo "cppcheck: ${#all[@]} files are clean"

if [ ${#tidy[@]} -gt 0 ]; then
    cmake --preset dev >/dev/null
    # Kernels of another machine are not compiled here.
    mapfile -t tidy < <(printf '%s\n' "${tidy[@]}" | grep -Ff <(grep -o '"file": ".*"' build/dev/compile_commands.json |
        sed "s|\"file\": \"$PWD/||; s|\"\$||") -x)
fi
if [ ${#tidy[@]} -gt 0 ]; then
    printf '%s\0' "${tidy[@]}" | xargs -0 -P "$(nproc)" -n 4 clang-tidy -p build/dev --quiet --warnings-as-errors='*' 2>/dev/null
    echo "clang-tidy: ${#tidy[@]} files are clean"
fi
