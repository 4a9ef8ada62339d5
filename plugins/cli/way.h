// Where a probe of the path goes, as asked for at the terminal, and how its packets leave this
// host.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/probe/echo.h"

namespace wgvitals::cli {

struct WayAsked {
  std::string host, source;
  probe::EchoPath path;
  bool ipv4 = false, ipv6 = false, json = false;
};

void add_way_options(CLI::App& app, WayAsked& asked);

// With the host's address, for which it waits at most 5 s. absent, with the resolver's words.
Result<probe::EchoPath> to_echo_path(const WayAsked& asked);

// "example.org (192.0.2.1)", or the address alone where it was asked for.
std::string to_title(const WayAsked& asked, const probe::EchoPath& path);

// As the kernel knows it now.
struct LocalWay {
  std::string device;                // the link that the packets leave by
  Endpoint gateway;                  // family none: the host is on the link
  std::uint32_t link_mtu = 0;        // bytes
  std::uint32_t path_mtu = 0;        // of the route, or learnt; else the link's
  std::vector<std::string> tunnels;  // WireGuard devices passed through, the innermost first
  bool loops = false;                // these lead into each other: no packet leaves
};
Result<LocalWay> read_local_way(const probe::EchoPath& path);

// "by eth0 via 192.0.2.1", "by wg0, a WireGuard device, through wg1"
std::string to_text(const LocalWay& way);

}  // namespace wgvitals::cli
