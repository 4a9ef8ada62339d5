// What the kernel's WireGuard refuses, by device.
#pragma once

#include <optional>
#include <vector>

#include "common/collect/collector.h"
#include "common/trace/refused.h"

namespace wgvitals::collect {

class RefusedWatch {
 public:
  explicit RefusedWatch(const Services& services)
      : root_(services.root), counter_(services.start_thread) {}

  void read(const Devices& devices, Report& report);

  // Empty: not counted, or not yet, or a userspace device.
  std::optional<trace::RefusedPackets> of(const SeenDevice& device) const;

 private:
  const Root& root_;
  trace::RefusedThread counter_;
  bool begun_ = false;
  std::optional<std::vector<trace::RefusedPackets>> refused_;
};

}  // namespace wgvitals::collect
