#!/usr/bin/env bash
# Checks the exported symbols of a build: every one is the stem of its file or begins with it and _ (batcher_decide lives in
# batcher.c), or with the stem of a header whose part the file is (input_add_text lives in input_json.c, a part of input.h),
# and a file of one instruction set exports exactly one (its install function). Nothing is exported for nobody, and nothing is there
# for the tests only.
#   check_symbols.sh BUILD_DIR     exit code 1 and one line for each fault
#   check_symbols.sh --self-test   compiles planted faults and sees that they are found
set -euo pipefail
cd "$(dirname "$0")/.."

# prefix:stem pairs that are right all the same: other objects that live in a file, and the one function without a prefix
exceptions=" bug:err errbuf:err preprocessor:preprocess collections:collection "
# Symbols that only tests use: memory is counted, and fails, at their command.
for_tests="mem_count mem_fail_after mem_live_bytes "

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
        "$stem" | "$stem"_*) ;;
        "$(module_of "$source")"_*) ;;
        *) [[ "$exceptions" == *" ${symbol%%_*}:$stem "* ]] || echo "$source exports $symbol, which does not begin with ${stem}_" ;;
        esac
    done < <(exported "$object")
    if [[ "$source" == engine/kernels/*/* && "$n" -ne 1 ]]; then
        echo "$source exports $n symbols; a file of one instruction set exports one"
    fi
}

# The objects of the programs in a build.
objects_of() {
    find "$1" -path '*.dir/*' \( -path '*/engine/*.c.o' -o -path '*/cli/*.c.o' -o -path '*/config/*.c.o' -o -path '*/server/*.c.o' \) \
        -not -path '*/unit/*' -not -path '*/golden/*' -not -path '*/fuzz/*' | sort
}

# Prints what a build exports and no other object of it needs, unless the file itself uses it and the tests do as well.
# ROOT has the sources and tests.
check_users() {
    local build=$1 root=$2 objects symbol object source
    mapfile -t objects < <(objects_of "$build")
    while read -r symbol object; do
        source=${object#*.dir/}
        source=${source%.o}
        if [ "$(grep -v '^ *\(/\*\|\*\)' "$root/$source" | grep -ow "$symbol" | wc -l)" -lt 2 ]; then
            echo "$source exports $symbol, which no program uses"
        elif ! grep -rqw "$symbol" "$root/tests"; then
            echo "$source exports $symbol, which nobody else uses: make it static"
        fi
    done < <(join -v1 <(for object in "${objects[@]}"; do exported "$object" | sed "s#\$# $object#"; done | sort) \
        <(nm --undefined-only --format=posix "${objects[@]}" | awk 'NF > 1 { print $1 }' | sort -u) |
        grep -vE "^(${for_tests// /|}main) ")
}

# CMake puts engine/base/err.c to CMakeFiles/<target>.dir/engine/base/err.c.o.
check_build() {
    local build=$1 object source n=0 faults=""
    while read -r object; do
        source=${object#*.dir/}
        source=${source%.o}
        n=$((n + 1))
        faults+=$(check_object "$object" "$source" | sed 's/$/\\n/' | tr -d '\n')
    done < <(objects_of "$build")
    if [ "$n" -gt 1 ]; then
        faults+=$(check_users "$build" . | sed 's/$/\\n/' | tr -d '\n')
    fi
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

# Expects the fault's text from a build with the one file, in this folder of engine, or success where the text is empty.
expect() {
    local name=$1 code=$2 fault=$3 at=engine/${4:-base} output status=0
    rm -rf "$folder/t.dir"
    mkdir -p "$folder/t.dir/$at"
    printf '%s\n' "$code" | "${CC:-cc}" -x c -c - -o "$folder/t.dir/$at/$name.c.o"
    output=$(check_build "$folder" 2>&1) || status=$?
    if [ -z "$fault" ] && [ "$status" -ne 0 ] || [ -n "$fault" ] && [[ "$status" -eq 0 || "$output" != *"$fault"* ]]; then
        echo "self-test of $name failed: '$output'" >&2
        exit 1
    fi
}

# Expects the fault's text, or none, from a build of err.c and buf.c with the given text. A test mentions err_tested.
expect_users() {
    local fault=$3 output name
    rm -rf "$folder/t.dir" "$folder/source"
    mkdir -p "$folder/t.dir/engine/base" "$folder/source/engine/base" "$folder/source/tests"
    printf '%s\n' "$1" >"$folder/source/engine/base/err.c"
    printf '%s\n' "$2" >"$folder/source/engine/base/buf.c"
    echo 'err_tested buf_used buf_p p' >"$folder/source/tests/test.c"
    for name in err buf; do
        "${CC:-cc}" -c "$folder/source/engine/base/$name.c" -o "$folder/t.dir/engine/base/$name.c.o"
    done
    output=$(check_users "$folder" "$folder/source" | grep -v '^engine/base/buf.c' || true)
    if [ -z "$fault" ] && [ -n "$output" ] || [[ "$output" != *"$fault"* ]]; then
        echo "self-test of users failed: '$output' for '$fault'" >&2
        exit 1
    fi
}

self_test() {
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    expect buf 'void buf_add(void) {} int buf; static int other(void) { return 0; } int (*buf_f)(void) = other;' ''
    expect err 'void bug(void) {}' ''
    expect err 'void errbuf_text(void) {}' ''
    expect err 'void errata(void) {}' 'exports errata'
    expect buf 'void buffer_add(void) {}' 'exports buffer_add'
    expect buf 'void bug(void) {}' 'exports bug'
    expect buf 'int limit = 3;' 'exports limit'
    expect buf 'const char *const name = "x";' 'exports name'
    expect buf 'int zero;' 'exports zero'
    expect gemm_avx2 'void gemm_avx2_install(void) {}' '' kernels/x86
    expect gemm_avx2 'void gemm_avx2_install(void) {} void gemm_avx2_more(void) {}' 'exports 2 symbols' kernels/x86
    expect gemm_avx512 'static void f(void) {} void *p(void);' 'exports 0 symbols' kernels/x86
    expect gemm8_neondot 'void gemm8_neondot_install(void) {} int gemm8_neondot;' 'exports 2 symbols' kernels/arm
    ! check_build "$folder/nothing" >/dev/null 2>&1 || { echo "self-test: an empty build passed" >&2 && exit 1; }
    expect_users 'void err_used(void) {}' 'void err_used(void); void buf_used(void) { err_used(); } void *p = buf_used;' ''
    expect_users 'void err_used(void) {}' '' 'exports err_used, which no program uses'
    expect_users 'void err_used(void) {}' '/* err_used */' 'exports err_used, which no program uses'
    expect_users 'void err_own(void) {} static void f(void) { err_own(); } void *err_p = f;' \
        'extern void *err_p; static void *g(void) { return err_p; } void *buf_p = g;' 'exports err_own, which nobody else uses'
    expect_users 'void err_tested(void) {} static void f(void) { err_tested(); } void *err_p = f;' \
        'extern void *err_p; static void *g(void) { return err_p; } void *(*buf_p)(void) = g;' ''
    echo "self-test: 19 cases as expected"
}

case "${1:-}" in
--self-test) self_test ;;
"")
    echo "usage: $0 BUILD_DIR | --self-test" >&2
    exit 2
    ;;
*) check_build "$1" ;;
esac
