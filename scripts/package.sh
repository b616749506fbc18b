#!/usr/bin/env bash
# Builds the Debian packages and tries them in a bare Debian 12 root.
#
#   package.sh build   build/package/*.deb
#   package.sh check   what is in them (tests/e2e/test_package.py)
#   package.sh try     installs, starts, asks, upgrades, removes and purges them in a fresh root, as root: one that
#                      systemd boots (systemd-nspawn) where this machine allows it
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

# Boots the root: systemd is its PID 1, and it has a network of its own. False where this machine forbids it.
init=''
boot() {
    systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --private-network --console=pipe \
        </dev/null >"$log" 2>&1 &
    nspawn=$!
    for _ in $(seq 100); do
        init=$(pgrep -P $nspawn) && in_root systemctl is-system-running --wait >/dev/null 2>&1 && return
        kill -0 $nspawn 2>/dev/null || break
        sleep 0.1
    done
    halt
    return 1
}

# The first signal asks for a shutdown, the second ends it at once.
halt() {
    [ -n "${nspawn:-}" ] || return 0
    kill $nspawn 2>/dev/null && sleep 1 && kill $nspawn 2>/dev/null
    wait $nspawn 2>/dev/null || true
    nspawn=''
    init=''
}

# Runs a command in the root, booted or not.
in_root() {
    local enter=(chroot "$root")
    [ -z "$init" ] || enter=(nsenter --target "$init" --all)
    "${enter[@]}" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}

# Installs the packages again or anew: the configuration stays what the operator made of it.
install_again() {
    in_root sh -c 'dpkg -i --force-confdef --force-confold /root/*.deb' >"$log" 2>&1 || fail "$1: $(tail -5 "$log")"
}

# A process that systemd does not start still runs as a user without rights and without new code (MemoryDenyWriteExecute,
# Linux 6.3).
no_new_code='import ctypes, os, sys; p = ctypes.CDLL(None).prctl; p(38, 1, 0, 0, 0); p(65, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])'

# Asks for a caption: the running unit on the port of its configuration or, in a root that is not booted, a process with
# the unit's command line.
ask() {
    local command pid
    if [ -n "$init" ]; then
        in_root systemctl is-active --quiet minivlm-server.service || fail "the unit is not active after $1"
        nsenter --target "$init" --net scripts/expect_caption.sh "$2" "$init" ||
            fail "after $1: $(in_root journalctl -u minivlm-server.service --no-pager | tail -5)"
        return
    fi
    command=$(sed -n 's/^ExecStart=//p' "$root/lib/systemd/system/minivlm-server.service")
    # shellcheck disable=SC2086 # a word each
    python3 -c "$no_new_code" chroot --userspec=65534:65534 "$root" $command --server.port="$port" 2>"$log" &
    pid=$!
    scripts/expect_caption.sh "$port" $pid || fail "after $1: $(cat "$log")"
    kill -TERM $pid
    wait $pid || fail "exit code $?"
}

# What only a booted root shows: the process has the rights that the unit leaves it, rises again, reloads and stops.
try_unit() {
    local status
    status=$(in_root sh -c 'cat "/proc/$(systemctl show -P MainPID minivlm-server.service)/status"')
    for line in 'CapEff:0000000000000000' 'CapBnd:0000000000000000' 'NoNewPrivs:1' 'Seccomp:2'; do
        tr -d '\t' <<<"$status" | grep -qx "$line" || fail "not $line: $status"
    done
    grep -q '^Uid:.0' <<<"$status" && fail "it runs as root"
    in_root systemctl kill -s KILL minivlm-server.service
    for _ in $(seq 100); do # systemd waits 100 ms before it starts it again
        [ "$(in_root systemctl show -p NRestarts -p ActiveState minivlm-server.service | sort | tr '\n' ' ')" = \
            "ActiveState=active NRestarts=1 " ] && break
        sleep 0.1
    done
    ask "a kill" 8080
    in_root systemctl reload minivlm-server.service || fail "no reload"
    ask "a reload" 8080
    in_root systemctl stop minivlm-server.service
    [ "$(in_root systemctl show -P Result minivlm-server.service)" = success ] || fail "not stopped in order"
    in_root systemctl start minivlm-server.service
    ask "a start" 8080
}

try() {
    scripts/install_deps.sh container
    root=$(mktemp -d)
    log=$(mktemp)
    trap 'halt; umount -l "$root/proc" 2>/dev/null; rm -rf --one-file-system "$root" "$log"' EXIT
    chmod 755 "$root"
    scripts/debian_root.sh "$root" --variant=minbase --include=systemd-sysv,dbus,man-db
    cp "$out"/*.deb "$root/root/"
    in_root sh -c 'apt-get update -q && apt-get install -y -q --no-install-recommends --download-only /root/*.deb' \
        >"$log" 2>&1 || fail "$(tail -5 "$log")"
    if boot; then
        echo "systemd $(in_root systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p') is PID 1 of the root"
    else
        echo "systemd cannot be booted here, so the unit's command line runs alone: $(tail -1 "$log")"
        mount --bind /proc "$root/proc" # the command line finds the model beside itself
    fi
    in_root sh -c 'dpkg -i /var/cache/apt/archives/*.deb /root/*.deb' >"$log" 2>&1 || fail "installation: $(tail -5 "$log")"
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
    ask "the installation" 8080
    [ -z "$init" ] || try_unit
    # An upgrade keeps what the operator changed, and starts with it.
    sed -i 's/8080/9090/' "$root/etc/minivlm-server/config.json"
    install_again upgrade
    grep -q 9090 "$root/etc/minivlm-server/config.json" || fail "the upgrade overwrote the configuration"
    ask "an upgrade" 9090
    in_root dpkg -r minivlm-server minivlm-model-base >"$log" 2>&1 || fail "remove: $(tail -5 "$log")"
    [ -e "$root/etc/minivlm-server/config.json" ] || fail "removing took the configuration along"
    [ -z "$init" ] || ! pgrep --ns "$init" --nslist pid -x minivlm-server || fail "it runs on without its package"
    # Installed again, it is enabled again, unless the operator had disabled it.
    install_again reinstallation
    in_root systemctl is-enabled minivlm-server.service || fail "not enabled after the reinstallation"
    ask "the reinstallation" 9090
    in_root systemctl disable minivlm-server.service 2>"$log" || fail "$(cat "$log")"
    [ -z "$init" ] || in_root systemctl stop minivlm-server.service
    install_again "second upgrade"
    in_root systemctl is-enabled minivlm-server.service && fail "the upgrade enabled what the operator had disabled"
    [ -z "$init" ] || ! in_root systemctl is-active --quiet minivlm-server.service || fail "the upgrade started what was disabled"
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
    sed -n '2,10s/^# \?//p' "$0" >&2
    exit 2
    ;;
esac
