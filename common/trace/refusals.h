// Who was refused how often, by address: the busiest of many. Pure; one thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/model/devices.h"

namespace wgvitals::trace {

struct Refused {
  DeviceIdentity device;
  Endpoint source;  // without a port
  std::uint64_t count = 0;
};

// At most so many sources: where there are more, as with made up addresses, the newcomer takes the
// place of the one with the fewest, which begins at 0 should it come back.
class Refusals {
 public:
  static constexpr std::size_t most_sources = 256;

  void add(const DeviceIdentity& device, Endpoint source) {
    source.port = 0;
    source.scope = 0;
    const auto known = std::ranges::find_if(
        sources_, [&](const Refused& one) { return one.source == source && one.device == device; });
    if (known != sources_.end()) {
      ++known->count;
    } else if (sources_.size() < most_sources) {
      sources_.push_back({device, source, 1});
    } else {
      *std::ranges::min_element(sources_, {}, &Refused::count) = {device, source, 1};
    }
  }

  template <class Device>
  void forget_if(Device&& is_gone) {
    std::erase_if(sources_, [&](const Refused& one) { return is_gone(one.device); });
  }

  const std::vector<Refused>& sources() const { return sources_; }

 private:
  std::vector<Refused> sources_;
};

}  // namespace wgvitals::trace
