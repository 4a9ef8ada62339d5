// Where the kernel would send a packet (RTM_GETROUTE of rtnetlink(7) for one destination;
// net/ipv4/route.c rt_fill_info, net/ipv6/route.c rt6_fill_node). Costs no packet.
#pragma once

#include <cstdint>
#include <optional>

#include "common/base/result.h"
#include "common/kernel/netlink.h"
#include "common/model/address.h"
#include "common/model/devices.h"

namespace wgvitals::kernel {

struct RouteQuestion {
  Endpoint to;    // its port plays no part
  Endpoint from;  // family none: the kernel chooses
  std::uint32_t mark = 0;
  std::uint32_t link = 0;  // index of the link to leave by; 0: routing decides
};

struct Route {
  std::uint32_t link = 0;  // index of the link that the packet leaves by
  Endpoint gateway;        // family none: the destination is on the link
  Endpoint source;         // family none: not told
  // Of the route, or learnt from an ICMP error and kept for ten minutes
  // (net.ipv4.route.mtu_expires); absent: the link's.
  std::optional<std::uint32_t> mtu;
  bool mtu_locked = false;  // configured: ICMP errors do not change it, packets may be fragmented
  friend bool operator==(const Route&, const Route&) = default;
};

// One RTM_NEWROUTE message. malformed where a known attribute has a wrong size.
Result<Route> parse_route(const nlmsghdr& message);

// absent where there is no route, or one that refuses (unreachable, blackhole, prohibit); `where`
// names the destination.
Result<Route> read_route(Netlink& netlink, const RouteQuestion& question);

// The link of this index; absent where there is none.
Result<Link> read_link(Netlink& netlink, std::uint32_t index);

// The smaller of the route's MTU and its link's.
std::uint32_t path_mtu(const Route& route, const Link& link);

}  // namespace wgvitals::kernel
