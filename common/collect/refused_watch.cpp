#include "common/collect/refused_watch.h"

#include <algorithm>

#include "common/kernel/namespace.h"

namespace wgvitals::collect {

void RefusedSums::take(std::span<const trace::RefusedPackets> counts, const Devices& devices,
                       const std::function<void(const trace::RefusedPackets&)>& forget) {
  sums_.clear();
  for (const auto& one : counts) {
    const auto* owner = owner_of(one, devices);
    if (owner == nullptr || !keeps_owner(one, owner->identity)) {
      // Whose a port is may be what could not be read.
      const bool unread = one.port == 0 ? devices.is_unread(one.device)
                                        : devices.incomplete || !devices.unread.empty();
      if (unread) continue;
      port_owners_.erase({one.device.place, one.port});
      forget(one);
      continue;
    }
    auto sum = std::ranges::find(sums_, owner->identity, &trace::RefusedPackets::device);
    if (sum == sums_.end()) sum = sums_.insert(sum, {owner->identity});
    sum->auth_failures += one.auth_failures;
    sum->replays += one.replays;
    sum->unknown_index += one.unknown_index;
  }
}

trace::RefusedPackets RefusedSums::of(const DeviceIdentity& device) const {
  const auto sum = std::ranges::find(sums_, device, &trace::RefusedPackets::device);
  return sum == sums_.end() ? trace::RefusedPackets{device} : *sum;
}

// A device that was moved away keeps its socket where it was made: perhaps here.
const SeenDevice* RefusedSums::owner_of(const trace::RefusedPackets& counts,
                                        const Devices& devices) const {
  const SeenDevice* moved = nullptr;
  bool several = false;
  for (const auto& device : devices.devices) {
    if (device.userspace) continue;
    if (counts.port == 0) {
      if (device.identity == counts.device) return &device;
    } else if (device.listen_port == counts.port) {
      if (device.identity.place == counts.device.place) return &device;
      several = moved != nullptr;
      moved = &device;
    }
  }
  return several || counts.device.place != own_place_ ? nullptr : moved;
}

bool RefusedSums::keeps_owner(const trace::RefusedPackets& counts, const DeviceIdentity& owner) {
  if (counts.port == 0) return true;
  const auto known = port_owners_.try_emplace({counts.device.place, counts.port}, owner).first;
  return known->second == owner;
}

RefusedWatch::RefusedWatch(const Services& services)
    : root_(services.root),
      counter_(services.start_thread),
      sums_(kernel::own_namespace_inode(root_)) {}

void RefusedWatch::read(const Devices& devices, Report& report) {
  counted_ = false;
  // Not earlier: the module must be there.
  begun_ = begun_ || std::ranges::any_of(devices.devices,
                                         [](const auto& device) { return !device.userspace; });
  if (!begun_) return;
  const auto read = counter_.read(root_);
  if (!read) return;
  if (!*read) return report.failed(read->error());
  sums_.take(**read, devices, [this](const auto& gone) { counter_.forget(gone); });
  counted_ = true;
}

std::optional<trace::RefusedPackets> RefusedWatch::of(const SeenDevice& device) const {
  if (!counted_ || device.userspace) return std::nullopt;
  return sums_.of(device.identity);
}

}  // namespace wgvitals::collect
