#!/usr/bin/env bash
# Makes a bare root of Debian 12, a folder or a .tar, from where this machine gets its own packages.
#
#   debian_root.sh TARGET [OPTION...]   options of mmdebstrap, for instance --include=systemd
set -euo pipefail

target=${1:?usage: $0 TARGET [OPTION...]}
shift
# shellcheck disable=SC2046 # every file is an argument
exec mmdebstrap --quiet "$@" $(printf -- '--aptopt=%s ' /etc/apt/apt.conf.d/*) bookworm "$target" \
    $(find /etc/apt -name 'sources.list' -size +0 -o -path '*sources.list.d/*' -name '*.list' -size +0 -o -name 'debian.sources')
