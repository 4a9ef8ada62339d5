// Flows and addresses as the kernel sends them.
#pragma once

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <optional>
#include <string>
#include <utility>

#include "tests/support/netlink_messages.h"

namespace wgvitals::test {

struct KernelFlow {
  std::string begun_by;  // an address
  std::uint16_t begun_port = 0;
  std::string answered_by;
  std::uint16_t answered_port = 0;
  std::uint32_t status = 0;
  std::optional<std::uint32_t> timeout_s;
  std::uint8_t protocol = IPPROTO_UDP;
};

// The address's family and bytes.
inline std::pair<int, std::array<std::uint8_t, 16>> to_address(const std::string& text) {
  std::pair<int, std::array<std::uint8_t, 16>> address{AF_INET, {}};
  if (::inet_pton(AF_INET, text.c_str(), address.second.data()) != 1) {
    address.first = AF_INET6;
    ::inet_pton(AF_INET6, text.c_str(), address.second.data());
  }
  return address;
}

inline void put_tuple(MessageBuilder& builder, int type, const std::string& source,
                      std::uint16_t port, std::uint8_t protocol) {
  const auto [family, bytes] = to_address(source);
  const auto size = family == AF_INET ? 4u : 16u;
  builder.nest(type, [&, family = family, bytes = bytes](MessageBuilder& tuple) {
    tuple.nest(CTA_TUPLE_IP, [&](MessageBuilder& ip) {
      ip.put_bytes(family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, bytes.data(), size);
    });
    tuple.nest(CTA_TUPLE_PROTO, [&](MessageBuilder& proto) {
      proto.put(CTA_PROTO_NUM, protocol)
          .put(CTA_PROTO_SRC_PORT, htons(port))
          .put(CTA_PROTO_DST_PORT, htons(9));
    });
  });
}

inline Message flow_message(const KernelFlow& flow) {
  MessageBuilder builder(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW);
  const auto family = static_cast<std::uint8_t>(to_address(flow.begun_by).first);
  builder.fixed(nfgenmsg{family, NFNETLINK_V0, 0});
  put_tuple(builder, CTA_TUPLE_ORIG, flow.begun_by, flow.begun_port, flow.protocol);
  put_tuple(builder, CTA_TUPLE_REPLY, flow.answered_by, flow.answered_port, flow.protocol);
  builder.put(CTA_STATUS, htonl(flow.status));
  if (flow.timeout_s) builder.put(CTA_TIMEOUT, htonl(*flow.timeout_s));
  return builder.message();
}

// One of our own addresses; `other_end`: of a point-to-point link.
inline Message address_message(const std::string& text, const std::string& other_end = "") {
  MessageBuilder builder(RTM_NEWADDR);
  const auto [family, bytes] = to_address(text);
  ifaddrmsg fixed{};
  fixed.ifa_family = static_cast<std::uint8_t>(family);
  const auto size = family == AF_INET ? 4u : 16u;
  builder.fixed(fixed);
  const auto far = to_address(other_end).second;
  builder.put_bytes(IFA_ADDRESS, other_end.empty() ? bytes.data() : far.data(), size);
  if (!other_end.empty()) builder.put_bytes(IFA_LOCAL, bytes.data(), size);
  return builder.message();
}

}  // namespace wgvitals::test
