# Two wgvitals-execd beside each other, each of which measures a tunnel's CPU time by its own method: while it is idle,
# under streams, under one of 10 Mbit/s, under some that the CPU is sampled beside, and under one that the kernel's own trace of the same events
# is taken of. $python in /python runs stream.py.
. /tunnel.sh
read -r python script </python
tracing=/sys/kernel/tracing
mount -t tracefs trace $tracing
ip netns exec far "$python" -SB "$script" take 12 &
until ip netns exec far grep -qE ':1388 0+:0000 0A' /proc/net/tcp; do sleep 0.01; done # it listens

declare -A execds triggers
for method in ebpf kworker; do
  execd_start $method
  execds[$method]=$execd triggers[$method]=$trigger
done

# both WHEN: a gather of each.
both() {
  for method in ebpf kworker; do
    trigger=${triggers[$method]} answers=/out/$method.out
    gather "$method.$1"
  done
}

# Until the programs are attached.
for ((n = 0; n < 100; n++)); do
  both first
  if grep -q method=ebpf /out/ebpf.first; then break; fi
  sleep 0.1
done

ping -q -c 3 -W 5 10.97.0.2 >/dev/null # a handshake
sleep 5 # a tunnel at rest is looked at every fourth second
both idle.begin
sleep 5
both idle.end
# As long as several of the looks that the estimate is made of.
for n in 1 2 3 4 5 6; do "$python" -SB "$script" send >>/out/took; done
sleep 2
both loaded
"$python" -SB "$script" send 10 >/out/took.slow
sleep 4
both slow

mkfifo /run/sampled
work_sampler </run/sampled >/out/sampled 2>&1 &
sampler=$!
exec {samples}>/run/sampled
# sampled COUNT: until it has said so many lines.
sampled() {
  until [[ $(wc -l </out/sampled) -ge $1 ]]; do
    kill -0 "$sampler"
    sleep 0.1
  done
}
sampled 1
both sampled.begin
echo >&"$samples"
sampled 2
for n in 1 2 3 4; do "$python" -SB "$script" send >/dev/null; done
sleep 2
both sampled.end
echo >&"$samples"
sampled 3
exec {samples}>&-
wait "$sampler"

echo mono >$tracing/trace_clock
echo 65536 >$tracing/buffer_size_kb
for event in workqueue/workqueue_execute_{start,end} sched/sched_switch irq/softirq_{entry,exit}; do
  echo 1 >"$tracing/events/$event/enable"
done
both traced.begin
"$python" -SB "$script" send >/dev/null
sleep 0.5
both traced.end
echo 0 >$tracing/tracing_on
echo 0 >$tracing/events/enable
cat $tracing/per_cpu/cpu*/stats >/out/trace.stats
cat $tracing/trace >/out/trace

for method in kworker ebpf; do # it has the other's input, too
  trigger=${triggers[$method]} execd=${execds[$method]}
  execd_stop $method
done
