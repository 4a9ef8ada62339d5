# Private and preshared keys: everything that our programs say, write or keep in memory comes back to the host.
load wireguard
device wg0
mkdir -p /etc/wireguard /out/said /out/memory /out/cores
cp /conf/wg0.conf /etc/wireguard/wg0.conf
echo '/out/cores/%p' >/proc/sys/kernel/core_pattern
ulimit -c unlimited

# memory PID FILE: all that can be read of a process.
memory() {
  local range rights rest
  while read -r range rights rest; do
    # The kernel's own pages ([vvar], [vsyscall]) hold nothing of the process.
    [[ $rights == r* && $rest != *'[v'* ]] || continue
    dd if="/proc/$1/mem" bs=4096 skip=$((0x${range%-*} / 4096)) \
      count=$(((0x${range#*-} - 0x${range%-*}) / 4096)) 2>/dev/null || echo "$range $rest" >>"$2.unreadable"
  done <"/proc/$1/maps" >"$2"
}

# 1. A process that does have keys in its memory: the search must find them.
(
  keys=$(</planted/text)
  LC_ALL=C IFS= read -r -d '' -N 32 raw </planted/raw
  : >/run/planted
  while :; do sleep 0.1; done
) &
until [[ -e /run/planted ]]; do sleep 0.1; done
memory $! /out/memory/planted
kill -SEGV $!
wait $! || true
mv "/out/cores/$!" /out/cores/planted

# 2. What is said.
for format in influx prometheus graphite json table; do
  wgvitals once --config /secrets.toml --format "$format" >"/out/said/$format" 2>"/out/said/$format.err"
done
wgvitals check /secrets.toml >/out/said/check 2>&1 || true
wgvitals names >/out/said/names 2>&1 || true

# 3. What stays in memory after a gather.
execd_start secrets
for n in 1 2 3; do gather "secrets.$n"; done
memory "$execd" /out/memory/execd
execd_stop secrets

# 4. What a crash in the middle of a gather leaves. caught N SIGNAL: strace sends it as the N-th datagram is read.
cp /secrets.toml /caught.toml
caught() {
  rm -f /run/caught /run/trace
  execd_start caught strace -f -o /run/trace -e trace=recvmsg -e "inject=recvmsg:signal=$2:when=$1"
  (
    trap '' PIPE
    until grep -q -- "--- .*SIG$2" /run/trace; do gathers 1 0.7; done
  ) 2>/dev/null || true # dead already
}
caught 6 STOP
memory "$(pidof wgvitals-execd)" /out/memory/reading
kill -KILL "$(pidof wgvitals-execd)"
execd_stop caught
for datagram in 3 4 5 6 7 8 11 13; do
  caught "$datagram" SEGV
  execd_stop caught
done
cp /secrets.toml /killed.toml
for delay in 0 0.02 0.05; do
  rm -f /run/killed
  execd_start killed
  gather killed.first
  gathers 1 "$delay"
  kill -SEGV "$execd"
  execd_stop killed
done
dmesg >/out/said/dmesg
