// The links that tunnels' own packets leave by: the kernel's route to the peers' endpoints.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/files.h"
#include "common/base/report.h"
#include "common/kernel/device_sockets.h"
#include "common/kernel/netlink.h"
#include "common/model/devices.h"

namespace wgvitals::kernel {

// Of the devices whose packets leave from one namespace. Costs no packet, and little time whatever
// the number of peers: an endpoint's route is looked up when it is first seen and once a minute, at
// most 128 a call, of at most 16 different addresses among a device's first 256 peers; those that
// it has looked up stay.
class Underlay {
 public:
  using Clock = std::chrono::steady_clock;

  // `route`: of NETLINK_ROUTE, in the namespace, and outlives this. `netns`: as configured; empty:
  // our own.
  explicit Underlay(Netlink& route, std::string netns = {})
      : netlink_(route), netns_(std::move(netns)) {}

  void look_up(const Devices& devices, const SocketNamespaces& sockets, Clock::time_point now,
               Report& report);

  // The indexes of a device's links, each once, in order. Through other tunnels of this host it is
  // the link of the outermost.
  std::vector<std::uint32_t> links_of(const DeviceIdentity& device) const;
  std::vector<std::uint32_t> all_links() const;

 private:
  struct Looked {
    Endpoint to;  // without a port
    Clock::time_point at{};
    std::uint32_t link = 0;  // 0: no route, or not yet looked up
    bool known = false;      // looked up
    bool seen = false;       // in this call
  };
  struct Tunnel {
    DeviceIdentity device;
    std::uint32_t index = 0;  // of its link; 0: it is in another namespace
    std::uint32_t mark = 0;
    bool seen = false;
    std::vector<Looked> endpoints;
  };

  void note(const Devices& devices, const SocketNamespaces& sockets);
  void note_peers(std::span<const SeenPeer> peers, Tunnel& tunnel);
  void look_up(const Devices& devices, const Tunnel& tunnel, Looked& looked, Report& report);

  Netlink& netlink_;
  std::string netns_;
  std::vector<Tunnel> tunnels_;
};

// In Mbit/s, of /sys/class/net/<link>/speed; empty where the link has none, is down, or sysfs shows
// another namespace. Some drivers ask their card: not for every reading.
std::optional<std::int64_t> read_speed(const Root& root, const Link& link);

}  // namespace wgvitals::kernel
