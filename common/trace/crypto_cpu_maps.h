/* What the eBPF programs of ebpf/crypto_cpu.bpf.c and their reader share: plain C, with the same
 * layout in both. SPDX-License-Identifier: MIT OR GPL-2.0-only */
#pragma once

#include <linux/types.h>

/* NOLINTBEGIN(readability-identifier-naming): the names are C's */

enum { longest_queue_name = 32, work_path_count = 5 };

/* What a thread of the kernel does for WireGuard. */
enum work_kind {
  work_encrypt,
  work_decrypt,
  work_transmit,
  work_handshake,
  work_receive, /* in a NAPI thread */
  work_packets, /* one of the first three, which cannot be told apart */
};

/* How a work item leads to its net_device: two pointers, each so many bytes beside the place that
 * the last one led to. It differs from kernel to kernel and is read from the BTF of the module. */
struct work_path {
  __s32 first;
  __s32 second;
  __u32 known; /* 0: there is no such path */
  __u32 kind;  /* enum work_kind */
};

struct crypto_cpu_settings {
  struct work_path paths[work_path_count];
  __u32
      any_queue; /* 1: works of all workqueues, by name: for tests on a kernel without WireGuard */
};

/* Whose time it is: the device's network namespace and index; where no path led to it, both are 0
 * and the name of the workqueue tells, as worker->desc has it. Bytes that are not used are 0. */
struct work_key {
  __u32 netns;
  __u32 ifindex;
  __u32 kind; /* enum work_kind */
  char queue[longest_queue_name];
};

struct work_time {
  __u64 ns;   /* on this CPU, without the softirqs that ran on top */
  __u64 runs; /* that ended on it */
};

/* The state of a CPU. */
struct cpu_state {
  __u64 softirq_start; /* of the softirq on top of the open work; 0: none */
  __u64 softirq_ns;    /* of all such */
  __u64 slice_start; /* since when the open work runs here, as far as its time is not yet counted */
  __u64 slice_softirq; /* softirq_ns at that moment */
  __u64 work;          /* the work's address; 0: a NAPI thread, whose work has no end */
  __u64 begins;        /* the address of the work that begins */
  __u64 missed;        /* works and times that found no room in a map */
  struct work_key key;
  __u32 open; /* 1: there is such a work */
};

/* NOLINTEND(readability-identifier-naming) */
