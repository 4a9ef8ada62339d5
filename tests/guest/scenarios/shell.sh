# A tunnel device to play with.
load wireguard
load veth
ip link add wg0 type wireguard
wg set wg0 listen-port 51820 private-key <(wg genkey)
