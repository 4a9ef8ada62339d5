// Netlink messages as the kernel sends them, built attribute by attribute.
#pragma once

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "common/model/devices.h"

namespace wgvitals::test {

using Message = std::vector<std::byte>;
using Key = std::array<std::uint8_t, 32>;

// Secrets that are easily found again where they should not be.
inline constexpr Key private_key = [] {
  Key key{};
  key.fill(0x5e);
  return key;
}();
inline constexpr Key preshared_key = [] {
  Key key{};
  key.fill(0x7c);
  return key;
}();

class MessageBuilder {
 public:
  explicit MessageBuilder(std::uint16_t type, std::uint16_t flags = NLM_F_MULTI)
      : bytes_(128 * 1024) {
    ::mnl_nlmsg_put_header(bytes_.data());
    header()->nlmsg_type = type;
    header()->nlmsg_flags = flags;
  }

  template <class Header>
  MessageBuilder& fixed(const Header& header_) {
    std::memcpy(::mnl_nlmsg_put_extra_header(header(), sizeof header_), &header_, sizeof header_);
    return *this;
  }
  template <class T>
  MessageBuilder& put(int type, const T& value) {
    return put_bytes(type, &value, sizeof value);
  }
  MessageBuilder& put_bytes(int type, const void* data, std::size_t size) {
    ::mnl_attr_put(header(), static_cast<std::uint16_t>(type), size, data);
    return *this;
  }
  MessageBuilder& put_text(int type, const std::string& text) {
    return put_bytes(type, text.c_str(), text.size() + 1);
  }
  template <class Inside>
  MessageBuilder& nest(int type, Inside&& inside) {
    nlattr* nest = ::mnl_attr_nest_start(header(), static_cast<std::uint16_t>(type));
    inside(*this);
    ::mnl_attr_nest_end(header(), nest);
    return *this;
  }

  Message message() const {
    const auto* first = reinterpret_cast<const std::byte*>(bytes_.data());
    return {first, first + reinterpret_cast<const nlmsghdr*>(bytes_.data())->nlmsg_len};
  }

 private:
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes_.data()); }

  std::vector<char> bytes_;
};

inline const nlmsghdr& header_of(const Message& message) {
  return *reinterpret_cast<const nlmsghdr*>(message.data());
}
inline nlmsghdr& header_of(Message& message) {
  return *reinterpret_cast<nlmsghdr*>(message.data());
}

struct AllowedIp {
  std::string address;
  std::uint8_t length;
};

// A peer as one message tells it.
struct KernelPeer {
  PublicKey key;
  bool continued = false;  // only the key and more allowed IPs
  std::string endpoint{};  // an address; empty: none
  std::uint16_t port = 0;
  std::uint32_t scope = 0;
  std::uint16_t keepalive = 0;
  std::int64_t handshake_s = 0, handshake_ns = 0;
  std::uint64_t rx_bytes = 0, tx_bytes = 0;
  std::vector<AllowedIp> allowed_ips{};
  Key psk{};
};

struct KernelDevice {
  std::uint32_t index;
  std::string name;
  std::uint16_t listen_port = 0;
  std::uint32_t fwmark = 0;
};

inline void put_endpoint(MessageBuilder& builder, const KernelPeer& peer) {
  sockaddr_in ipv4{};
  if (::inet_pton(AF_INET, peer.endpoint.c_str(), &ipv4.sin_addr) == 1) {
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(peer.port);
    builder.put(WGPEER_A_ENDPOINT, ipv4);
    return;
  }
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_port = htons(peer.port);
  ipv6.sin6_scope_id = peer.scope;
  ::inet_pton(AF_INET6, peer.endpoint.c_str(), &ipv6.sin6_addr);
  builder.put(WGPEER_A_ENDPOINT, ipv6);
}

inline void put_allowed_ip(MessageBuilder& builder, const AllowedIp& ip) {
  std::array<std::uint8_t, 16> address{};
  const bool ipv4 = ::inet_pton(AF_INET, ip.address.c_str(), address.data()) == 1;
  if (!ipv4) ::inet_pton(AF_INET6, ip.address.c_str(), address.data());
  builder.nest(0, [&](MessageBuilder& one) {
    one.put(WGALLOWEDIP_A_CIDR_MASK, ip.length)
        .put(WGALLOWEDIP_A_FAMILY, static_cast<std::uint16_t>(ipv4 ? AF_INET : AF_INET6))
        .put_bytes(WGALLOWEDIP_A_IPADDR, address.data(), ipv4 ? 4 : 16);
  });
}

