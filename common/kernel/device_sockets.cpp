#include "common/kernel/device_sockets.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "common/kernel/namespace.h"

namespace wgvitals::kernel {
namespace {

constexpr std::chrono::minutes look_interval(1);

}  // namespace

void DeviceSockets::read(const Devices& devices, Report& report) {
  leave_others(devices);
  for (auto& [name, space] : spaces_) space.ports.clear();
  own_ports_.clear();
  for (const auto& device : devices.devices) {
    if (device.listen_port == 0) continue;
    spaces_[""].ports.push_back({device.listen_port, std::nullopt});
    if (device.netns.empty()) {
      own_ports_.insert(device.listen_port);
    } else {
      spaces_[device.netns].ports.push_back({device.listen_port, std::nullopt});
    }
  }
  for (auto& [name, space] : spaces_) {
    if (space.ports.empty()) continue;
    if (const auto seen = read(name, space); !seen) {
      space.ports.clear();
      auto error = seen.error();
      error.where =
          "the UDP sockets" + (name.empty() ? "" : " of netns " + name) + ": " + error.where;
      report.failed(error);
    }
  }
}

void DeviceSockets::leave_others(const Devices& devices) {
  std::erase_if(spaces_, [&](const auto& space) {
    return !space.first.empty() && std::ranges::find(devices.devices, space.first,
                                                     &SeenDevice::netns) == devices.devices.end();
  });
}

Result<Done> DeviceSockets::read(const std::string& name, Space& space) {
  sort_once(space.ports);
  std::filesystem::path path;
  if (!name.empty()) {
    path = namespace_path(root_, name);
    const auto inode = namespace_inode(path);
    if (!inode) return inode.error();
    if (std::exchange(space.inode, *inode) != *inode) space.sockets.reset();
  }
  if (!space.sockets) space.sockets.emplace(root_, udp_diag_, path);
  return space.sockets->read(space.ports);
}

const UdpSocket* DeviceSockets::find(std::string_view netns, std::uint16_t number) const {
  const auto space = spaces_.find(netns);
  if (space == spaces_.end()) return nullptr;
  const auto* port = find_port(space->second.ports, number);
  return port != nullptr && port->sum ? &*port->sum : nullptr;
}

const UdpSocket* DeviceSockets::find(const SeenDevice& device) const {
  const auto netns = namespace_of(device);
  return netns ? find(*netns, device.listen_port) : nullptr;
}

std::optional<std::string_view> DeviceSockets::namespace_of(const SeenDevice& device) const {
  if (find(device.netns, device.listen_port) != nullptr) return device.netns;
  const bool is_anothers = own_ports_.contains(device.listen_port);
  if (!is_anothers && find("", device.listen_port) != nullptr) return "";
  return std::nullopt;
}

void SocketNamespaces::look_up(const Devices& devices, Clock::time_point now, Report& report) {
  sockets_.leave_others(devices);
  bool elsewhere = false, missing = false;
  for (const auto& device : devices.devices) {
    if (device.netns.empty()) continue;
    elsewhere = true;
    missing = missing || !sockets_.namespace_of(device);
  }
  if (!elsewhere || (!missing && now < at_ + look_interval)) return;
  at_ = now;
  sockets_.read(devices, report);
}

std::string_view SocketNamespaces::of(const SeenDevice& device) const {
  if (device.netns.empty()) return {};
  return sockets_.namespace_of(device).value_or(device.netns);
}

}  // namespace wgvitals::kernel
