# 24 peers in a second namespace, each with a handshake, an endpoint and traffic of its own.
# /conf/hub.conf is the device here, /conf/pN.conf the N-th peer; its tunnel addresses are 10.98.N.1 and .2.
count=24
load veth
load wireguard
ip netns add far
ip link add near type veth peer name away netns far
ip addr add 10.0.0.254/24 dev near
ip link set near up
ip link add hub type wireguard
wg setconf hub /conf/hub.conf
ip link set hub up
for ((n = 1; n <= count; n++)); do
  ip addr add "10.98.$n.1/30" dev hub
  cat <<END >>/run/far
link add p$n type wireguard
addr add 10.98.$n.2/30 dev p$n
addr add 10.0.0.$n/24 dev away
END
done
echo 'link set away up' >>/run/far
ip -n far -batch /run/far
for ((n = 1; n <= count; n++)); do
  ip netns exec far wg setconf "p$n" "/conf/p$n.conf"
  ip -n far link set "p$n" up
done

now=$(date +%s)
for ((n = 1; n <= count; n++)); do
  date -s "@$((now + 100 * n))" >/dev/null # handshakes of different seconds
  ping -q -c "$n" -i 0.002 -s $((16 * n)) -W 5 "10.98.$n.2" >/dev/null
done
wg addconf hub /conf/keepalive.conf
ip route add 10.97.0.0/24 dev hub
ping -q -c 3 -i 0.002 -W 1 10.97.0.1 >/dev/null || true # no peer has this address: tx_errors

# What wg says before and after is the same as soon as the peers are at rest.
for format in json influx; do
  for ((n = 0; n < 15; n++)); do
    ip -s -s -j link show hub >"/run/link"
    capture "$format"
    cmp -s "/out/$format/before" "/out/$format/after" && break
    sleep 1
  done
  mv /run/link "/out/$format/link"
done
