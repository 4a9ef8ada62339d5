#!/bin/bash
# dependencies.sh PURPOSE...: names the Debian packages that a purpose needs and installs those that
# are missing (which takes root, and nothing else does). Purposes:
#   build  the three programs
#   test   their tests
#   check  formatter, clang-tidy, sanitizers
#   demo   the tunnels that quickstart.sh makes where the host has none
# "a|b" in the lists: either will do, the first is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/progress.sh
log=$PWD/build/log/packages
trap 'end_step; exit 130' INT TERM HUP

packages_of() {
  case $1 in
    build)
      echo g++ cmake ninja-build pkg-config libmnl-dev libtomlplusplus-dev libcli11-dev \
        nlohmann-json3-dev libfmt-dev collectd-dev libcurl4-openssl-dev liboping-dev \
        libsodium-dev libssl-dev 'clang-14|clang' libbpf-dev
      ;;
    test)
      echo libgtest-dev libgmock-dev python3 collectd-core libyajl2 libmicrohttpd12 libprotobuf-c1 python3-cachetools \
        python3-twisted python3-urllib3 python3-whisper wireguard-go wireguard-tools iproute2 \
        iputils-ping fping liboping0 nftables conntrack openssl libcap2-bin util-linux procps gdb strace qemu-system-x86 \
        'busybox-static|busybox' kmod binutils valgrind ca-certificates
      # Telegraf needs a newer Go than Debian's, which is able to fetch it.
      recent_go || echo golang-go
      ;;
    check) echo clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev python3 libgtest-dev libgmock-dev ;;
    demo) echo wireguard-tools iproute2 iputils-ping ;;
    *) return 1 ;;
  esac
}

recent_go() {
  local go minor
  for go in "$(command -v go || true)" /usr/local/go/bin/go; do
    [ -x "$go" ] || continue
    minor=$("$go" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -lt 26 ] || return 0
  done
  return 1
}

installed() {
  local name
  for name in ${1//|/ }; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ] || return 0
  done
  return 1
}

[ $# -gt 0 ] || { echo "usage: ${0##*/} build|test|check|demo|PACKAGE..." >&2; exit 2; }
wanted=
for purpose in "$@"; do
  if list=$(packages_of "$purpose" | xargs); then
    echo "packages to $purpose: $list"
  else
    list=$purpose
  fi
  wanted+=" $list"
done
missing=()
for package in $wanted; do
  installed "$package" || missing+=("${package%%|*}")
done
[ ${#missing[@]} -gt 0 ] || { echo "all are installed"; exit 0; }

echo "missing: ${missing[*]}"
if [ "$(id -u)" != 0 ]; then
  echo "${0##*/}: this takes root: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt=(apt-get -q -o DPkg::Lock::Timeout=300)
had_collectd=no
! installed collectd-core || had_collectd=yes

# An interrupted installation is brought to its end first.
[ -z "$(dpkg --audit)" ] || step "ending an earlier installation" "$log-configure.log" dpkg --configure -a
step "updating the lists of packages" "$log-update.log" "${apt[@]}" update ||
  say "  going on with the lists that are here"
step "installing ${#missing[@]} packages and what they need" "$log-install.log" \
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}"

# Its package starts a daemon, which has no configuration yet.
if [ "$had_collectd" = no ] && [ -d /run/systemd/system ] && [ ! -e /etc/collectd/collectd.conf ]; then
  systemctl stop collectd.service 2>/dev/null || true
  systemctl reset-failed collectd.service 2>/dev/null || true
fi
