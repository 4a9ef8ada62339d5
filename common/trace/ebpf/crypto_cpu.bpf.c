// The CPU time of the kernel's WireGuard, from tracepoints alone: what its work items take, from
// workqueue_execute_start to _end and only while their worker is on a CPU, without the softirqs
// that run on top; and what the NAPI threads of its devices take, where NAPI is threaded.
//
// The kernel's license check asks for GPL-compatible programs: this file may be used under either.
// SPDX-License-Identifier: MIT OR GPL-2.0-only

#include "common/trace/crypto_cpu_maps.h"
#include "common/trace/ebpf/wireguard_device.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

// As much of the kernel's types as is read; where the members are, libbpf finds out (CO-RE).
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct work_struct;
typedef void (*work_func_t)(struct work_struct *);
struct work_struct {
  work_func_t func;
};
struct worker {  // kernel/workqueue_internal.h
  struct work_struct *current_work;
  work_func_t current_func;
  char desc[longest_queue_name];  // 24 before Linux 6.10
};
struct kthread {  // kernel/kthread.c
  void *data;
};
struct task_struct {
  int pid;
  unsigned int flags;
  __u64 start_time;
  char comm[16];
  void *worker_private;
};
struct task_struct___5_16 {  // until then struct kthread hung here
  void *set_child_tid;
};
struct napi_struct {
  struct net_device *dev;
  struct task_struct *thread;  // since 5.12
};
#pragma clang attribute pop

enum { workqueue_worker = 0x20, kernel_thread = 0x200000 };  // include/linux/sched.h, PF_
// How long a time may stay uncounted where nothing interrupts the work but softirqs.
enum { longest_slice_ns = 20000000 };

const volatile struct crypto_cpu_settings settings = {};

// A work that has begun and not ended, by the thread's number.
struct open_work {
  __u64 thread_start;  // numbers of threads are used again
  __u64 work;
  struct work_key key;
  __u32 unused;  // no padding, which would be uninitialised
};
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, struct open_work);
} works SEC(".maps");

// NAPI threads of devices that are not WireGuard's: their start.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, __u64);
} others SEC(".maps");

// Workers that were looked at for what they had begun before we came: their start.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, __u64);
} seen SEC(".maps");

// What is known of the works of one function. The reader empties the map now and then, because
// another module may come to the same address.
struct work_function {
  __u64 link_ops;  // of the device that its path led to, which are WireGuard's; 0: none of ours
  __u64 path;
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __type(value, struct work_function);
} functions SEC(".maps");

// For 200 devices: of 16 bytes for each CPU that the host may ever have.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, 1024);
  __type(key, struct work_key);
  __type(value, struct work_time);
} times SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct cpu_state);
} cpus SEC(".maps");

static __always_inline struct cpu_state *this_cpu(void) {
  __u32 only = 0;
  return bpf_map_lookup_elem(&cpus, &only);
}

// --- which device -------------------------------------------------------------------------------

// A path that does not fit leads anywhere; what is there hardly points to the word "wireguard".
static __always_inline __u64 follow(__u64 work, __u64 path, __u64 known, struct work_key *key) {
  if (path >= work_path_count || !settings.paths[path].known) return 0;
  __u64 between = pointer_at(work + settings.paths[path].first);
  if (!between) return 0;
  struct net_device *device = (void *)pointer_at(between + settings.paths[path].second);
  key->kind = settings.paths[path].kind;
  return name_device(device, known, &key->netns, &key->ifindex);
}

static __always_inline bool name_by_queue(const char *queue, struct work_key *key) {
  if (settings.any_queue) {
    key->kind = work_packets;
    return queue[0];
  }
  if (queue[0] != 'w' || queue[1] != 'g' || queue[2] != '-') return false;
  if (queue[3] == 'c' && queue[4] == 'r') {
    key->kind = work_packets;  // wg-crypt-NAME
  } else if (queue[3] == 'k' && queue[4] == 'e') {
    key->kind = work_handshake;  // wg-kex-NAME
  } else {
    return false;
  }
  return true;
}

