// Devices' own UDP sockets, and the network namespaces that they are in: one that is moved keeps
// them where it was made (drivers/net/wireguard/socket.c, creating_net).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/files.h"
#include "common/base/report.h"
#include "common/kernel/module.h"
#include "common/kernel/udp_sockets.h"
#include "common/model/devices.h"

namespace wgvitals::kernel {

class DeviceSockets {
 public:
  // `root` outlives this.
  explicit DeviceSockets(const Root& root) : root_(root) {}

  // Those of each device's port in its own namespace and in ours, unless a device of ours has it.
  void read(const Devices& devices, Report& report);

  // Leaves namespaces that have no device any more: sockets in them would keep them alive.
  void leave_others(const Devices& devices);

  // Null: none was seen.
  const UdpSocket* find(const SeenDevice& device) const;

  // Where it was seen, as configured; "": in our own. Empty: none was seen.
  std::optional<std::string_view> namespace_of(const SeenDevice& device) const;

 private:
  struct Space {
    std::uint64_t inode = 0;  // of another namespace
    std::optional<UdpSockets> sockets;
    std::vector<UdpPort> ports;
  };

  Result<Done> read(const std::string& name, Space& space);
  const UdpSocket* find(std::string_view netns, std::uint16_t number) const;

  const Root& root_;
  KernelModule udp_diag_{root_, "udp_diag"};
  std::map<std::string, Space, std::less<>> spaces_;  // by name; "": our own
  std::set<std::uint16_t> own_ports_;                 // of devices of our own namespace
};

// From which namespace devices' packets leave.
class SocketNamespaces {
 public:
  using Clock = std::chrono::steady_clock;

  explicit SocketNamespaces(const Root& root) : sockets_(root) {}

  // Costs nothing where all devices are in our own; sockets are looked for as long as a device in
  // another has none, and once a minute.
  void look_up(const Devices& devices, Clock::time_point now, Report& report);

  // As configured; empty: our own. The device's, where its sockets were not seen.
  std::string_view of(const SeenDevice& device) const;

 private:
  DeviceSockets sockets_;
  Clock::time_point at_{};  // of the last reading
};

}  // namespace wgvitals::kernel
