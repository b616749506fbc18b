#!/usr/bin/env bash
# Builds and tries deploy/Dockerfile without a Docker engine: buildah on a base image that mmdebstrap makes from Debian's
# packages. With Docker none of this is needed: docker build -f deploy/Dockerfile -t minivlm-server .
#
#   container.sh build   the image minivlm-server (as root)
#   container.sh try     start that image as its user on a read-only root, ask it, stop it
#   container.sh test    both
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
port=${PORT:-18090}

# Inside a build the packages come from where this machine gets its own.
packages_of_host=(--volume /etc/apt:/etc/apt:ro --volume /usr/share/keyrings:/usr/share/keyrings:ro
    --volume /etc/ssl/certs:/etc/ssl/certs:ro)
[ -f /etc/pip.conf ] && packages_of_host+=(--volume /etc/pip.conf:/etc/pip.conf:ro)

make_base() {
    local tar
    buildah inspect --type image minivlm-base-os >/dev/null 2>&1 && return
    tar=$(mktemp --suffix=.tar)
    scripts/debian_root.sh "$tar" --variant=minbase --include=ca-certificates
    local container
    container=$(buildah from scratch)
    buildah add -q "$container" "$tar" / >/dev/null
    buildah commit -q --rm "$container" minivlm-base-os >/dev/null
    rm -f "$tar"
}

build() {
    scripts/install_deps.sh container
    make_base
    buildah bud --format docker --layers=false --pull-never --build-arg BASE=localhost/minivlm-base-os "${packages_of_host[@]}" \
        -t minivlm-server -f deploy/Dockerfile .
    buildah images --format '{{.Name}} {{.Size}}' localhost/minivlm-server
}

config_of() { buildah inspect --type image --format "{{$1}}" minivlm-server; }

fail() {
    echo "container test: $*" >&2
    exit 1
}

# What an orchestrator does: the image's entry point, environment and user on a root that nobody can write to.
try() {
    local container root user log pid
    container=$(buildah from --pull-never minivlm-server)
    root=$(buildah mount "$container")
    log=$(mktemp)
    user=$(config_of .Docker.Config.User)
    [ "$user" = 65532:65532 ] || fail "it runs as '$user'"
    mount --bind "$root" "$root"
    mount -o remount,ro,bind "$root"
    # shellcheck disable=SC2064 # the values of now
    trap "umount -l $root; buildah umount $container >/dev/null; buildah rm $container >/dev/null" EXIT
    # shellcheck disable=SC2046 # a word each
    in_container() {
        env -i $(buildah inspect --type image --format '{{range .Docker.Config.Env}}{{.}} {{end}}' minivlm-server) \
            MINIVLM_SERVER_PORT="$port" chroot --userspec="$user" "$root" "$@"
    }
    in_container /usr/bin/touch /tmp/x 2>/dev/null && fail "its root can be written"
    in_container "$(config_of 'index .Docker.Config.Entrypoint 0')" </dev/null 2>"$log" &
    pid=$!
    scripts/expect_caption.sh "$port" $pid || fail "$(cat "$log")"
    # shellcheck disable=SC2046
    in_container $(buildah inspect --type image --format '{{range $i, $w := .Docker.Config.Healthcheck.Test}}{{if $i}}{{$w}} {{end}}{{end}}' \
        minivlm-server) || fail "the health check fails"
    grep '"event":"ready"' "$log"
    pid=$(pgrep -P $pid || echo $pid) # below env and chroot when they did not exec
    kill -TERM "$pid"
    wait %% || fail "exit code $?"
    in_container "$(config_of 'index .Docker.Config.Entrypoint 0')" --healthcheck 2>/dev/null && fail "healthy when gone"
    echo "container test: passed"
}

case "${1:-}" in
build) build ;;
try) try ;;
test)
    build
    try
    ;;
*)
    sed -n '2,8s/^# \?//p' "$0" >&2
    exit 2
    ;;
esac
