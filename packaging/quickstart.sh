#!/bin/bash
# quickstart.sh: from a fresh Debian 12 to live peers, as root. Installs what is needed, builds the
# release preset, and shows the host's own tunnels; a host without any gets a small demo in network
# namespaces of its own, which is removed again. Nothing is installed but Debian's packages, nothing
# written but build/. Safe to run twice and to interrupt.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/progress.sh

wgvitals=build/release/wgvitals
demo=wgvitals-demo-$$
sockets=/var/run/wireguard
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"

fail() {
  cleanup
  say ""
  say "verdict: FAILED: $*"
  exit 1
}

# --- The demo: a hub, two peers that talk with it, and one that never came. -----------------------

# A namespace is NAMESPACE-PID-ROLE, its tunnel wgdPID and the role's first letter.
tunnel() { echo "wgd$1${2:0:1}"; }
in_demo() { ip netns exec "$demo-$1" "${@:2}"; }

# Removes what the quickstart of this process id made.
remove_demo() {
  local role pid
  for role in hub office laptop; do
    [ -e "/run/netns/wgvitals-demo-$1-$role" ] || continue
    for pid in $(ip netns pids "wgvitals-demo-$1-$role"); do kill "$pid" 2>/dev/null || true; done
    ip netns delete "wgvitals-demo-$1-$role" || true
    # What is not removed by a wireguard-go that was killed.
    rm -f "$sockets/$(tunnel "$1" "$role").sock"
  done
  rm -f "build/wgvitals-demo-$1.toml"
}

