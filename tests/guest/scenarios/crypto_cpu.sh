# A tunnel under load, its CPU time as the eBPF programs count it and as the kernel's own trace of the same events shows
# it.
born=wgtmp
. /tunnel.sh
tracing=/sys/kernel/tracing
mount -t tracefs trace $tracing

stat -Lc %i /proc/self/ns/net /run/netns/far >/out/namespaces
{
  ip -o link show near
  ip -n far -o link show far
} | cut -d: -f1 >/out/indexes

# Rights: none, then the two.
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
"${nobody[@]}" crypto_cpu_reader </dev/null >/out/without || true
"${nobody[@]}" --inh-caps -all,+bpf,+perfmon --ambient-caps -all,+bpf,+perfmon \
  crypto_cpu_reader </dev/null >/out/with || true

reader_start readings
echo mono >$tracing/trace_clock
echo 65536 >$tracing/buffer_size_kb
for event in workqueue/workqueue_execute_{start,end} sched/sched_switch irq/softirq_{entry,exit}; do
  echo 1 >"$tracing/events/$event/enable"
done
sleep 0.5
threads threads.before
reading
ping -q -f -c 1000 -s 1300 -w 60 10.97.0.2 >/out/ping
sleep 0.5
reading
threads threads.after
echo 0 >$tracing/tracing_on
echo 0 >$tracing/events/enable
cat $tracing/per_cpu/cpu*/stats >/out/trace.stats
cat $tracing/trace >/out/trace

# They are detached while the tunnel works, and attached to one that already does.
ping -q -f -c 100000 -s 1300 -w 60 10.97.0.2 >/dev/null {trigger}>&- & # without the reader's input
load=$!
sleep 1
reader_end
reader_start again
threads again.threads.before
reading
sleep 2
reading
threads again.threads.after
reader_end
kill "$load"

# Attached while a work runs that does not end: the far end's queue of what is to be decrypted is never empty.
read -r python script </python
mkdir /taken
"$python" -SB "$script" take below /taken &
taking=$!
until [[ -e /taken/ready ]]; do sleep 0.05; done
ping -q -c 1 -s 1300 -w 60 10.97.0.2 >/dev/null
wait "$taking"
loads=()
for n in 1 2 3; do # so many that the queue does not run dry while one has to wait
  "$python" -SB "$script" flood /taken/10.0.0.2 10.0.0.2 {trigger}>&- >>/taken/flooding &
  loads+=($!)
done
until [[ $(cat /taken/flooding 2>/dev/null) == ... ]]; do sleep 0.1; done
sleep 0.5
reader_start endless
threads endless.threads.before
reading
sleep 2
reading
threads endless.threads.after
kill "${loads[@]}"
reader_end

# The device goes to another namespace, and is counted there, with its threads of NAPI.
reader_start moved
echo 1 >/sys/class/net/near/threaded
ping -q -f -c 100 -w 20 10.97.0.2 >/dev/null
ip netns add third
ip link set near netns third
ip -n third address add 10.97.0.1/24 dev near
ip -n third link set near up
ip netns exec third ping -q -f -c 100 -w 20 10.97.0.2 >/dev/null
stat -Lc %i /run/netns/third >/out/third
reading
reader_end
