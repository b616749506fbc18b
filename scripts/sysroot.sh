#!/usr/bin/env bash
# Makes a folder with Debian 12's arm64 headers and libraries to build against: sysroot.sh FOLDER
# Nothing of it runs while it is made, so no emulator and no foreign architecture in this machine's dpkg is needed.
set -euo pipefail

root=${1:?usage: sysroot.sh FOLDER}
[ -e "$root/.complete" ] && exit 0
packages=libc6-dev,libgcc-12-dev,libopenblas-pthread-dev,$("$(dirname "$0")/install_deps.sh" libraries | paste -sd,)
rm -rf "$root"
mkdir -p "$root"
# shellcheck disable=SC2046 # every file is an argument
mmdebstrap --quiet --mode="$([ "$(id -u)" = 0 ] && echo root || echo unshare)" --architectures=arm64 --variant=extract --include="$packages" \
    $(printf -- '--aptopt=%s ' /etc/apt/apt.conf.d/*) bookworm "$root" \
    $(find /etc/apt -name 'sources.list' -size +0 -o -path '*sources.list.d/*' -name '*.list' -size +0 \
        -o -name 'debian.sources')
# What update-alternatives would have linked.
lib=$root/usr/lib/aarch64-linux-gnu
ln -sf openblas-pthread/libopenblas.so "$lib/libopenblas.so"
ln -sf openblas-pthread/libopenblas.so.0 "$lib/libopenblas.so.0"
ln -sf ../openblas-pthread/pkgconfig/openblas.pc "$lib/pkgconfig/openblas.pc"
touch "$root/.complete"
