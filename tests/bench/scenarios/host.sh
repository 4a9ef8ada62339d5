# What a gather every 10 s costs with each of /options/*.toml, on a host with $processes processes and conntrack;
# /far/N.conf is the N-th peer's side, as in gather.sh.
read -r processes rounds </numbers
load wireguard
load dummy
load nf_conntrack_netlink
load nft_chain_nat
load nft_masq
nft -f - <<'END'
table ip nat { chain post { type nat hook postrouting priority 100; masquerade; }; }
END
chmod +x /cost
ip link add below type dummy
ip address add 192.0.2.254/24 dev below
ip link set below up
device wg0
ip link set wg0 up

ip link add far type wireguard
ip link set far up
for peer in /far/*; do
  wg setconf far "$peer"
  sleep 0.05
done
ip link delete far
wg show wg0 latest-handshakes >/out/handshakes
wg addconf wg0 /conf/wg0.conf # the endpoints are those of hosts again, beyond `below`

for ((n = 0; n < processes; n++)); do sleep 1000000 & done

# A tunnel between two namespaces that nobody reads, whose work by the same workers takes some hundredths of the CPU.
load veth
private=("$(wg genkey)" "$(wg genkey)")
ip netns add busy0
ip netns add busy1
ip link add end0 netns busy0 type veth peer name end1 netns busy1
for n in 0 1; do
  ip -n "busy$n" address add "10.0.0.$n/31" dev "end$n"
  ip -n "busy$n" link set "end$n" up
  ip -n "busy$n" link add "wg$n" type wireguard
  ip netns exec "busy$n" wg set "wg$n" private-key <(echo "${private[n]}") listen-port 51820 \
    peer "$(echo "${private[1 - n]}" | wg pubkey)" endpoint "10.0.0.$((1 - n)):51820" allowed-ips 10.97.0.0/24
  ip -n "busy$n" address add "10.97.0.$n/31" dev "wg$n"
  ip -n "busy$n" link set "wg$n" up
done

/cost dump wg0 12 >/out/bare
for options in /options/*.toml; do
  name=$(basename "$options" .toml) load=
  if [[ $name == *under_load ]]; then
    while ip netns exec busy0 ping -q -f -c 400 -s 1000 10.97.0.1; do sleep 1; done >/dev/null &
    load=$!
  fi
  /cost every 10 "$rounds" "/out/$name.lines" \
    wgvitals-execd -poll_interval_disabled -config "$options" >"/out/$name" 2>"/out/$name.said"
  if [[ $load ]]; then
    kill "$load"
  fi
done

# The programs at the tracepoints run in whatever comes by there: their time is the kernel's to tell. A time and a
# number of runs each, for a minute.
programs() { cat "/proc/$(pidof wgvitals-execd)/fdinfo/"* | sed -n 's/^run_time_ns:\t*//p; s/^run_cnt:\t*//p'; }
echo 1 >/proc/sys/kernel/bpf_stats_enabled
/cost every 10 9 /dev/null wgvitals-execd -poll_interval_disabled -config /options/default.toml >/dev/null &
sleep 25
programs >/out/programs.before
grep -w ctxt /proc/stat >/out/switches.before
sleep 60
programs >/out/programs.after
grep -w ctxt /proc/stat >/out/switches.after
wait $!
cat /proc/2/task/2/children | wc -w >/out/kernel_threads