# Demos whose quickstart was killed.
remove_stale_demos() {
  local path pid
  for path in /run/netns/wgvitals-demo-*-hub /run/netns/wgvitals-demo-*-office /run/netns/wgvitals-demo-*-laptop; do
    [ -e "$path" ] || continue
    pid=${path#*wgvitals-demo-}
    pid=${pid%-*}
    ! tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q quickstart || continue
    say "removing a demo that was left behind (process $pid)"
    remove_demo "$pid"
  done
}

made_sockets=
cleanup() {
  trap '' INT TERM HUP
  end_step
  if [ -e "/run/netns/$demo-hub" ]; then
    say "removing the demo"
    remove_demo $$
    wait
    [ -z "$made_sockets" ] || rmdir "$sockets" 2>/dev/null || true
  fi
}
trap cleanup EXIT
trap 'say ""; say "interrupted"; exit 130' INT TERM HUP

# The kernel's WireGuard where it has one, else wireguard-go.
make_tunnel() {
  local role=$1 address=$2 dev
  dev=$(tunnel $$ "$role")
  if ! ip -n "$demo-$role" link add "$dev" type wireguard 2>/dev/null; then
    if ! command -v wireguard-go >/dev/null; then
      say "the kernel has no WireGuard: taking the userspace one"
      packaging/dependencies.sh wireguard-go
    fi
    [ -c /dev/net/tun ] || fail "neither WireGuard in the kernel nor /dev/net/tun for wireguard-go"
    [ -d "$sockets" ] || made_sockets=yes
    ip netns exec "$demo-$role" wireguard-go -f "$dev" >"build/log/demo-$role.log" 2>&1 </dev/null &
    for _ in {1..50}; do [ ! -S "$sockets/$dev.sock" ] || break; sleep 0.1; done
    [ -S "$sockets/$dev.sock" ] || fail "wireguard-go did not start, see build/log/demo-$role.log"
  fi
  ip -n "$demo-$role" address add "$address/24" dev "$dev"
}

# join ROLE NUMBER: a wire to the hub, a tunnel over it, and its entry at the hub.
join() {
  local role=$1 number=$2 key public
  key=$(wg genkey)
  public=$(wg pubkey <<<"$key")
  ip netns add "$demo-$role"
  ip -n "$demo-hub" link add "$role" type veth peer name uplink netns "$demo-$role"
  ip -n "$demo-hub" address add "198.51.100.$((number * 4 + 1))/30" dev "$role"
  ip -n "$demo-$role" address add "198.51.100.$((number * 4 + 2))/30" dev uplink
  ip -n "$demo-hub" link set "$role" up
  ip -n "$demo-$role" link set uplink up
  make_tunnel "$role" "10.99.0.$((number + 1))"
  # The hub first: who knocks before he is known tries again after 5 s only.
  in_demo hub wg set "$hub" peer "$public" allowed-ips "10.99.0.$((number + 1))/32"
  in_demo "$role" wg set "$(tunnel $$ "$role")" private-key <(echo "$key") peer "$hub_public" \
    endpoint "198.51.100.$((number * 4 + 1)):51820" allowed-ips 10.99.0.0/24 persistent-keepalive 25
  ip -n "$demo-$role" link set "$(tunnel $$ "$role")" up
  echo "  \"$public\" = \"$role\"" >>"build/$demo.toml"
}

make_demo() {
  local key absent
  hub=$(tunnel $$ hub)
  key=$(wg genkey)
  hub_public=$(wg pubkey <<<"$key")
  printf '%s\n' '[[inputs.wgvitals]]' "  interface_include = [\"$hub\"]" '  ping_peers = true' \
    '  [inputs.wgvitals.names]' >"build/$demo.toml"
  ip netns add "$demo-hub"
  make_tunnel hub 10.99.0.1
  in_demo hub wg set "$hub" private-key <(echo "$key") listen-port 51820
  ip -n "$demo-hub" link set "$hub" up
  join office 1
  join laptop 2
  absent=$(wg genkey | wg pubkey)
  in_demo hub wg set "$hub" peer "$absent" allowed-ips 10.99.0.9/32
  echo "  \"$absent\" = \"tablet\"" >>"build/$demo.toml"
}

# Some packets from both, for a few seconds.
traffic() {
  local log=build/log/demo-ping.log
  ip netns exec "$demo-office" ping -q -i 0.2 -c "$1" -w 15 -s 900 10.99.0.1 >>"$log" 2>&1 &&
    ip netns exec "$demo-laptop" ping -q -i 0.2 -c "$1" -w 15 -s 300 10.99.0.1 >>"$log" 2>&1
}

# --- The quickstart -------------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || fail "this takes root: packages are installed and WireGuard is read"
mkdir -p build/log
rm -f build/log/demo-*.log

say "[1/4] packages"
packaging/dependencies.sh build

say "[2/4] build/release"
step "configuring" build/log/release-configure.log cmake --preset release || fail "CMake"
step "building" build/log/release-build.log cmake --build --preset release || fail "the build"

say "[3/4] tunnels"
! command -v ip >/dev/null || remove_stale_demos
once=("$wgvitals" once)
# Another quickstart's userspace tunnels are seen from here too.
if "${once[@]}" --format influx 2>/dev/null | grep '^wireguard_peer,' |
  grep -qv ',device=wgd[0-9]*[hol],'; then
  say "this host has tunnels of its own"
  talking=0
else
  say "this host has no tunnel with peers: making a demo"
  packaging/dependencies.sh demo
  make_demo
  say "sending some packets through it"
  traffic 5 || fail "no answer through the demo's tunnels, see build/log/demo-ping.log"
  once=(ip netns exec "$demo-hub" "$wgvitals" once --config "build/$demo.toml")
  talking=2
fi

say "[4/4] what wgvitals sees"
say ""
if [ -t 1 ]; then
  # The table, refreshed for some seconds, with traffic in the demo.
  [ "$talking" = 0 ] || traffic 12 &
  room=$(stty size </dev/tty 2>/dev/null | cut -d ' ' -f 1 || true)
  end=$((SECONDS + 5))
  while table=$("${once[@]}" --format table | head -n "$((${room:-24} > 8 ? room - 4 : 20))"); do
    printf '%s\n' "$table"
    ((SECONDS < end)) || break
    sleep 1
    printf '\033[%dA\033[J' "$(wc -l <<<"$table")"
  done
else
  "${once[@]}" --format table
fi
say ""
say "The same as line protocol, for Telegraf:"
lines=$("${once[@]}" --format influx) || fail "wgvitals once ended with status $?"
head -n 20 <<<"$lines"
count=$(wc -l <<<"$lines")
((count <= 20)) || say "... and $((count - 20)) more lines"

peers=$(grep -c '^wireguard_peer,.*rx_bytes=' <<<"$lines" || true)
received=$(grep -c '^wireguard_peer,.*rx_bytes=[1-9]' <<<"$lines" || true)
((peers > 0 && received >= talking)) ||
  fail "peers seen: $peers, heard of: $received"
cleanup
say ""
say "verdict: OK: peers seen: $peers, heard of: $received"
say "next: cmake --install build/release, then the README's block for Telegraf or collectd"
