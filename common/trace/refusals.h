// Who was refused how often, by address: the busiest of many. Pure; one thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/model/devices.h"

namespace wgvitals::trace {

struct Refused {
  DeviceIdentity device;
  Endpoint source;          // without a port
  std::uint64_t count = 0;  // certain ones, since the source is among those that are kept
};

// At most so many sources: where there are more, as with made up addresses, the newcomer takes the
// place of the one with the fewest and inherits their number as its rank ("space saving"), so that
// who has more than 1 / most_sources of all stays, whatever the others are.
class Refusals {
 public:
  static constexpr std::size_t most_sources = 256;

  void add(const DeviceIdentity& device, Endpoint source) {
    source.port = 0;
    source.scope = 0;
    const auto known = std::ranges::find_if(
        sources_, [&](const Source& one) { return one.source == source && one.device == device; });
    if (known != sources_.end()) {
      ++known->count;
      ++known->rank;
    } else if (sources_.size() < most_sources) {
      sources_.push_back({{device, source, 1}, 1});
    } else {
      auto& least = *std::ranges::min_element(sources_, {}, &Source::rank);
      least = {{device, source, 1}, least.rank + 1};
    }
  }

  template <class Device>
  void forget_if(Device&& is_gone) {
    std::erase_if(sources_, [&](const Source& one) { return is_gone(one.device); });
  }

  // Those that did more than the one that would have to go: of a flood of made up addresses, none.
  std::vector<Refused> sources() const {
    std::uint64_t least = 0;
    if (sources_.size() == most_sources) {
      least = std::ranges::min_element(sources_, {}, &Source::rank)->rank;
    }
    std::vector<Refused> told;
    for (const auto& one : sources_) {
      if (one.count > least) told.push_back(one);
    }
    return told;
  }

 private:
  struct Source : Refused {
    std::uint64_t rank = 0;
  };

  std::vector<Source> sources_;
};

}  // namespace wgvitals::trace
