# How long a full CPU takes for a stream through a tunnel, with the eBPF programs attached and without: what stream.py
# says, which $python in /python runs. And how much of it was theirs, by the kernel's own statistics of programs.
. /tunnel.sh
read -r python script </python
echo 1 >/proc/sys/kernel/bpf_stats_enabled

ip netns exec far "$python" -SB "$script" take 7 &
until ip netns exec far grep -qE ':1388 0+:0000 0A' /proc/net/tcp; do sleep 0.01; done # it listens

stream() { "$python" -SB "$script" send >>"/out/$1"; }

stream warm
for ((n = 0; n < 3; n++)); do
  stream without
  reader_start "readings.$n"
  cat /proc/"$reader"/fdinfo/* >"/out/programs.before.$n"
  stream with
  cat /proc/"$reader"/fdinfo/* >"/out/programs.after.$n"
  reading
  reader_end
done
