#include "common/kernel/conntrack_flows.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <string>

#include "common/kernel/conntrack.h"

namespace wgvitals::kernel {
namespace {

// net/netfilter/nf_internals.h, CTA_FILTER_F_CTA_PROTO_NUM.
constexpr std::uint32_t same_protocol = 1 << 3;

Error malformed(const char* what) {
  return {Errc::malformed, 0, std::string("conntrack flow: ") + what};
}

bool get_address(const nlattr& attribute, AddressFamily family, Endpoint& endpoint) {
  const std::size_t size = family == AddressFamily::ipv4 ? 4 : 16;
  if (payload_size(attribute) != size) return false;
  const auto* bytes = static_cast<const std::uint8_t*>(payload(attribute));
  std::copy_n(bytes, size, endpoint.address.begin());
  endpoint.family = family;
  return true;
}

// The source of a tuple, and its protocol.
bool parse_tuple(const nlattr& tuple, Endpoint& source, std::uint8_t& protocol) {
  return for_each_nested(tuple, [&](const nlattr& part) {
    if (type_of(part) == CTA_TUPLE_IP) {
      return for_each_nested(part, [&](const nlattr& one) {
        if (type_of(one) == CTA_IP_V4_SRC) return get_address(one, AddressFamily::ipv4, source);
        if (type_of(one) == CTA_IP_V6_SRC) return get_address(one, AddressFamily::ipv6, source);
        return true;
      });
    }
    if (type_of(part) != CTA_TUPLE_PROTO) return true;
    return for_each_nested(part, [&](const nlattr& one) {
      if (type_of(one) == CTA_PROTO_NUM) return get_attribute(one, protocol);
      if (type_of(one) != CTA_PROTO_SRC_PORT) return true;
      const bool sized = get_attribute(one, source.port);
      source.port = ntohs(source.port);
      return sized;
    });
  });
}

bool get_number(const nlattr& attribute, std::uint32_t& number) {
  if (!get_attribute(attribute, number)) return false;
  number = ntohl(number);
  return true;
}

bool parse_part(const nlattr& part, ConntrackFlow& flow) {
  switch (type_of(part)) {
    case CTA_TUPLE_ORIG:
      return parse_tuple(part, flow.begun_by, flow.protocol);
    case CTA_TUPLE_REPLY:
      return parse_tuple(part, flow.answered_by, flow.protocol);
    case CTA_STATUS:
      return get_number(part, flow.status);
    case CTA_TIMEOUT:
      return get_number(part, flow.timeout_s.emplace());
    default:
      return true;
  }
}

// Of one of our own addresses: scopes and ports are none.
using Addresses = std::vector<Endpoint>;

bool is_own(const Addresses& own, const Endpoint& endpoint) {
  return std::any_of(own.begin(), own.end(), [&](const Endpoint& one) {
    return one.family == endpoint.family && one.address == endpoint.address;
  });
}

Result<Addresses> read_own_addresses(Netlink& route) {
  NetlinkRequest request(RTM_GETADDR, NLM_F_DUMP);
  request.extra_header<ifaddrmsg>().ifa_family = AF_UNSPEC;
  Addresses addresses;
  const auto asked = route.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
    const auto address = parse_own_address(message);
    if (!address) return address.error();
    if (address->family != AddressFamily::none) addresses.push_back(*address);
    return Done{};
  });
  if (!asked) return asked.error();
  return addresses;
}

void count(const ConntrackFlow& flow, PortFlows& port) {
  ++port.flows;
  if ((flow.status & IPS_SEEN_REPLY) == 0) ++port.unreplied;
  if ((flow.status & IPS_ASSURED) != 0) ++port.assured;
  if (!flow.timeout_s) return;
  port.min_timeout_s = std::min(*flow.timeout_s, port.min_timeout_s.value_or(*flow.timeout_s));
}

