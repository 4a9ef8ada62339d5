#include "common/kernel/route.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "common/kernel/link.h"

namespace wgvitals::kernel {
namespace {

constexpr std::size_t size_of(AddressFamily family) {
  return family == AddressFamily::ipv4 ? 4 : 16;
}

AddressFamily to_family(int family) {
  return family == AF_INET    ? AddressFamily::ipv4
         : family == AF_INET6 ? AddressFamily::ipv6
                              : AddressFamily::none;
}

bool take_address(AddressFamily family, const void* bytes, std::size_t size, Endpoint& into) {
  if (family == AddressFamily::none || size != size_of(family)) return false;
  into = {};
  into.family = family;
  std::memcpy(into.address.data(), bytes, size);
  return true;
}

// RTA_VIA: a gateway of another family than the destination's (struct rtvia).
bool take_via(const nlattr& attribute, Endpoint& into) {
  std::uint16_t family = 0;
  if (payload_size(attribute) < sizeof family) return false;
  const auto* bytes = static_cast<const char*>(payload(attribute));
  std::memcpy(&family, bytes, sizeof family);
  return take_address(to_family(family), bytes + sizeof family,
                      payload_size(attribute) - sizeof family, into);
}

bool take_metrics(const nlattr& nest, Route& into) {
  return for_each_nested(nest, [&](const nlattr& metric) {
    std::uint32_t value = 0;
    if (type_of(metric) != RTAX_MTU && type_of(metric) != RTAX_LOCK) return true;
    if (!get_attribute(metric, value)) return false;
    if (type_of(metric) == RTAX_MTU) {
      into.mtu = value;
    } else {
      into.mtu_locked = (value & (1u << RTAX_MTU)) != 0;
    }
    return true;
  });
}

bool take_attribute(const nlattr& attribute, AddressFamily family, Route& into) {
  const auto* bytes = payload(attribute);
  const auto size = payload_size(attribute);
  switch (type_of(attribute)) {
    case RTA_OIF:
      return get_attribute(attribute, into.link);
    case RTA_GATEWAY:
      return take_address(family, bytes, size, into.gateway);
    case RTA_VIA:
      return take_via(attribute, into.gateway);
    case RTA_PREFSRC:
      return take_address(family, bytes, size, into.source);
    case RTA_METRICS:
      return take_metrics(attribute, into);
    default:
      return true;
  }
}

NetlinkRequest to_request(const RouteQuestion& question) {
  NetlinkRequest request(RTM_GETROUTE, 0);
  const bool ipv4 = question.to.family == AddressFamily::ipv4;
  const auto size = size_of(question.to.family);
  auto& fixed = request.extra_header<rtmsg>();
  fixed.rtm_family = ipv4 ? AF_INET : AF_INET6;
  fixed.rtm_dst_len = static_cast<std::uint8_t>(8 * size);
  const bool from = question.from.family == question.to.family;
  if (from) fixed.rtm_src_len = fixed.rtm_dst_len;
  ::mnl_attr_put(request.header(), RTA_DST, size, question.to.address.data());
  if (from) ::mnl_attr_put(request.header(), RTA_SRC, size, question.from.address.data());
  const auto link = question.link != 0 ? question.link : question.to.scope;
  if (link != 0) ::mnl_attr_put_u32(request.header(), RTA_OIF, link);
  if (question.mark != 0) ::mnl_attr_put_u32(request.header(), RTA_MARK, question.mark);
  return request;
}

// What fib_lookup() says of no route, and of unreachable, blackhole and prohibit
// (net/ipv4/fib_semantics.c, fib_props).
bool is_no_route(int number) {
  return number == ENETUNREACH || number == EHOSTUNREACH || number == EINVAL || number == EACCES ||
         number == ESRCH;
}

}  // namespace

Result<Route> parse_route(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWROUTE || ::mnl_nlmsg_get_payload_len(&message) < sizeof(rtmsg)) {
    return Error{Errc::malformed, 0, "route: not a route message"};
  }
  Route route;
  const auto& fixed = *static_cast<const rtmsg*>(::mnl_nlmsg_get_payload(&message));
  const auto family = to_family(fixed.rtm_family);
  const bool whole = for_each_attribute(
      ::mnl_nlmsg_get_payload_offset(&message, sizeof(rtmsg)),
      ::mnl_nlmsg_get_payload_len(&message) - MNL_ALIGN(sizeof(rtmsg)),
      [&](const nlattr& attribute) { return take_attribute(attribute, family, route); });
  if (!whole) return Error{Errc::malformed, 0, "route: damaged attributes"};
  return route;
}

Result<Route> read_route(Netlink& netlink, const RouteQuestion& question) {
  char text[longest_endpoint];
  const std::string to(to_address_text(question.to, text));
  if (question.to.family == AddressFamily::none) return Error{Errc::absent, 0, "no address"};
  auto request = to_request(question);
  std::optional<Route> route;
  const auto asked = netlink.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
    auto parsed = parse_route(message);
    if (!parsed) return parsed.error();
    route = *parsed;
    return Done{};
  });
  if (!asked) {
    if (!is_no_route(asked.error().number)) return asked.error();
    return Error{Errc::absent, asked.error().number, "no route to " + to};
  }
  if (!route) return Error{Errc::absent, 0, "no route to " + to};
  return *route;
}

Result<Link> read_link(Netlink& netlink, std::uint32_t index) {
  NetlinkRequest request(RTM_GETLINK, 0);
  auto& fixed = request.extra_header<ifinfomsg>();
  fixed.ifi_family = AF_UNSPEC;
  fixed.ifi_index = static_cast<int>(index);
  std::optional<Link> link;
  const auto asked = netlink.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
    auto parsed = parse_link(message);
    if (!parsed) return parsed.error();
    link = std::move(*parsed);
    return Done{};
  });
  if (!asked) return asked.error();
  if (!link) return Error{Errc::absent, 0, "link " + std::to_string(index)};
  return *link;
}

std::uint32_t path_mtu(const Route& route, const Link& link) {
  const auto mtu = route.mtu.value_or(link.mtu);
  return link.mtu == 0 ? mtu : std::min(mtu, link.mtu);
}

}  // namespace wgvitals::kernel