// In the order of drivers/net/wireguard/netlink.c, get_peer().
inline void put_peer(MessageBuilder& builder, const KernelPeer& peer) {
  builder.nest(0, [&](MessageBuilder& inside) {
    inside.put(WGPEER_A_PUBLIC_KEY, peer.key.bytes);
    if (!peer.continued) {
      const struct { std::int64_t seconds, nanoseconds; } time{peer.handshake_s, peer.handshake_ns};
      inside.put(WGPEER_A_PRESHARED_KEY, peer.psk)
          .put(WGPEER_A_LAST_HANDSHAKE_TIME, time)
          .put(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, peer.keepalive)
          .put(WGPEER_A_TX_BYTES, peer.tx_bytes)
          .put(WGPEER_A_RX_BYTES, peer.rx_bytes)
          .put(WGPEER_A_PROTOCOL_VERSION, std::uint32_t{1});
      if (!peer.endpoint.empty()) put_endpoint(inside, peer);
    }
    inside.nest(WGPEER_A_ALLOWEDIPS, [&](MessageBuilder& list) {
      for (const auto& ip : peer.allowed_ips) put_allowed_ip(list, ip);
    });
  });
}

inline void put_device(MessageBuilder& builder, const KernelDevice& device) {
  builder.put(WGDEVICE_A_LISTEN_PORT, device.listen_port)
      .put(WGDEVICE_A_FWMARK, device.fwmark)
      .put(WGDEVICE_A_IFINDEX, device.index)
      .put_text(WGDEVICE_A_IFNAME, device.name)
      .put(WGDEVICE_A_PRIVATE_KEY, private_key);
}

inline MessageBuilder device_builder(std::uint16_t family) {
  MessageBuilder builder(family);
  builder.fixed(genlmsghdr{WG_CMD_GET_DEVICE, WG_GENL_VERSION, 0});
  return builder;
}

// The first message of a device, or another one that repeats it.
inline Message device_message(std::uint16_t family, const KernelDevice& device,
                              const std::vector<KernelPeer>& peers) {
  auto builder = device_builder(family);
  put_device(builder, device);
  builder.nest(WGDEVICE_A_PEERS, [&](MessageBuilder& list) {
    for (const auto& peer : peers) put_peer(list, peer);
  });
  return builder.message();
}

// A later message: peers only.
inline Message more_peers(std::uint16_t family, const std::vector<KernelPeer>& peers) {
  auto builder = device_builder(family);
  builder.nest(WGDEVICE_A_PEERS, [&](MessageBuilder& list) {
    for (const auto& peer : peers) put_peer(list, peer);
  });
  return builder.message();
}

inline Link named_link(const char* name, const char* kind = "wireguard", std::uint32_t index = 7) {
  Link link;
  link.name = name;
  link.kind = kind;
  link.index = index;
  return link;
}

inline Message link_message(const Link& link, std::size_t counter_bytes = 24 * 8) {
  MessageBuilder builder(RTM_NEWLINK);
  ifinfomsg fixed{};
  fixed.ifi_index = static_cast<int>(link.index);
  fixed.ifi_flags = link.flags;
  builder.fixed(fixed).put_text(IFLA_IFNAME, link.name).put(IFLA_MTU, link.mtu);
  if (link.counters) {
    const auto& from = *link.counters;
    rtnl_link_stats64 stats{};
    stats.rx_packets = from.rx_packets;
    stats.tx_packets = from.tx_packets;
    stats.rx_bytes = from.rx_bytes;
    stats.tx_bytes = from.tx_bytes;
    stats.rx_errors = from.rx_errors;
    stats.tx_errors = from.tx_errors;
    stats.rx_dropped = from.rx_dropped;
    stats.tx_dropped = from.tx_dropped;
    stats.rx_length_errors = from.rx_length_errors;
    stats.rx_frame_errors = from.rx_frame_errors;
    std::vector<std::byte> bytes(counter_bytes);
    std::memcpy(bytes.data(), &stats, std::min(sizeof stats, counter_bytes));
    builder.put_bytes(IFLA_STATS64, bytes.data(), bytes.size());
  }
  builder.nest(IFLA_LINKINFO,
               [&](MessageBuilder& info) { info.put_text(IFLA_INFO_KIND, link.kind); });
  return builder.message();
}

inline Message family_message(std::uint16_t id) {
  MessageBuilder builder(GENL_ID_CTRL, 0);
  builder.fixed(genlmsghdr{CTRL_CMD_NEWFAMILY, 2, 0})
      .put_text(CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME)
      .put(CTRL_ATTR_FAMILY_ID, id);
  return builder.message();
}

}  // namespace wgvitals::test
