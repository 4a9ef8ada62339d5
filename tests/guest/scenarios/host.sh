# The socket of a tunnel in the kernel, the link below it, and what reading them loads.

load wireguard
load dummy
ip link add below type dummy
ip address add 192.0.2.254/24 dev below
ip link set below up mtu 1400
device wg0
ip link set wg0 up
cut -d' ' -f1 /proc/modules | sort >/out/modules.before
execd_start host
gather first
sleep 1
gather second
execd_stop host
cut -d' ' -f1 /proc/modules | sort >/out/modules.after
cat /proc/net/udp >/out/udp
cat /proc/net/udp6 >/out/udp6