// Whose work it is, of a function that we do not know, or whose path does not fit any more. false:
// none of ours.
static __always_inline bool name_work(struct worker *worker, __u64 work, __u64 function,
                                      struct work_key *key) {
  struct work_function about = {};
  bpf_core_read_str(key->queue, sizeof key->queue, &worker->desc);
  if (!name_by_queue(key->queue, key)) {
    bpf_map_update_elem(&functions, &function, &about, BPF_ANY);
    return false;
  }
  struct work_key found = {};
#pragma clang loop unroll(full)
  for (__u64 path = 0; path < work_path_count; ++path) {
    about.link_ops = follow(work, path, 0, &found);
    if (!about.link_ops) continue;
    about.path = path;
    bpf_map_update_elem(&functions, &function, &about, BPF_ANY);
    *key = found;
    return true;
  }
  return true;
}

// --- how long -----------------------------------------------------------------------------------

static __always_inline void open_slice(struct cpu_state *cpu, const struct open_work *work) {
  cpu->work = work->work;
  cpu->key = work->key;
  cpu->softirq_start = 0;
  cpu->slice_softirq = cpu->softirq_ns;
  cpu->slice_start = bpf_ktime_get_ns();
  barrier();  // a softirq may come in between, and looks at `open` first
  cpu->open = 1;
}

static __always_inline void count(struct cpu_state *cpu, __u64 now, __u64 ended) {
  __u64 on_cpu = now - cpu->slice_start, softirq = cpu->softirq_ns - cpu->slice_softirq;
  struct work_time *time = bpf_map_lookup_elem(&times, &cpu->key);
  if (!time) {
    struct work_time none = {};
    bpf_map_update_elem(&times, &cpu->key, &none, BPF_NOEXIST);
    time = bpf_map_lookup_elem(&times, &cpu->key);
  }
  cpu->slice_start = now;
  cpu->slice_softirq = cpu->softirq_ns;
  if (!time) {
    ++cpu->missed;
    return;
  }
  time->ns += on_cpu > softirq ? on_cpu - softirq : 0;
  time->runs += ended;
}

// --- the tracepoints, in the order in which they are to be attached: a work's end must be seen by
// --- the time that its start is, and the switches of a CPU by the time that a work opens on it.

SEC("tp_btf/softirq_entry")
int BPF_PROG(softirq_entry) {
  struct cpu_state *cpu = this_cpu();
  if (cpu && cpu->open) cpu->softirq_start = bpf_ktime_get_ns();
  return 0;
}

SEC("tp_btf/softirq_exit")
int BPF_PROG(softirq_exit) {
  struct cpu_state *cpu = this_cpu();
  if (!cpu || !cpu->open || !cpu->softirq_start) return 0;
  __u64 now = bpf_ktime_get_ns();
  cpu->softirq_ns += now - cpu->softirq_start;
  cpu->softirq_start = 0;
  if (now - cpu->slice_start > longest_slice_ns) count(cpu, now, 0);
  return 0;
}

SEC("tp_btf/workqueue_execute_end")
int BPF_PROG(work_end, struct work_struct *work) {
  __u64 now = bpf_ktime_get_ns();
  struct cpu_state *cpu = this_cpu();
  // Works of BH workqueues (6.9 on) run and end in a softirq, on top of others.
  if (!cpu || !cpu->open || cpu->work != (__u64)work) return 0;
  cpu->open = 0;
  barrier();
  count(cpu, now, 1);
  __u32 thread = bpf_get_current_pid_tgid();
  bpf_map_delete_elem(&works, &thread);
  return 0;
}

static __always_inline void *thread_data(struct task_struct *thread) {
  struct kthread *own;
  if (bpf_core_field_exists(thread->worker_private)) {
    own = BPF_CORE_READ(thread, worker_private);
  } else {
    own = BPF_CORE_READ((struct task_struct___5_16 *)thread, set_child_tid);
  }
  return BPF_CORE_READ(own, data);
}

static __always_inline __u64 current_work(struct task_struct *thread) {
  struct worker *worker = thread_data(thread);
  return (__u64)BPF_CORE_READ(worker, current_work);
}

// false: not known yet, as it runs before the kernel has noted it.
static __always_inline bool name_napi(struct task_struct *thread, struct open_work *found) {
  struct napi_struct *napi = thread_data(thread);
  if (!bpf_core_field_exists(napi->thread)) return true;
  struct task_struct *own = BPF_CORE_READ(napi, thread);
  if (!own) return false;
  if (own != thread) return true;
  found->key.kind = work_receive;
  name_device(BPF_CORE_READ(napi, dev), 0, &found->key.netns, &found->key.ifindex);
  return true;
}

