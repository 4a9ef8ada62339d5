#include "common/kernel/wireguard.h"

#include <algorithm>

#include "common/kernel/namespace.h"
#include "common/kernel/netlink.h"

namespace wgvitals::kernel {
namespace {

// What userspace implementations make (drivers/net/tun.c). A link of another kind only bears the
// same name.
constexpr std::string_view userspace_kind = "tun";

}  // namespace

OpenNetlink WireGuardReader::open_own_netlink() {
  return [](int protocol) -> Result<std::unique_ptr<Datagram>> {
    auto socket = open_netlink_socket(protocol);
    if (!socket) return socket.error();
    return make_datagram(std::move(*socket));
  };
}

WireGuardReader::WireGuardReader(const Root& root, WireGuardSources sources, OpenNetlink open)
    : root_(root),
      sources_(std::move(sources)),
      own_(std::move(open), "", own_namespace_inode(root)),
      userspace_(root.full_path(sources_.uapi_folder), sources_.uapi_deadline, sources_.to_public) {
  for (const auto& name : sources_.netns) {
    others_.push_back({name, namespace_path(root, name), nullptr});
  }
}

void WireGuardReader::read(Devices& out, Report& report) {
  out.clear();
  own_.read(sources_.interfaces, out, report);
  for (auto& other : others_) read_other(other, out, report);
  const auto first_userspace = out.devices.size();
  userspace_.read(sources_.interfaces, out, report);
  find_links(out, first_userspace, report);
  read_threads(out);
}

// sysfs shows our own namespace's links only.
void WireGuardReader::read_threads(Devices& out) const {
  for (auto& device : out.devices) {
    if (device.link && device.netns.empty()) {
      device.link->threaded = read_threaded(root_, *device.link);
    }
  }
}

void WireGuardReader::read_other(Other& other, Devices& out, Report& report) {
  const auto inode = namespace_inode(other.path);
  if (!inode) {
    other.kernel.reset();
    auto error = inode.error();
    error.code = Errc::io;  // configured, so its absence is worth a word
    error.where = "netns " + other.name + ": " + error.where;
    report.failed(error);
    return;
  }
  if (!other.kernel || other.kernel->place() != *inode) {
    other.kernel =
        std::make_unique<KernelWireGuard>(open_netlink_in(other.path), other.name, *inode);
  }
  other.kernel->read(sources_.interfaces, out, report);
}

// A userspace device's link is looked for by its name, here first, then in the other namespaces.
// Where it is found nowhere, the device stays where it was: a namespace that cannot be read for a
// moment renames no series.
void WireGuardReader::find_links(Devices& out, std::size_t first, Report& report) {
  const auto found = [&](KernelWireGuard& kernel, SeenDevice& device) {
    auto link = kernel.find_link(device.name);
    if (!link) {
      if (link.error().code != Errc::absent) report.failed(link.error());
      return false;
    }
    if (link->kind != userspace_kind) return false;
    device.link = std::move(*link);
    device.netns = kernel.netns();
    return true;
  };
  std::map<std::uint64_t, std::string> places;
  for (std::size_t i = first; i < out.devices.size(); ++i) {
    auto& device = out.devices[i];
    const bool seen =
        found(own_, device) || std::any_of(others_.begin(), others_.end(), [&](const Other& other) {
          return other.kernel && found(*other.kernel, device);
        });
    const auto socket = device.identity.place;
    if (const auto before = last_places_.find(socket); !seen && before != last_places_.end()) {
      device.netns = before->second;
    }
    if (!device.netns.empty()) places[socket] = device.netns;
  }
  last_places_ = std::move(places);
}

}  // namespace wgvitals::kernel
