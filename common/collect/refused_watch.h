// What the kernel's WireGuard refuses, by device.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/collect/collector.h"
#include "common/trace/refused.h"

namespace wgvitals::collect {

// Whose the program's counts are.
class RefusedSums {
 public:
  // `own_place`: the inode of our own network namespace.
  explicit RefusedSums(std::uint64_t own_place) : own_place_(own_place) {}

  // What belongs to nobody any more, or has come to another device, goes to `forget`.
  void take(std::span<const trace::RefusedPackets> counts, const Devices& devices,
            const std::function<void(const trace::RefusedPackets&)>& forget);

  trace::RefusedPackets of(const DeviceIdentity& device) const;

 private:
  const SeenDevice* owner_of(const trace::RefusedPackets& counts, const Devices& devices) const;
  bool keeps_owner(const trace::RefusedPackets& counts, const DeviceIdentity& owner);

  std::uint64_t own_place_;
  std::map<std::pair<std::uint64_t, std::uint16_t>, DeviceIdentity> port_owners_;
  std::vector<trace::RefusedPackets> sums_;
};

class RefusedWatch {
 public:
  explicit RefusedWatch(const Services& services);

  void read(const Devices& devices, Report& report);

  // Empty: not counted, or not yet, or a userspace device.
  std::optional<trace::RefusedPackets> of(const SeenDevice& device) const;

 private:
  const Root& root_;
  trace::RefusedThread counter_;
  RefusedSums sums_;
  bool begun_ = false, counted_ = false;
};

}  // namespace wgvitals::collect
