#include "common/kernel/link.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

// The kernel grows this struct at its end; an old one sends less.
LinkCounters to_counters(const nlattr& attribute) {
  rtnl_link_stats64 stats{};
  const std::size_t size = payload_size(attribute);
  std::memcpy(&stats, payload(attribute), std::min(size, sizeof stats));
  return {.rx_packets = stats.rx_packets,
          .tx_packets = stats.tx_packets,
          .rx_bytes = stats.rx_bytes,
          .tx_bytes = stats.tx_bytes,
          .rx_errors = stats.rx_errors,
          .tx_errors = stats.tx_errors,
          .rx_dropped = stats.rx_dropped,
          .tx_dropped = stats.tx_dropped,
          .rx_length_errors = stats.rx_length_errors,
          .rx_frame_errors = stats.rx_frame_errors};
}

std::string to_string(const nlattr& attribute) {
  const auto* text = static_cast<const char*>(payload(attribute));
  return {text, ::strnlen(text, payload_size(attribute))};
}

NetlinkRequest link_request(std::uint16_t flags) {
  NetlinkRequest request(RTM_GETLINK, flags);
  request.extra_header<ifinfomsg>().ifi_family = AF_UNSPEC;
  return request;
}

}  // namespace

Result<Link> parse_link(const nlmsghdr& message) {
  Link link;
  if (message.nlmsg_type != RTM_NEWLINK ||
      ::mnl_nlmsg_get_payload_len(&message) < sizeof(ifinfomsg)) {
    return Error{Errc::malformed, 0, "link: not a link message"};
  }
  const auto& fixed = *static_cast<const ifinfomsg*>(::mnl_nlmsg_get_payload(&message));
  link.index = static_cast<std::uint32_t>(fixed.ifi_index);
  link.flags = fixed.ifi_flags;
  const char* wrong = nullptr;
  const bool whole =
      for_each_attribute(::mnl_nlmsg_get_payload_offset(&message, sizeof(ifinfomsg)),
                         ::mnl_nlmsg_get_payload_len(&message) - MNL_ALIGN(sizeof(ifinfomsg)),
                         [&](const nlattr& attribute) {
                           switch (type_of(attribute)) {
                             case IFLA_IFNAME:
                               link.name = to_string(attribute);
                               return true;
                             case IFLA_MTU:
                               if (!get_attribute(attribute, link.mtu)) wrong = "IFLA_MTU";
                               return wrong == nullptr;
                             case IFLA_STATS64:
                               link.counters = to_counters(attribute);
                               return true;
                             case IFLA_LINKINFO:
                               return for_each_nested(attribute, [&](const nlattr& info) {
                                 if (type_of(info) == IFLA_INFO_KIND) link.kind = to_string(info);
                                 return true;
                               });
                             default:
                               return true;
                           }
                         });
  if (wrong != nullptr) return Error{Errc::malformed, 0, std::string("link: size of ") + wrong};
  if (!whole) return Error{Errc::malformed, 0, "link: damaged attributes"};
  return link;
}

Result<std::vector<Link>> read_links(Netlink& route, std::string_view kind) {
  auto request = link_request(NLM_F_DUMP);
  nlattr* info = ::mnl_attr_nest_start(request.header(), IFLA_LINKINFO);
  ::mnl_attr_put_strz(request.header(), IFLA_INFO_KIND, std::string(kind).c_str());
  ::mnl_attr_nest_end(request.header(), info);

  std::vector<Link> links;
  const auto asked = route.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
    auto link = parse_link(message);
    if (!link) return link.error();
    // A kernel that does not know the kind yet sends every link.
    if (link->kind == kind) links.push_back(std::move(*link));
    return Done{};
  });
  if (!asked) return asked.error();
  return links;
}

Result<Link> read_link(Netlink& route, std::string_view name) {
  if (name.size() >= IFNAMSIZ) return Error{Errc::absent, 0, std::string(name)};  // can be none
  auto request = link_request(0);
  ::mnl_attr_put_strz(request.header(), IFLA_IFNAME, std::string(name).c_str());
  std::optional<Link> link;
  const auto asked = route.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
    auto parsed = parse_link(message);
    if (!parsed) return parsed.error();
    link = std::move(*parsed);
    return Done{};
  });
  if (!asked) return asked.error();
  if (!link) return Error{Errc::absent, 0, std::string(name)};
  return *link;
}

std::optional<bool> read_threaded(const Root& root, const Link& link) {
  const auto folder = "sys/class/net/" + link.name;
  const auto threaded = root.read(folder + "/threaded");
  if (!threaded) return std::nullopt;
  // sysfs shows the namespace that it was mounted in, where another link may have the name.
  const auto index = root.read(folder + "/ifindex");
  if (!index || text::to_number<std::uint32_t>(text::trim(*index)) != link.index) {
    return std::nullopt;
  }
  const auto number = text::to_number<unsigned>(text::trim(*threaded));
  if (!number) return std::nullopt;
  return *number != 0;  // 2: its threads poll without rest (net/core/net-sysfs.c)
}

bool is_tellable(std::string_view device, Report& report) {
  const auto printable = text::to_printable(device, '?');
  if (printable == device) return true;
  report.failed(
      {Errc::malformed, 0,
       printable + ": left out, its name has control characters or wide blanks, or is no UTF-8"});
  return false;
}

}  // namespace wgvitals::kernel
