// Counts the data packets that WireGuard refuses when it has looked into them: wg_packet_rx_poll()
// (drivers/net/wireguard/receive.c) frees those as packets that were used, not as drops.
//
// The kernel's license check asks for GPL-compatible programs: this file may be used under either.
// SPDX-License-Identifier: MIT OR GPL-2.0-only

#include "common/trace/ebpf/wireguard_device.bpf.h"
#include "common/trace/refused_maps.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sk_buff {
  char cb[48];
  __u16 transport_header;
  unsigned char *head, *data;
};
#pragma clang attribute pop

// What decrypt_packet() leaves in front of the content: the headers of UDP and of a data message.
// It stops earlier where it does not try, the session being too old, and nobody calls it where
// there is no room in the queue. What is accepted has other headers.
enum { headers = 8 + 16 };
enum { packet_crypted = 1, packet_dead = 2 };  // enum packet_state, queueing.h

const volatile struct refused_settings settings = {};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, 1024);
  __type(key, struct refused_key);
  __type(value, struct refused_counts);
} refused SEC(".maps");

// Of every packet on the host that is freed after use.
SEC("tp_btf/consume_skb")
int BPF_PROG(packet_freed, struct sk_buff *packet) {
  if (packet->data != packet->head + packet->transport_header + headers) return 0;
  __u64 control = (__u64)packet->cb;
  __u32 state = 0;
  bpf_probe_read_kernel(&state, sizeof state, (const void *)(control + settings.state));
  if (state != packet_crypted && state != packet_dead) return 0;
  // Where the packet is none of WireGuard's this leads anywhere; what is there hardly points to the
  // word "wireguard".
  __u64 keypair = pointer_at(control + settings.keypair);
  __u64 device = pointer_at(pointer_at(keypair + settings.peer) + settings.device);
  struct refused_key key = {};
  if (!name_device((void *)pointer_at(device + settings.dev), 0, &key.netns, &key.ifindex)) {
    return 0;
  }
  struct refused_counts *counts = bpf_map_lookup_elem(&refused, &key);
  if (!counts) {
    struct refused_counts none = {};
    bpf_map_update_elem(&refused, &key, &none, BPF_NOEXIST);
    counts = bpf_map_lookup_elem(&refused, &key);
    if (!counts) return 0;
  }
  if (state == packet_dead) {
    ++counts->auth_failures;
  } else {
    ++counts->replays;
  }
  return 0;
}
