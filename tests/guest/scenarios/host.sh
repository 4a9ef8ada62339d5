# The socket of a tunnel in the kernel, the link below it, and what reading them loads. In the namespace blue, one that
# was made there and one that was moved there.

load wireguard
load dummy
ip link add below type dummy
ip address add 192.0.2.254/24 dev below
ip link set below up mtu 1400
device wg0
ip link set wg0 up
ip netns add blue
ip -n blue link add under type dummy
ip -n blue address add 192.0.2.253/24 dev under
ip -n blue link set under up mtu 1300
ip -n blue link add made type wireguard
ip netns exec blue wg setconf made /conf/made.conf
device moved
ip link set moved netns blue
ip -n blue link set made up
ip -n blue link set moved up
cut -d' ' -f1 /proc/modules | sort >/out/modules.before
execd_start host
gather first
sleep 1
gather second
execd_stop host
cut -d' ' -f1 /proc/modules | sort >/out/modules.after
cat /proc/net/udp >/out/udp
cat /proc/net/udp6 >/out/udp6
