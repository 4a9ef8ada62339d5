/* What the eBPF program of ebpf/refused.bpf.c and its reader share: plain C, with the same layout
 * in both. SPDX-License-Identifier: MIT OR GPL-2.0-only */
#pragma once

#include <linux/types.h>

/* NOLINTBEGIN(readability-identifier-naming): the names are C's */

/* Where members are, in bytes, by the BTF of the module (drivers/net/wireguard): from a packet's
 * control block to its state and its keypair, and from there to the net_device. */
struct refused_settings {
  __u32 state;   /* in struct packet_cb */
  __u32 keypair; /* there */
  __u32 peer;    /* in struct noise_keypair */
  __u32 device;  /* in struct wg_peer */
  __u32 dev;     /* in struct wg_device */
};

struct refused_key {
  __u32 netns;   /* inode */
  __u32 ifindex; /* 0: of the device whose UDP port is `port`, in the namespace of its socket */
  __u32 port;    /* 0 where ifindex is not */
};

/* On a CPU. */
struct refused_counts {
  __u64 auth_failures;
  __u64 replays;
  __u64 unknown_index; /* by the port */
};

/* NOLINTEND(readability-identifier-naming) */
