# Handshakes with wg0 in the namespace far, whose answers are held up there: COUNT for each family and delay. Then a
# flood of initiations with bad MACs from there.
count=9
load veth
load sch_netem
load wireguard
ip netns add far
ip link add near type veth peer name away netns far
ip addr add 10.0.0.1/24 dev near
ip addr add fd00::1/64 dev near nodad
ip link set near up
ip -n far -batch - <<'EOF'
addr add 10.0.0.2/24 dev away
addr add fd00::2/64 dev away nodad
link set away up
link add wg0 type wireguard
EOF
ip netns exec far wg setconf wg0 /conf/far.conf
ip -n far link set wg0 up
device wg0
ip link set wg0 up

# shake FILE: a peer that is made anew, with a keepalive, begins a handshake at once.
shake() {
  wg addconf wg0 "/conf/peer.$family.conf"
  while [[ $(wg show wg0 latest-handshakes) == *$'\t'0 ]]; do sleep 0.02; done
  gather "$1"
  wg set wg0 peer "$(</conf/far.key)" remove
  sleep 0.05 # a responder takes no two initiations within 20 ms
}

execd_start trace
gather first
for family in v4 v6; do
  ping -q -c 1 "$([[ $family == v4 ]] && echo 10.0.0.2 || echo fd00::2)" >/dev/null
  for delay in 0 10 50; do
    tc -n far qdisc replace dev away root netem delay "${delay}ms"
    for ((n = 1; n <= count; n++)); do shake "time.$family.$delay.$n"; done
  done
done
tc -n far qdisc delete dev away root

gather flood.before
ip netns exec far bash -c 'dd bs=148 if=/conf/flood 2>/dev/null >/dev/udp/10.0.0.1/51820'
sleep 3 # until it is decided
gather flood.after
execd_stop trace