// Each time anew: its device may have been moved to another namespace.
static __always_inline void open_napi(struct cpu_state *cpu, struct task_struct *thread) {
  __u32 number = thread->pid;
  __u64 start = thread->start_time;
  __u64 *other = bpf_map_lookup_elem(&others, &number);
  if (other && *other == start) return;
  struct open_work found = {.thread_start = start};
  if (!name_napi(thread, &found)) return;
  if (found.key.ifindex) {
    open_slice(cpu, &found);
  } else {
    bpf_map_update_elem(&others, &number, &start, BPF_ANY);
  }
}

// What a worker had begun before we came.
static __always_inline bool name_begun(struct task_struct *thread, struct open_work *found) {
  struct worker *worker = thread_data(thread);
  __u64 function = (__u64)BPF_CORE_READ(worker, current_func);
  if (!function) return false;
  found->work = (__u64)BPF_CORE_READ(worker, current_work);
  return found->work && name_work(worker, found->work, function, &found->key);
}

static __always_inline void pick_up(struct cpu_state *cpu, struct task_struct *thread) {
  __u32 number = thread->pid;
  struct open_work found = {.thread_start = thread->start_time};
  __u64 *looked_at = bpf_map_lookup_elem(&seen, &number);
  if (looked_at && *looked_at == found.thread_start) return;
  bpf_map_update_elem(&seen, &number, &found.thread_start, BPF_ANY);
  if (!name_begun(thread, &found)) return;
  if (bpf_map_update_elem(&works, &number, &found, BPF_ANY)) {
    ++cpu->missed;
  } else {
    open_slice(cpu, &found);
  }
}

SEC("tp_btf/sched_switch")
int BPF_PROG(task_switch, bool preempt, struct task_struct *from, struct task_struct *to) {
  struct cpu_state *cpu = this_cpu();
  if (!cpu) return 0;
  if (cpu->open) {
    cpu->open = 0;
    count(cpu, bpf_ktime_get_ns(), 0);
  }
  if (!(to->flags & workqueue_worker)) {
    if (to->flags & kernel_thread && to->comm[0] == 'n' && to->comm[1] == 'a' &&
        to->comm[2] == 'p' && to->comm[3] == 'i' && to->comm[4] == '/') {
      open_napi(cpu, to);
    }
    return 0;
  }
  __u32 number = to->pid;
  struct open_work *begun = bpf_map_lookup_elem(&works, &number);
  if (begun && begun->thread_start == to->start_time) {
    open_slice(cpu, begun);
    return 0;
  }
  if (begun) bpf_map_delete_elem(&works, &number);
  pick_up(cpu, to);
  return 0;
}

SEC("tp_btf/workqueue_execute_start")
int BPF_PROG(work_start, struct work_struct *work) {
  struct task_struct *thread = bpf_get_current_task_btf();
  __u64 function = (__u64)work->func;
  struct cpu_state *cpu = this_cpu();
  if (!cpu || !(thread->flags & workqueue_worker)) return 0;
  // The verifier lets nobody calculate with the pointer; what comes from a map is a number.
  cpu->begins = (__u64)work;
  barrier();
  __u64 address = cpu->begins;
  __u32 number = thread->pid;
  if (cpu->open && current_work(thread) == address) {  // not a BH workqueue's, on top
    cpu->open = 0;  // it had ended already when its worker was picked up
    bpf_map_delete_elem(&works, &number);
  }
  struct work_function *known = bpf_map_lookup_elem(&functions, &function);
  if (known && !known->link_ops) return 0;
  struct open_work found = {.thread_start = thread->start_time, .work = address};
  if (!known || !follow(address, known->path, known->link_ops, &found.key)) {
    if (current_work(thread) != address) return 0;  // a BH workqueue's
    if (!name_work(thread_data(thread), address, function, &found.key)) return 0;
  }
  if (bpf_map_update_elem(&works, &number, &found, BPF_ANY)) {
    ++cpu->missed;
  } else {
    open_slice(cpu, &found);
  }
  return 0;
}
