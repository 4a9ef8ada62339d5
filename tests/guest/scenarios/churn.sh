# Reading while devices and peers come and go.
load wireguard

# forever NAME COMMAND...: repeats it in the background until /run/NAME.done is there; /out/NAME.cycles counts.
forever() {
  local cycles=0
  until [[ -e /run/$1.done ]]; do
    "${@:2}"
    echo $((cycles += 1)) >"/out/$1.cycles"
  done
}

# 1. Devices are deleted between being listed and being read: strace delays each datagram and shows ENODEV.
device wg0
wg show all dump >/out/rest
appear() {
  ip -batch <(printf 'link add gone%d type wireguard\n' 1 2 3 4)
  sleep 0.3
  ip -batch <(printf 'link del gone%d\n' 1 2 3 4)
}
forever vanish appear &
churn=$!
execd_start vanish strace -f -o /out/vanish.trace -e trace=recvmsg -e inject=recvmsg:delay_exit=15000
for ((asked = 1; asked <= 12; asked++)); do gather "vanish.$asked"; done
execd_stop vanish
for n in 1 2 3 4 5; do once "vanish_once$n"; done
: >/run/vanish.done
wait "$churn"

# 2. Peers are added and removed: a reading of this device is torn now and then, one of a larger device always.
mapfile -t leave </conf/leave
visit() {
  wg addconf "$1" /conf/guests.conf
  wg set "$1" "${leave[@]}"
}
visited() {
  forever "$1" visit "$2" &
  churn=$!
  execd_start "$1"
  gathers "$3" 0.7
  until (($(<"/out/$1.cycles") > 10)); do gathers 1 0.7; done
  : >"/run/$1.done"
  wait "$churn"
  gathers 1 2
  execd_stop "$1"
}
visited torn wg0 14
device wide
visited wide wide 5
