# What a gather of wg0 costs us and others: a file of rounds each; the others only where Telegraf is given.
load wireguard
device wg0
chmod +x /cost

# /far/N.conf is the N-th peer's side: it shakes hands as soon as it is set.
if [[ -d /far ]]; then
  ip link set wg0 up
  ip link add far type wireguard
  ip link set far up
  mkfifo /run/never
  exec {never}<>/run/never
  for peer in /far/*; do
    wg setconf far "$peer"
    read -r -t 0.05 -u "$never" || true
  done
  ip link delete far
fi
wg show wg0 latest-handshakes >/out/handshakes

execd=(wgvitals-execd -poll_interval_disabled -config)
lines=$(echo | "${execd[@]}" /all.toml | wc -l)
echo "$lines" >/out/lines
/cost dump wg0 12 >/out/bare
/cost quiet 12 "${execd[@]}" /none.toml >/out/read
/cost quiet 12 "${execd[@]}" /all.toml >/out/gather
/cost lines "$lines" 12 "${execd[@]}" /all.toml >/out/delivered
if [[ -e /telegraf ]]; then
  chmod +x /telegraf
  /cost run 5 wg show wg0 dump >/out/wg
  /cost lines "$((2 + 2 * $(wc -l </out/handshakes)))" 7 /telegraf --config /telegraf.conf >/out/telegraf
fi
