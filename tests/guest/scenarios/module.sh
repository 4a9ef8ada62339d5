# The module comes and goes, a namespace is deleted, a device is made anew, while execd runs.

# family NAME: the number under which the kernel has the module's generic netlink family now.
family() {
  strace -X raw -e trace=sendto,sendmsg -o "/out/$1" wg show wg0 >/dev/null
}

# 1. The module is missing, is loaded, unloaded, loaded anew; in the end without a gather in between.
execd_start module
gather missing
load wireguard
device wg0
gather loaded
family family.1
rmmod wireguard
gather unloaded
load wireguard
device wg0
gather again
rmmod wireguard
load wireguard
device wg0
gather anew
family family.2
wg show all dump >/out/anew.dump

# 2. A namespace goes and comes, with a device in it.
load veth
# namespace: red, with a device and a cable to it.
namespace() {
  ip netns add red
  ip link add cable type veth peer name end netns red
  ip -n red link add wg-red type wireguard
  ip netns exec red wg setconf wg-red /conf/wg-red.conf
}
namespace
gather red
ip netns delete red
gather red.gone
for ((n = 0; n < 50; n++)); do
  ip link show cable >/dev/null 2>&1 || break
  sleep 0.1
done
ip -o link >/out/links
gather red.still_gone
namespace
gather red.back
execd_stop module

# 3. A device is deleted and made anew in the middle of a gather: strace holds one of its datagrams back.
device wide
# cut NAME DATAGRAM
cut() {
  execd_start "$1"
  gather "$1.before"
  strace -f -o "/out/$1.trace" -e trace=recvmsg -e "inject=recvmsg:delay_exit=3000000:when=$2" \
    -p "$execd" 2>"/run/$1.strace" &
  strace=$!
  until grep -q attached "/run/$1.strace"; do sleep 0.1; done
  (
    sleep 1
    ip link del wide & # waits for who reads it
    sleep 0.3
    ip -o link >"/out/$1.links"
    wait
    device wide
  ) &
  remade=$!
  gather "$1.during"
  wait "$remade"
  gather "$1.after"
  kill "$strace"
  wait "$strace" || true
  execd_stop "$1"
}
cut listed 2 # all links are told, and none of the device's peers
cut read 3   # the first of its peers
