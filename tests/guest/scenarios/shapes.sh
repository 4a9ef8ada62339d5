# Devices of every shape, from no module to 10,000 peers.

# 1. Without the module: reading must not make the kernel ask for one.
cat >/bin/asked-modprobe <<'END'
#!/bin/bash
echo "$*" >>/run/asked
END
chmod +x /bin/asked-modprobe
echo /bin/asked-modprobe >/proc/sys/kernel/modprobe
load veth
: >/run/asked
once no_links
ip link add v0 type veth peer name v1
once only_veth
execd_start only_veth_execd
for n in 1 2 3; do gather "only_veth_execd.$n"; done
execd_stop only_veth_execd
cp /run/asked /out/asked_by_us
ls /sys/module >/out/modules
ip link add x type wireguard 2>/dev/null || true # now somebody asks
cp /run/asked /out/asked_by_ip

# 2. The shapes, each beside the ones before it.
load wireguard
capture no_device
for name in zero one many first last first-huge last-huge; do
  device "wg-$name"
  capture "$name"
done
ip link set v0 up
device wg-six
capture six

# 3. Rights.
as_nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
once no_capability "${as_nobody[@]}" --bounding-set -all --inh-caps -all
execd_start no_capability_execd "${as_nobody[@]}" --bounding-set -all --inh-caps -all
for n in 1 2 3; do gather "no_capability_execd.$n"; done
execd_stop no_capability_execd
once ambient "${as_nobody[@]}" --inh-caps -all,+net_admin --ambient-caps -all,+net_admin
setcap cap_net_admin=p /bin/wgvitals
once permitted "${as_nobody[@]}" --inh-caps -all
once bounded "${as_nobody[@]}" --bounding-set -all,+net_raw --inh-caps -all
setcap -r /bin/wgvitals
wg show all dump >/out/rights_dump

# 4. Devices of one name and one index in three namespaces.
for netns in red blue; do
  ip netns add "$netns"
  ip -n "$netns" link add wg-same index 777 type wireguard
  ip netns exec "$netns" wg setconf wg-same "/conf/$netns.conf"
  ip netns exec "$netns" wg show all dump >"/out/$netns.dump"
done
ip link add wg-same index 777 type wireguard
wg setconf wg-same /conf/own.conf
config=/netns.toml capture netns
ip -n red -j link show wg-same >/out/red.link
ip -n blue -j link show wg-same >/out/blue.link

# 5. Many peers.
device wg-10000
config=/patient.toml capture ten_thousand