// All UDP flows of a family. To ask for each port by itself, at either end, would be four walks
// through the table instead of two.
NetlinkRequest flows_request(std::uint8_t family) {
  auto request = conntrack_request(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);
  auto* header = request.header();
  nlattr* tuple = ::mnl_attr_nest_start(header, CTA_TUPLE_ORIG);
  nlattr* protocol = ::mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
  ::mnl_attr_put_u8(header, CTA_PROTO_NUM, IPPROTO_UDP);
  ::mnl_attr_nest_end(header, protocol);
  ::mnl_attr_nest_end(header, tuple);
  nlattr* filter = ::mnl_attr_nest_start(header, CTA_FILTER);
  ::mnl_attr_put_u32(header, CTA_FILTER_ORIG_FLAGS, same_protocol);
  ::mnl_attr_nest_end(header, filter);
  return request;
}

}  // namespace

Result<ConntrackFlow> parse_conntrack_flow(const nlmsghdr& message) {
  const auto size = ::mnl_nlmsg_get_payload_len(&message);
  if (size < sizeof(nfgenmsg)) return malformed("a message too short");
  ConntrackFlow flow;
  const bool whole = for_each_attribute(::mnl_nlmsg_get_payload_offset(&message, sizeof(nfgenmsg)),
                                        size - MNL_ALIGN(sizeof(nfgenmsg)),
                                        [&](const nlattr& part) { return parse_part(part, flow); });
  if (!whole) return malformed("damaged attributes");
  return flow;
}

Result<Endpoint> parse_own_address(const nlmsghdr& message) {
  const auto size = ::mnl_nlmsg_get_payload_len(&message);
  if (message.nlmsg_type != RTM_NEWADDR || size < sizeof(ifaddrmsg)) {
    return Error{Errc::malformed, 0, "address: not an address message"};
  }
  const auto& fixed = *static_cast<const ifaddrmsg*>(::mnl_nlmsg_get_payload(&message));
  const auto family = fixed.ifa_family == AF_INET    ? AddressFamily::ipv4
                      : fixed.ifa_family == AF_INET6 ? AddressFamily::ipv6
                                                     : AddressFamily::none;
  Endpoint address, local;  // on a point-to-point link, IFA_ADDRESS is the other end's
  const bool whole =
      for_each_attribute(::mnl_nlmsg_get_payload_offset(&message, sizeof(ifaddrmsg)),
                         size - MNL_ALIGN(sizeof(ifaddrmsg)), [&](const nlattr& one) {
                           if (family == AddressFamily::none) return true;
                           if (type_of(one) == IFA_ADDRESS)
                             return get_address(one, family, address);
                           if (type_of(one) == IFA_LOCAL) return get_address(one, family, local);
                           return true;
                         });
  if (!whole) return Error{Errc::malformed, 0, "address: damaged attributes"};
  return local.family != AddressFamily::none ? local : address;
}

const PortFlows* find_port(std::span<const PortFlows> ports, std::uint16_t port) {
  const auto found =
      std::lower_bound(ports.begin(), ports.end(), port,
                       [](const auto& one, auto wanted) { return one.port < wanted; });
  return found != ports.end() && found->port == port ? &*found : nullptr;
}

Result<Done> count_flows(Netlink& netfilter, Netlink& route, std::span<PortFlows> ports) {
  if (ports.empty()) return Done{};
  const auto own = read_own_addresses(route);
  if (!own) return own.error();

  const auto port_of = [&](const Endpoint& end) -> PortFlows* {
    const auto* found = find_port(ports, end.port);
    return found != nullptr && is_own(*own, end)
               ? &ports[static_cast<std::size_t>(found - ports.data())]
               : nullptr;
  };
  const auto take = [&](const nlmsghdr& message) -> Result<Done> {
    const auto flow = parse_conntrack_flow(message);
    if (!flow) return flow.error();
    if (flow->protocol != IPPROTO_UDP) return Done{};  // of a kernel that knows no filter
    auto* port = port_of(flow->begun_by);
    if (port == nullptr) port = port_of(flow->answered_by);
    if (port != nullptr) count(*flow, *port);
    return Done{};
  };
  for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
    auto request = flows_request(family);
    if (const auto asked = netfilter.ask(request, take); !asked) {
      return conntrack_error(asked.error());
    }
  }
  return Done{};
}

}  // namespace wgvitals::kernel
