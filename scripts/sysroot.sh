#!/usr/bin/env bash
# Makes a folder with Debian 12's arm64 headers and libraries to build against: sysroot.sh FOLDER
# Nothing of it runs while it is made, so no emulator and no foreign architecture in this machine's dpkg is needed.
set -euo pipefail

root=${1:?usage: sysroot.sh FOLDER}
[ -e "$root/.complete" ] && exit 0
packages=libc6-dev,libgcc-12-dev,libopenblas-pthread-dev,$("$(dirname "$0")/install_deps.sh" libraries | paste -sd,)
rm -rf "$root"
mkdir -p "$root"
mode=$([ "$(id -u)" = 0 ] && echo root || echo unshare)
"$(dirname "$0")/debian_root.sh" "$root" --mode="$mode" --architectures=arm64 --variant=extract --include="$packages"
# What update-alternatives would have linked.
lib=$root/usr/lib/aarch64-linux-gnu
ln -sf openblas-pthread/libopenblas.so "$lib/libopenblas.so"
ln -sf openblas-pthread/libopenblas.so.0 "$lib/libopenblas.so.0"
ln -sf ../openblas-pthread/pkgconfig/openblas.pc "$lib/pkgconfig/openblas.pc"
touch "$root/.complete"
