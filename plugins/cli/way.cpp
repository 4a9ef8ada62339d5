#include "plugins/cli/way.h"

#include <fmt/format.h>
#include <net/if.h>

#include <chrono>
#include <thread>

#include "common/base/text.h"
#include "common/kernel/nesting.h"
#include "common/kernel/wireguard.h"
#include "common/probe/resolver.h"

namespace wgvitals::cli {
namespace {

// Without the right to read WireGuard devices, tunnels within tunnels stay unknown, but the probe
// itself does not fail.
class Unheard final : public Report {
 public:
  void failed(const Error&) override {}
  void retried() override {}
};

}  // namespace

void add_way_options(CLI::App& app, WayAsked& asked) {
  app.add_option("HOST", asked.host, "Name or address")->required();
  auto* ipv4 = app.add_flag("-4", asked.ipv4, "IPv4 only");
  app.add_flag("-6", asked.ipv6, "IPv6 only")->excludes(ipv4);
  app.add_option("-I,--device", asked.path.device, "Network interface to send by");
  app.add_option("-S,--source", asked.source, "Own address to send from");
  app.add_option("-m,--mark", asked.path.mark, "Firewall mark of the probes");
  app.add_flag("--json", asked.json, "One JSON object");
}

Result<probe::EchoPath> to_echo_path(const WayAsked& asked) {
  using State = probe::Resolver::Answer::State;
  auto path = asked.path;
  auto family = asked.ipv4   ? AddressFamily::ipv4
                : asked.ipv6 ? AddressFamily::ipv6
                             : AddressFamily::none;
  if (!asked.source.empty()) {
    const auto source = parse_address(asked.source);
    if (!source) throw CLI::ValidationError("--source", "'" + asked.source + "' is no address");
    if (family != AddressFamily::none && family != source->family) {
      throw CLI::ValidationError("--source", "is of the other address family");
    }
    path.source = *source;
    family = source->family;
  }
  probe::Resolver resolver(start_plain_thread);
  auto answer = resolver.find(asked.host, family);
  while (answer.state == State::pending) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    answer = resolver.find(asked.host, family);
  }
  resolver.stop();
  if (answer.address.family == AddressFamily::none) {
    return Error{Errc::absent, 0, text::to_printable(answer.why)};
  }
  path.to = answer.address;
  return path;
}

std::string to_title(const WayAsked& asked, const probe::EchoPath& path) {
  char text[longest_endpoint];
  const auto address = to_address_text(path.to, text);
  const auto host = text::to_printable(asked.host);
  return host == address ? host : fmt::format("{} ({})", host, address);
}

Result<LocalWay> read_local_way(const probe::EchoPath& path) {
  Unheard unheard;
  Devices devices;
  kernel::WireGuardReader(Root(), {}).read(devices, unheard);
  kernel::Netlink netlink(kernel::WireGuardReader::open_own_netlink(), NETLINK_ROUTE);
  const auto way = kernel::read_way(
      [&](const kernel::RouteQuestion& question) { return kernel::read_route(netlink, question); },
      devices,
      {.to = path.to,
       .from = path.source,
       .mark = path.mark,
       .link = path.device.empty() ? 0 : ::if_nametoindex(path.device.c_str())});
  if (!way) return way.error();
  const auto link = kernel::read_link(netlink, way->route.link);
  if (!link) return link.error();
  LocalWay local{.device = text::to_printable(link->name),
                 .gateway = way->route.gateway,
                 .link_mtu = link->mtu,
                 .path_mtu = kernel::path_mtu(way->route, *link),
                 .tunnels = {},
                 .loops = way->loops};
  for (const auto index : way->tunnels) {
    local.tunnels.push_back(text::to_printable(kernel::find_device(devices, index)->name));
  }
  return local;
}

std::string to_text(const LocalWay& way) {
  std::string line = "by " + way.device;
  char gateway[longest_endpoint];
  if (way.gateway.family != AddressFamily::none) {
    line += fmt::format(" via {}", to_address_text(way.gateway, gateway));
  }
  if (way.tunnels.empty()) return line;
  line += ", a WireGuard device";
  for (std::size_t i = 1; i < way.tunnels.size(); ++i) line += ", through " + way.tunnels[i];
  if (way.loops) line += ", and in a circle: no packet leaves";
  return line;
}

}  // namespace wgvitals::cli
