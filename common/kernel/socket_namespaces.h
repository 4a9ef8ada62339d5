// From which network namespace a device's own packets leave: that of its socket, which stays where
// the device was made when it is moved (drivers/net/wireguard/socket.c, creating_net).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/files.h"
#include "common/base/report.h"
#include "common/kernel/module.h"
#include "common/kernel/udp_sockets.h"
#include "common/model/devices.h"

namespace wgvitals::kernel {

class SocketNamespaces {
 public:
  using Clock = std::chrono::steady_clock;

  explicit SocketNamespaces(const Root& root) : root_(root) {}

  // Costs nothing where all devices are in our own namespace; another is looked at as long as a
  // device there has no socket in it, and once a minute.
  void look_up(const Devices& devices, Clock::time_point now, Report& report);

  // As configured; empty: our own, also of a device in another where nobody has its port there.
  std::string_view of(const SeenDevice& device) const;

 private:
  struct Space {
    std::uint64_t inode = 0;
    std::optional<UdpSockets> sockets;
    std::vector<UdpPort> wanted, ports;
    Clock::time_point at{};
    bool read = false;
  };

  Result<Done> read(const std::string& name, Space& space);

  const Root& root_;
  KernelModule udp_diag_{root_, "udp_diag"};
  std::map<std::string, Space, std::less<>> spaces_;  // by name
};

}  // namespace wgvitals::kernel
