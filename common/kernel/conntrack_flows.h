// The flows of our own UDP ports in the connection tracking table (ctnetlink, IPCTNL_MSG_CT_GET).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/kernel/netlink.h"
#include "common/model/address.h"

namespace wgvitals::kernel {

// Who sends in each direction, as the sender writes it; ports are 0 where the protocol has none.
struct ConntrackFlow {
  std::uint8_t protocol = 0;  // IPPROTO_UDP
  Endpoint begun_by;          // source of the first packet
  Endpoint answered_by;       // source of the answers, behind any destination NAT
  std::uint32_t status = 0;   // include/uapi/linux/netfilter/nf_conntrack_common.h, IPS_*
  std::optional<std::uint32_t> timeout_s;  // until it is forgotten; empty: handled by hardware
};

Result<ConntrackFlow> parse_conntrack_flow(const nlmsghdr& message);

// An answer to RTM_GETADDR: one of our own addresses; family none: of another family.
Result<Endpoint> parse_own_address(const nlmsghdr& message);

struct PortFlows {
  std::uint16_t port = 0;
  std::uint64_t flows = 0, unreplied = 0, assured = 0;
  std::optional<std::uint32_t> min_timeout_s;
};

// Null: not one of these, which are in ascending order.
const PortFlows* find_port(std::span<const PortFlows> ports, std::uint16_t port);

// Counts the UDP flows that one of our own addresses takes part in from each of `ports`, which are
// in ascending order; what is only forwarded, from or to the same ports, is none. The kernel sends
// UDP only (CTA_FILTER, since 5.8; older ones the whole table), but twice walks through the flows
// of all namespaces: the caller bounds it. Errors as read_conntrack_cpus().
Result<Done> count_flows(Netlink& netfilter, Netlink& route, std::span<PortFlows> ports);

}  // namespace wgvitals::kernel
