#!/usr/bin/env bash
# Installs the Debian 12 packages that are missing. Usage: install_deps.sh build|test|package|clients|analysis|container|arm64
# install_deps.sh libraries prints what the programs link with.
# install_deps.sh upgrade brings security updates for what is installed (container builds; as root).
# Needs root (or sudo) only when something is missing.
set -euo pipefail

build_packages=(build-essential cmake ninja-build pkg-config libmicrohttpd-dev libgnutls28-dev libuv1-dev libjansson-dev
    libjpeg62-turbo-dev libpng-dev zlib1g-dev libwebp-dev libgif-dev libheif-dev libtiff-dev
    libopenblas-dev nettle-dev libsqlite3-dev libcurl4-gnutls-dev libseccomp-dev ca-certificates curl
    python3-pip) # fetch_viewer.sh
package_packages=(file) # cpack looks with it for what to link with
test_packages=("${package_packages[@]}" clang-format python3 python3-venv python3-yaml python3-httpx python3-jsonschema python3-setuptools python3-wheel nodejs
    haproxy nginx-light openssl valgrind chromium fonts-inter systemd) # systemd-analyze knows its groups of system calls
clients_packages=(python3-venv nodejs)
container_packages=(buildah crun curl mmdebstrap procps python3 systemd-container) # package.sh boots a root with the last
analysis_packages=(clang libclang-rt-14-dev clang-tidy cppcheck gcovr) # lint.sh, fuzz.sh, coverage.sh
arm64_packages=(gcc-aarch64-linux-gnu qemu-user mmdebstrap)
command -v kubectl >/dev/null || test_packages+=(kubernetes-client) # another kubectl serves as well
if ! command -v npm >/dev/null; then # another Node brings its own
    test_packages+=(npm)
    clients_packages+=(npm)
fi

case "${1:-}" in
build) packages=("${build_packages[@]}") ;;
test) packages=("${build_packages[@]}" "${test_packages[@]}") ;;
package) packages=("${build_packages[@]}" "${package_packages[@]}") ;;
analysis) packages=("${build_packages[@]}" "${test_packages[@]}" "${analysis_packages[@]}") ;;
clients) packages=("${clients_packages[@]}") ;;
container) packages=("${container_packages[@]}") ;;
arm64) packages=("${build_packages[@]}" "${arm64_packages[@]}") ;;
libraries)
    printf '%s\n' "${build_packages[@]}" | grep -- '-dev$'
    exit 0
    ;;
upgrade)
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get upgrade -y -q
    exit 0
    ;;
*)
    echo "usage: $0 build|test|package|clients|analysis|container|arm64|libraries|upgrade" >&2
    exit 2
    ;;
esac

missing=()
for package in "${packages[@]}"; do
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing+=("$package")
    fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "missing packages: ${missing[*]}; run as root or install sudo" >&2
        exit 1
    }
    as_root=(sudo)
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"
