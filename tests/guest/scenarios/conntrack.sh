# Connection tracking: not loaded, loaded without ctnetlink, and with it.

# What the kernel would have loaded, had it been asked for it.
cat >/run/modprobe <<'END'
#!/bin/bash
echo "$@" >>/out/wanted
END
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
format=influx config=/conntrack.toml

load wireguard
load dummy
ip link set lo up
device wg0
ip link set wg0 up
: >/out/wanted # what ip and wg wanted
once missing
cp /out/wanted /out/wanted_missing

# Masquerading wants connection tracking. A peer that does not answer is sent a handshake.
load nft_chain_nat
load nft_masq
nft -f - <<'END'
table ip nat { chain post { type nat hook postrouting priority 100; masquerade; }; }
END
ip link add way type dummy
ip address add 192.0.2.1/24 dev way
ip link set way up
ip route add 10.0.0.0/8 dev wg0
ping -n -q -c 1 -W 1 10.1.1.1 >/dev/null || true
: >/out/wanted # what ip, nft and ping wanted
once files

load nf_conntrack_netlink
for port in 1 2 3; do
  conntrack -I -p udp -s 198.51.100.1 -d 198.51.100.2 --sport "$port" --dport 53 -t 600 2>/dev/null
done
conntrack -S >/out/before.S
conntrack -C >/out/before.C
once netlink
conntrack -S >/out/after.S
conntrack -C >/out/after.C
conntrack -L >/out/flows 2>/dev/null
