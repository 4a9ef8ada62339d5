// What was settled, until its owner takes it.
#pragma once

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "common/probe/pinger.h"

namespace wgvitals::probe {

class PingOutbox {
 public:
  static constexpr std::size_t most = 1 << 20;  // an owner's; beyond, the older half is dropped

  void put(PingOwner owner, const PingOutcome& outcome) {
    auto& box = of(owner);
    if (box.outcomes.size() >= most) {
      box.outcomes.erase(box.outcomes.begin(), box.outcomes.begin() + most / 2);
      box.dropped = true;
    }
    box.outcomes.push_back(outcome);
  }

  // Its id may be used again once what was put was taken.
  void leave(PingOwner owner, PingId id) { of(owner).leaving.push_back(id); }

  // As Pinger::take(). Adds to `free` the ids that left before.
  bool take(PingOwner owner, std::vector<PingOutcome>& into, std::vector<PingId>& free) {
    auto& box = of(owner);
    into.clear();
    std::swap(into, box.outcomes);
    free.insert(free.end(), box.leaving.begin(), box.leaving.end());
    box.leaving.clear();
    return !std::exchange(box.dropped, false);
  }

 private:
  struct Box {
    std::vector<PingOutcome> outcomes;
    std::vector<PingId> leaving;
    bool dropped = false;
  };
  Box& of(PingOwner owner) { return boxes_[static_cast<std::size_t>(owner)]; }

  std::array<Box, ping_owners> boxes_;
};

}  // namespace wgvitals::probe
