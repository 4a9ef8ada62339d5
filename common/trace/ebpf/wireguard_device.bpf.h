// Whose device: what the eBPF programs share. SPDX-License-Identifier: MIT OR GPL-2.0-only
#pragma once

#include <linux/types.h>
// Types before the helpers, which use them.
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <linux/bpf.h>
#include <stdbool.h>

// As much of the kernel's types as is read; where the members are, libbpf finds out (CO-RE).
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
  unsigned int inum;
};
struct net {
  struct ns_common ns;
};
typedef struct {
  struct net *net;
} possible_net_t;
struct rtnl_link_ops {
  const char *kind;
};
struct net_device {
  const struct rtnl_link_ops *rtnl_link_ops;
  int ifindex;
  possible_net_t nd_net;
};
#pragma clang attribute pop

static __always_inline __u64 pointer_at(__u64 address) {
  __u64 pointer = 0;
  bpf_probe_read_kernel(&pointer, sizeof pointer, (const void *)address);
  return pointer;
}

static __always_inline bool are_wireguards(const struct rtnl_link_ops *link_ops) {
  const char *kind = BPF_CORE_READ(link_ops, kind);
  char text[10] = {};
  if (!kind || bpf_probe_read_kernel(text, sizeof text, kind)) return false;
  return text[0] == 'w' && text[1] == 'i' && text[2] == 'r' && text[3] == 'e' && text[4] == 'g' &&
         text[5] == 'u' && text[6] == 'a' && text[7] == 'r' && text[8] == 'd' && !text[9];
}

// A WireGuard device's identity; its link_ops, or 0 where it is none. Those known before need no
// other look.
static __always_inline __u64 name_device(struct net_device *device, __u64 known, __u32 *netns,
                                         __u32 *ifindex) {
  const struct rtnl_link_ops *link_ops = device ? BPF_CORE_READ(device, rtnl_link_ops) : 0;
  if (!link_ops || ((__u64)link_ops != known && !are_wireguards(link_ops))) return 0;
  *ifindex = BPF_CORE_READ(device, ifindex);
  if (bpf_core_field_exists(device->nd_net.net)) {
    *netns = BPF_CORE_READ(device, nd_net.net, ns.inum);
  }
  return (__u64)link_ops;
}
