# The clock is stepped by an hour, forth and back, around real handshakes. The namespace far holds the other end.
load veth
load wireguard
ip netns add far
ip link add near type veth peer name away netns far
ip addr add 10.0.0.1/24 dev near
ip link set near up
ip link add hub type wireguard
wg setconf hub /conf/hub.conf
ip addr add 10.98.0.1/24 dev hub
ip link set hub up
ip -n far -batch - <<'END'
addr add 10.0.0.2/24 dev away
link set away up
link add spoke type wireguard
addr add 10.98.0.2/24 dev spoke
END
ip netns exec far wg setconf spoke /conf/spoke.conf
ip -n far link set spoke up

# ticked: the one with a clock of its own has gathered since.
ticked() {
  local before
  before=$(stat -c %s /out/tick.out)
  while (($(stat -c %s /out/tick.out) == before)); do sleep 0.05; done
}

# step SECONDS
step() {
  ticked
  date -s "@$(($(date +%s) + $1))" >/dev/null
  ticked # perhaps one that had begun before
  ticked
}

# from_here, from_there: a new handshake, begun by this end or the other.
from_here() {
  wg set hub private-key /conf/other.key # ends the session
  wg set hub private-key /conf/hub.key
  ping -q -c 1 -W 5 10.98.0.2 >/dev/null
}
from_there() {
  ip netns exec far wg set spoke peer "$(</conf/hub.public)" remove
  ip netns exec far wg addconf spoke /conf/peer.conf
  ip netns exec far ping -q -c 1 -W 5 10.98.0.1 >/dev/null
}

# say NAME: a gather, with what wg says beside it.
say() {
  gather "$1"
  wg show hub latest-handshakes | cut -f 2 >"/out/$1.handshake"
  date +%s >"/out/$1.now"
}

from_here
mkfifo /run/tick
wgvitals-execd -config /clock.toml -poll_interval 200ms </run/tick >/out/tick.out 2>/out/tick.err &
ticking=$!
exec {tick}>/run/tick
execd_start clock
gather first
cut -d ' ' -f 1 /proc/uptime >/out/begin
say before
step 3600
say forth
from_there
say forth.shaken
step -7200
say back
once back_once
from_here
say back.shaken
step 3600
say right
execd_stop clock
exec {tick}>&-
wait "$ticking"
cut -d ' ' -f 1 /proc/uptime >/out/end
