#include "common/collect/refused_watch.h"

#include <algorithm>
#include <utility>

namespace wgvitals::collect {

void RefusedWatch::read(const Devices& devices, Report& report) {
  refused_.reset();
  // Not earlier: the module must be there.
  begun_ = begun_ || std::ranges::any_of(devices.devices,
                                         [](const auto& device) { return !device.userspace; });
  if (!begun_) return;
  auto read = counter_.read(root_);
  if (!read) return;
  if (!*read) return report.failed(read->error());
  refused_ = std::move(**read);
  for (const auto& one : *refused_) {
    const bool known = std::ranges::any_of(devices.devices, [&](const SeenDevice& device) {
      return !device.userspace && device.identity == one.device;
    });
    if (!known && !devices.is_unread(one.device)) counter_.forget(one.device);
  }
}

std::optional<trace::RefusedPackets> RefusedWatch::of(const SeenDevice& device) const {
  if (!refused_ || device.userspace) return std::nullopt;
  const auto found = std::ranges::find(*refused_, device.identity, &trace::RefusedPackets::device);
  return found == refused_->end() ? trace::RefusedPackets{device.identity} : *found;
}

}  // namespace wgvitals::collect
