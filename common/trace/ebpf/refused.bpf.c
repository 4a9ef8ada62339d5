// Counts the data packets that WireGuard refuses when it has looked into them, and those of no
// session that it knows: wg_packet_rx_poll() and wg_packet_consume_data()
// (drivers/net/wireguard/receive.c) free them as packets that were used, not as drops.
//
// The kernel's license check asks for GPL-compatible programs: this file may be used under either.
// SPDX-License-Identifier: MIT OR GPL-2.0-only

#include "common/trace/ebpf/wireguard_device.bpf.h"
#include "common/trace/refused_maps.h"

// After the types that it uses.
#include <bpf/bpf_endian.h>
#include <linux/in.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sk_buff {
  struct net_device *dev;
  unsigned int len;
  char cb[48];
  __u16 transport_header, network_header;
  unsigned char *head, *data;
};
#pragma clang attribute pop

// What decrypt_packet() leaves in front of the content: the headers of UDP and of a data message.
// It stops earlier where it does not try, the session being too old, and nobody calls it where
// there is no room in the queue. What is accepted has other headers.
enum { udp_header = 8, headers = udp_header + 16 };
enum { data_message = 4, shortest_message = 16 + 16 };  // messages.h
enum { packet_crypted = 1, packet_dead = 2 };  // enum packet_state, queueing.h

const volatile struct refused_settings settings = {};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, 1024);
  __type(key, struct refused_key);
  __type(value, struct refused_counts);
} refused SEC(".maps");

static __always_inline struct refused_counts *counts_of(const struct refused_key *key) {
  struct refused_counts *counts = bpf_map_lookup_elem(&refused, key);
  if (counts) return counts;
  struct refused_counts none = {};
  bpf_map_update_elem(&refused, key, &none, BPF_NOEXIST);
  return bpf_map_lookup_elem(&refused, key);
}

static __always_inline bool is_udp(const struct sk_buff *packet) {
  const unsigned char *header = packet->head + packet->network_header;
  unsigned char start[10] = {};
  if (bpf_probe_read_kernel(start, sizeof start, header)) return false;
  return (start[0] >> 4 == 4 ? start[9] : start[6]) == IPPROTO_UDP;
}

// A data message from which WireGuard has taken the header of UDP, and for whose index it found no
// session; its device is known by the port alone.
static __always_inline void count_unknown(const struct sk_buff *packet) {
  unsigned char type[4] = {};
  __u16 port = 0;
  if (packet->len < shortest_message) return;
  if (bpf_probe_read_kernel(type, sizeof type, packet->data)) return;
  if (type[0] != data_message || type[1] || type[2] || type[3] || !is_udp(packet)) return;
  if (pointer_at((__u64)packet->cb + settings.keypair)) return;
  if (bpf_probe_read_kernel(&port, sizeof port, packet->data - udp_header + 2)) return;
  struct refused_key key = {.port = bpf_ntohs(port)};
  if (bpf_core_field_exists(packet->dev->nd_net.net)) {
    key.netns = BPF_CORE_READ(packet, dev, nd_net.net, ns.inum);
  }
  struct refused_counts *counts = counts_of(&key);
  if (counts) ++counts->unknown_index;
}

// Of every packet on the host that is freed after use.
SEC("tp_btf/consume_skb")
int BPF_PROG(packet_freed, struct sk_buff *packet) {
  const unsigned char *transport = packet->head + packet->transport_header;
  if (packet->data == transport + udp_header) count_unknown(packet);
  if (packet->data != transport + headers) return 0;
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
  struct refused_counts *counts = counts_of(&key);
  if (!counts) return 0;
  if (state == packet_dead) {
    ++counts->auth_failures;
  } else {
    ++counts->replays;
  }
  return 0;
}
