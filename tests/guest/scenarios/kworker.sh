# A tunnel between two namespaces, both of which are read: idle, under load, and renamed.
# /conf/near.conf and /conf/far.conf are its ends, /kworker.toml and /renamed.toml configure two runs.

load veth
load wireguard
ip netns add far
ip link add near type veth peer name away netns far
ip address add 10.0.0.1/24 dev near
ip link set near up
ip -n far address add 10.0.0.2/24 dev away
ip -n far link set away up
ip link add wg0 type wireguard
wg setconf wg0 /conf/near.conf
ip address add 10.97.0.1/24 dev wg0
ip link set wg0 up
ip -n far link add wgfar type wireguard
ip netns exec far wg setconf wgfar /conf/far.conf
ip -n far address add 10.97.0.2/24 dev wgfar
ip -n far link set wgfar up

# workers FILE: what each of the kernel's workers took so far.
workers() {
  local id name spent rest
  for id in $(cat /proc/2/task/2/children); do
    read -r name <"/proc/$id/comm" || continue
    read -r spent rest <"/proc/$id/schedstat" || continue
    [[ $name != kworker/* ]] || echo "$id $spent $name"
  done >"/out/$1"
}

ping -q -c 3 -W 5 10.97.0.2 >/dev/null
execd_start kworker
gather first
sleep 3
gather idle.begin
sleep 5
gather idle.end

workers workers.before
ping -q -f -c 2000 -s 1300 -W 5 10.97.0.2 >/out/ping
sleep 2
gather loaded
workers workers.after
sleep 2
gather rest.begin
sleep 5
gather rest.end
ip link set wg0 down
ip link set wg0 name home
ip link set home up
gather renamed
execd_stop kworker

# One that has not seen the first name.
execd_start renamed
gather anew.first
sleep 2
gather anew.idle
ping -q -f -c 300 -s 1300 -W 5 10.97.0.2 >/dev/null
sleep 5 # a tunnel at rest is looked at every fourth second
gather anew.loaded
execd_stop renamed

# One that may not use eBPF, with the device's first name again.
ip link set home down
ip link set home name wg0
ip link set wg0 up
execd_start denied setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps +net_admin,+net_raw \
  --ambient-caps +net_admin,+net_raw
gather denied.first
sleep 2
ping -q -f -c 300 -s 1300 -W 5 10.97.0.2 >/dev/null
sleep 5
gather denied
execd_stop denied

# On a kernel without the types that the programs need.
mount -t tmpfs none /sys/kernel/btf
execd_start untyped
gather untyped.first
sleep 2
ping -q -f -c 300 -s 1300 -W 5 10.97.0.2 >/dev/null
sleep 5
gather untyped
execd_stop untyped
wgvitals check /untyped.toml >/out/check
