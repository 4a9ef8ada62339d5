#include "common/kernel/socket_namespaces.h"

#include <algorithm>
#include <utility>

#include "common/kernel/namespace.h"

namespace wgvitals::kernel {
namespace {

constexpr std::chrono::minutes look_interval(1);

}  // namespace

void SocketNamespaces::look_up(const Devices& devices, Clock::time_point now, Report& report) {
  for (auto& [name, space] : spaces_) space.wanted.clear();
  for (const auto& device : devices.devices) {
    if (device.netns.empty() || device.listen_port == 0) continue;
    spaces_[device.netns].wanted.push_back({device.listen_port, std::nullopt});
  }
  std::erase_if(spaces_, [](const auto& space) { return space.second.wanted.empty(); });
  for (auto& [name, space] : spaces_) {
    sort_once(space.wanted);
    // What is not there may still come: a device has its socket while it is up.
    const bool found = std::ranges::equal(
        space.wanted, space.ports, [](const UdpPort& wanted, const UdpPort& port) {
          return wanted.number == port.number && port.sum.has_value();
        });
    if (found && space.read && now < space.at + look_interval) continue;
    space.at = now;
    space.ports = space.wanted;
    const auto seen = read(name, space);
    space.read = seen.has_value();
    if (!seen) {
      auto error = seen.error();
      error.where = "the UDP sockets of netns " + name + ": " + error.where;
      report.failed(error);
    }
  }
}

Result<Done> SocketNamespaces::read(const std::string& name, Space& space) {
  const auto path = namespace_path(root_, name);
  const auto inode = namespace_inode(path);
  if (!inode) return inode.error();
  if (std::exchange(space.inode, *inode) != *inode) space.sockets.reset();
  if (!space.sockets) space.sockets.emplace(root_, udp_diag_, path);
  return space.sockets->read(space.ports);
}

std::string_view SocketNamespaces::of(const SeenDevice& device) const {
  const auto space = spaces_.find(device.netns);
  if (space == spaces_.end() || !space->second.read) return device.netns;
  const auto* port = find_port(space->second.ports, device.listen_port);
  return port != nullptr && !port->sum ? std::string_view() : device.netns;
}

}  // namespace wgvitals::kernel
