// What one reading of WireGuard saw: plain data, replaced by the next reading. Vectors keep their
// memory, so that a steady set of peers costs no allocation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/model/address.h"
#include "common/model/key.h"

namespace wgvitals {

// Counters since the link was made (rtnetlink IFLA_STATS64, include/uapi/linux/if_link.h).
struct LinkCounters {
  std::uint64_t rx_packets = 0, tx_packets = 0, rx_bytes = 0, tx_bytes = 0;
  std::uint64_t rx_errors = 0, tx_errors = 0, rx_dropped = 0, tx_dropped = 0;
  std::uint64_t rx_length_errors = 0, rx_frame_errors = 0;
};

struct Link {
  std::string name;
  std::string kind;  // IFLA_INFO_KIND: "wireguard", "tun"
  std::uint32_t index = 0;
  std::uint32_t flags = 0;         // IFF_UP and others
  std::uint32_t mtu = 0;           // bytes
  std::optional<bool> threaded{};  // threads of its own take in its packets (threaded NAPI)
  std::optional<LinkCounters> counters;
};

// A device recreated under its old name has another identity.
struct DeviceIdentity {
  std::uint64_t place = 0;  // inode of its network namespace; userspace: of its UAPI socket
  std::uint32_t index = 0;  // of its link; userspace: 0
  friend bool operator==(const DeviceIdentity&, const DeviceIdentity&) = default;
};

struct SeenPeer {
  PublicKey key;
  Endpoint endpoint;           // family none: not known
  std::uint64_t rx_bytes = 0;  // WireGuard messages, handshakes included
  std::uint64_t tx_bytes = 0;
  std::int64_t handshake_ns = 0;   // since 1970, or ago where the device says so; see has_handshake
  std::uint32_t first_prefix = 0;  // allowed IPs: a range of Devices::prefixes
  std::uint32_t prefix_count = 0;
  std::uint32_t protocol_version = 0;
  std::uint16_t keepalive_s = 0;  // 0: off
  bool has_handshake = false;
  bool preshared_key_set = false;
};

struct SeenDevice {
  std::string name;
  std::string netns;  // as configured; empty: our own
  DeviceIdentity identity;
  std::optional<PublicKey> key;  // its own; empty: it has none, or it was not told
  std::optional<Link> link;      // empty: in a namespace that we do not read
  bool userspace = false;
  std::uint32_t process = 0;  // userspace: the id of who answers; 0: not to be seen from here
  bool handshakes_are_ages = false;  // boringtun tells how long ago
  std::uint16_t listen_port = 0;
  std::uint32_t fwmark = 0;
  std::uint32_t first_peer = 0;  // a range of Devices::peers
  std::uint32_t peer_count = 0;
};

struct Devices {
  std::vector<SeenDevice> devices;
  std::vector<SeenPeer> peers;
  std::vector<Prefix> prefixes;
  // What exists but could not be read this time: its peers are not gone. Index 0 of a namespace
  // stands for all its devices.
  std::vector<DeviceIdentity> unread;
  bool incomplete = false;  // the reading broke off: whatever is missing is unread

  void clear() {
    devices.clear();
    peers.clear();
    prefixes.clear();
    unread.clear();
    incomplete = false;
  }
  bool is_unread(const DeviceIdentity& identity) const {
    return incomplete || std::any_of(unread.begin(), unread.end(), [&](const DeviceIdentity& one) {
             return one.place == identity.place && (one.index == identity.index || one.index == 0);
           });
  }
  std::span<const SeenPeer> peers_of(const SeenDevice& device) const {
    return std::span(peers).subspan(device.first_peer, device.peer_count);
  }
};

}  // namespace wgvitals
