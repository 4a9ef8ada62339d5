# Data packets that the device `near` refuses, and such as look like them.
. /tunnel.sh
read -r python script </python
ip address add fd00::1/64 dev below nodad
ip -n far address add fd00::2/64 dev under nodad
far=(ip netns exec far)
mkdir /taken

# send TAKEN TO KIND COUNT: a packet that went to the address TAKEN before, to TO. From the far end: sends.
send() { "$python" -SB "$script" send "/taken/$1" "${@:2}"; }
sends() { "${far[@]}" "$python" -SB "$script" send "/taken/$1" "${@:2}"; }

# settled FILE: what is said when all that was sent before has been dealt with: the far end's answer comes behind it.
settled() {
  ping -q -c 1 -w 20 10.97.0.2 >/dev/null
  "${far[@]}" ping -q -c 1 -w 20 10.97.0.1 >/dev/null
  gather "$1"
}

"${far[@]}" "$python" -SB "$script" take under /taken &
taking=$!
until [[ -e /taken/ready ]]; do sleep 0.05; done
execd_start refused
for ((n = 0; n < 300; n++)); do
  settled attached
  if grep -q auth_failures /out/attached; then break; fi
  sleep 0.1
done
wait "$taking"

# What is no refusal: traffic, keepalives, packets from an inner address that is not the peer's.
ping -q -f -c 500 -w 60 10.97.0.2 >/out/ping
read -r _ before _ < <(wg show near transfer)
for ((n = 0; n < 5; n++)); do
  "${far[@]}" wg set far peer "$(wg show near public-key)" persistent-keepalive 25
  "${far[@]}" wg set far peer "$(wg show near public-key)" persistent-keepalive 0
done
for ((n = 0; n < 100; n++)); do
  read -r _ after _ < <(wg show near transfer)
  echo $((after - before)) >/out/keepalives
  ((after - before < 5 * 32)) || break
  sleep 0.1
done
ip -n far address add 10.98.0.9/32 dev far
"${far[@]}" ping -q -c 7 -i 0.1 -W 1 -I 10.98.0.9 10.97.0.1 >/dev/null || true
settled honest

sends 10.0.0.1 10.0.0.1 forged 300
settled forged
sends 10.0.0.1 10.0.0.1 same 150
sends 10.0.0.1 fd00::1 same 50
sends 10.0.0.1 fd00::1 forged 25
settled replayed
# Of no session.
sends 10.0.0.1 10.0.0.1 foreign 60
sends 10.0.0.1 fd00::1 foreign 20
settled foreign
# For the other device, and what is no data packet.
send 10.0.0.2 10.0.0.2 forged 40
send 10.0.0.2 10.0.0.2 same 30
send 10.0.0.2 10.0.0.2 foreign 25
sends 10.0.0.1 10.0.0.1 short 35
settled others

execd_stop refused

# Without the rights for eBPF.
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups
  --inh-caps -all,+net_admin,+net_raw --ambient-caps -all,+net_admin,+net_raw)
execd_start without "${nobody[@]}"
gather first
sleep 1
gather without.said
execd_stop without

# In another namespace than its socket.
ip netns add third
ip link set near netns third
ip -n third link set near up
execd_start moved
for ((n = 0; n < 300; n++)); do
  gather moved.first
  if grep -q auth_failures /out/moved.first; then break; fi
  sleep 0.1
done
sends 10.0.0.1 10.0.0.1 foreign 15
sleep 0.5
gather moved.said
execd_stop moved
