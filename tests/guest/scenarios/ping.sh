# Pings of peers. wg0 here and wg0 in the namespace blue have the same peer, wg0 in the namespace far, at 10.99.0.2;
# the one here has two more: one without endpoint, one behind whose endpoint is nobody.
load veth
load wireguard
ip netns add far
ip netns add blue
ip link add near type veth peer name away netns far
ip addr add 10.0.0.1/24 dev near
ip link set near up
ip -n far -batch - <<'EOF'
addr add 10.0.0.2/24 dev away
link set away up
link add wg0 type wireguard
EOF
ip netns exec far wg setconf wg0 /conf/far.conf
ip link add wg0 type wireguard # its UDP socket stays here
ip link set wg0 netns blue
ip netns exec blue wg setconf wg0 /conf/blue.conf
device wg0
ip addr add 10.99.0.1/24 dev wg0
ip link set wg0 up
for n in 2:far 5:blue; do
  ip -n "${n#*:}" addr add "10.99.0.${n%:*}/24" dev wg0
  ip -n "${n#*:}" link set wg0 up
done

# shake: a session, and no keepalive for 10 s.
shake() {
  ping -q -c 1 -W 5 10.99.0.2 >/dev/null
  ip netns exec blue ping -q -c 1 -W 5 10.99.0.2 >/dev/null
}

# count FOLDER: what the kernel has counted, once no burst is under way.
count() {
  local before='' now
  until now=$(wg show wg0 transfer | grep -Ff /conf/far.key) && [[ $now == "$before" ]]; do
    before=$now
    sleep 1
  done
  mkdir "/out/$1"
  wg show wg0 transfer >"/out/$1/here"
  ip netns exec blue wg show wg0 transfer >"/out/$1/blue"
  ip -s -j link show wg0 >"/out/$1/link"
}

shake
execd_start steady
for n in 1 2 3; do
  gather "steady.$n"
  sleep 1
done
execd_stop steady

shake
count before
execd_start burst
gather burst.1 # which a further burst follows
count between
gather burst.2
count after
execd_stop burst

format=influx config=/sometimes.toml once sometimes
count asleep
