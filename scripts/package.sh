#!/usr/bin/env bash
# Builds the Debian packages and tries them in a bare Debian 12 root.
#
#   package.sh build   build/package/*.deb
#   package.sh check   what is in them (tests/e2e/test_package.py)
#   package.sh try     installs, starts, asks, upgrades, removes and purges them in a fresh root, as root
#   package.sh test    all three
#
# DEBFULLNAME and DEBEMAIL name who answers for the packages.
set -euo pipefail
cd "$(dirname "$0")/.."
out=build/package
port=${PORT:-18091}

fail() {
    echo "package test: $*" >&2
    exit 1
}

build() {
    scripts/install_deps.sh package
    scripts/fetch_viewer.sh
    cmake --preset release -B "$out" -DMINIVLM_TESTS=OFF >/dev/null
    cmake --build "$out"
    rm -f "$out"/*.deb
    (cd "$out" && cpack -G DEB >cpack.log 2>&1) || fail "cpack: $(tail -20 "$out/cpack.log")"
    ls -l "$out"/*.deb
}

check() {
    MINIVLM_BUILD_DIR=$PWD/$out python3 tests/e2e/test_package.py
}

# The unit's own command line, as a user without rights and without new code (MemoryDenyWriteExecute, Linux 6.3), since
# there is no systemd in a root that nobody boots.
no_new_code='import ctypes, os, sys; p = ctypes.CDLL(None).prctl; p(38, 1, 0, 0, 0); p(65, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])'
ask() {
    local root=$1 log=$2 command pid
    command=$(sed -n 's/^ExecStart=//p' "$root/lib/systemd/system/minivlm-server.service")
    # shellcheck disable=SC2086 # a word each
    python3 -c "$no_new_code" chroot --userspec=65534:65534 "$root" $command --server.port="$port" 2>"$log" &
    pid=$!
    for _ in $(seq 300); do
        curl -fs "localhost:$port/readyz" >/dev/null && break
        kill -0 $pid 2>/dev/null || fail "it died: $(cat "$log")"
        sleep 0.1
    done
    curl -fs --data-binary @docs/photos/cat.jpg "localhost:$port/caption" | grep '"caption":"[a-z]' || fail "no caption"
    kill -TERM $pid
    wait $pid || fail "exit code $?"
}

try() {
    scripts/install_deps.sh container
    root=$(mktemp -d)
    log=$(mktemp)
    # shellcheck disable=SC2064 # the values of now
    trap "umount -l '$root/proc' 2>/dev/null; rm -rf --one-file-system '$root' '$log'" EXIT
    chmod 755 "$root"
    scripts/debian_root.sh "$root" --variant=minbase --include=systemd,man-db
    mount --bind /proc "$root/proc" # the command line finds the model beside itself
    cp "$out"/*.deb "$root/root/"
    in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
    in_root sh -c 'apt-get update -q && apt-get install -y -q --no-install-recommends /root/*.deb' >"$log" 2>&1 ||
        fail "$(tail -5 "$log")"
    in_root systemctl is-enabled minivlm-server.service || fail "the unit is not enabled"
    in_root systemd-analyze verify --man=no /lib/systemd/system/minivlm-server.service || fail "the unit is not valid"
    in_root systemd-analyze security --offline=true --threshold=20 /lib/systemd/system/minivlm-server.service | tail -1 ||
        fail "the unit is exposed"
    in_root minivlm-server --config /etc/minivlm-server/config.json --check-config
    cp docs/photos/cat.jpg "$root/root/"
    in_root sh -c 'cd / && minivlm caption /root/cat.jpg' || fail "the command line has no caption"
    in_root sh -c 'man --warnings -l /usr/share/man/man1/minivlm.1* >/dev/null && man --warnings -l /usr/share/man/man8/minivlm-server.8* >/dev/null' ||
        fail "manual pages"
    in_root bash -n /usr/share/bash-completion/completions/minivlm
    in_root bash -n /usr/share/bash-completion/completions/minivlm-server
    grep -q 'non-commercial' "$root/usr/share/doc/minivlm-model-base/copyright" || fail "no licence beside the weights"
    ask "$root" "$log"
    # An upgrade keeps what the operator changed.
    sed -i 's/8080/9090/' "$root/etc/minivlm-server/config.json"
    in_root sh -c 'dpkg -i --force-confdef --force-confold /root/*.deb' >"$log" 2>&1 || fail "upgrade: $(tail -5 "$log")"
    grep -q 9090 "$root/etc/minivlm-server/config.json" || fail "the upgrade overwrote the configuration"
    in_root dpkg -r minivlm-server minivlm-model-base >"$log" 2>&1 || fail "remove: $(tail -5 "$log")"
    [ -e "$root/etc/minivlm-server/config.json" ] || fail "removing took the configuration along"
    # Installed again, it is enabled again, unless the operator had disabled it.
    in_root sh -c 'dpkg -i /root/*.deb' >"$log" 2>&1 || fail "reinstallation: $(tail -5 "$log")"
    in_root systemctl is-enabled minivlm-server.service || fail "not enabled after the reinstallation"
    in_root systemctl disable minivlm-server.service 2>"$log" || fail "$(cat "$log")"
    in_root sh -c 'dpkg -i /root/*.deb' >"$log" 2>&1 || fail "second upgrade: $(tail -5 "$log")"
    in_root systemctl is-enabled minivlm-server.service && fail "the upgrade enabled what the operator had disabled"
    in_root dpkg -P minivlm-server minivlm-model-base >"$log" 2>&1 || fail "purge: $(tail -5 "$log")"
    find "$root" -xdev -name '*minivlm*' -not -path "$root/root/*" -not -path "$root/var/cache/*" \
        -not -path "$root/var/lib/apt/*" -not -path "$root/var/log/*" | grep . && fail "this is left after the purge"
    echo "package test: passed"
}

case "${1:-}" in
build) build ;;
check) check ;;
try) try ;;
test)
    build
    check
    try
    ;;
*)
    sed -n '2,9s/^# \?//p' "$0" >&2
    exit 2
    ;;
esac
