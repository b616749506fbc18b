#!/usr/bin/env bash
# Checks the exported symbols of a build: every one begins with the stem of its file (batcher_decide lives in batcher.c)
# or with the stem of a header whose part the file is (input_add_text lives in input_json.c, a part of input.h), and a file of one instruction set exports exactly one (its install function).
#   check_symbols.sh BUILD_DIR     exit code 1 and one line for each fault
#   check_symbols.sh --self-test   compiles planted faults and sees that they are found
set -euo pipefail
cd "$(dirname "$0")/.."

# symbol:stem pairs that are right all the same
exceptions=" bug:err main:main "

# Exported functions and data of one object, without what compilers add (sanitizers, coverage).
exported() {
    nm --defined-only --extern-only --format=posix "$1" | awk '$2 ~ /^[TDBRVW]$/ && $1 !~ /^_/ { print $1 }'
}

# The longest stem of a header in the file's folder of which the file is a part; the file's own stem where there is none.
module_of() {
    local folder=${1%/*} name stem
    stem=$(basename "$1" .c)
    name=$stem
    while [[ "$name" == *_* ]]; do
        name=${name%_*}
        if [ -f "$folder/$name.h" ]; then
            echo "$name"
            return
        fi
    done
    echo "$stem"
}

# Prints the faults of one object.
check_object() {
    local object=$1 source=$2 stem symbol n=0
    stem=$(basename "$source" .c)
    while read -r symbol; do
        n=$((n + 1))
        case "$symbol" in
        "$stem"*) ;;
        "$(module_of "$source")"_*) ;;
        *) [[ "$exceptions" == *" $symbol:$stem "* ]] || echo "$source exports $symbol, which does not begin with $stem" ;;
        esac
    done < <(exported "$object")
    case "$stem" in
    *_avx2 | *_avxvnni | *_avx512 | *_avx512vnni | *_amx)
        [ "$n" -eq 1 ] || echo "$source exports $n symbols; a file of one instruction set exports one" ;;
    esac
}

# CMake puts engine/base/err.c to CMakeFiles/<target>.dir/engine/base/err.c.o.
check_build() {
    local build=$1 object source n=0 faults=""
    while read -r object; do
        source=${object#*.dir/}
        source=${source%.o}
        n=$((n + 1))
        faults+=$(check_object "$object" "$source" | sed 's/$/\\n/' | tr -d '\n')
    done < <(find "$build" -path '*.dir/*' \( -path '*/engine/*.c.o' -o -path '*/cli/*.c.o' -o -path '*/config/*.c.o' -o -path '*/server/*.c.o' \) \
        -not -path '*/unit/*' -not -path '*/golden/*' -not -path '*/fuzz/*' | sort)
    if [ "$n" -eq 0 ]; then
        echo "$build has no objects; build it first" >&2
        return 1
    fi
    if [ -n "$faults" ]; then
        printf '%b' "$faults" >&2
        return 1
    fi
    echo "symbols: $n objects are in order"
}

# Expects the fault's text from a build with the one file, or success where the text is empty.
expect() {
    local name=$1 code=$2 fault=$3 output status=0
    rm -rf "$folder/t.dir"
    mkdir -p "$folder/t.dir/engine/base"
    printf '%s\n' "$code" | "${CC:-cc}" -x c -c - -o "$folder/t.dir/engine/base/$name.c.o"
    output=$(check_build "$folder" 2>&1) || status=$?
    if [ -z "$fault" ] && [ "$status" -ne 0 ] || [ -n "$fault" ] && [[ "$status" -eq 0 || "$output" != *"$fault"* ]]; then
        echo "self-test of $name failed: '$output'" >&2
        exit 1
    fi
}

self_test() {
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    expect buf 'void buf_add(void) {} int buf; static int other(void) { return 0; } int (*buf_f)(void) = other;' ''
    expect err 'void bug(void) {}' ''
    expect buf 'void bug(void) {}' 'exports bug'
    expect buf 'int limit = 3;' 'exports limit'
    expect buf 'const char *const name = "x";' 'exports name'
    expect buf 'int zero;' 'exports zero'
    expect gemm_avx2 'void gemm_avx2_install(void) {}' ''
    expect gemm_avx2 'void gemm_avx2_install(void) {} void gemm_avx2_more(void) {}' 'exports 2 symbols'
    expect gemm_avx512 'static void f(void) {} void *p(void);' 'exports 0 symbols'
    ! check_build "$folder/nothing" >/dev/null 2>&1 || { echo "self-test: an empty build passed" >&2 && exit 1; }
    echo "self-test: 10 cases as expected"
}

case "${1:-}" in
--self-test) self_test ;;
"")
    echo "usage: $0 BUILD_DIR | --self-test" >&2
    exit 2
    ;;
*) check_build "$1" ;;
esac
