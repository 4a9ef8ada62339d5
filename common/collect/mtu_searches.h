// Searches of the path MTU for many peers: each rarely, few at once, spread over time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/report.h"
#include "common/model/key.h"
#include "common/model/peers.h"
#include "common/probe/loop.h"
#include "common/probe/mtu.h"

namespace wgvitals::collect {

// One thread, the engine's.
class MtuSearches {
 public:
  using Clock = std::chrono::steady_clock;

  struct Found {
    std::uint32_t outside = 0;  // bytes of the largest packet to the endpoint; 0: not known
    std::uint32_t inside = 0;   // the same through the tunnel
  };

  // `at_once`: not spread, as in a one-shot run.
  MtuSearches(probe::Loop& loop, std::chrono::milliseconds interval, bool at_once);

  // Of whom a slot is, and where its endpoint is; what was found for another is forgotten.
  void follow(Slot slot, const PublicKey& key, const Endpoint& endpoint, Clock::time_point now);
  bool due(Slot slot, Clock::time_point now) const;
  void begin(Slot slot, probe::MtuQuestion outside, std::optional<probe::MtuQuestion> inside,
             Clock::time_point now);
  bool runs_inside(Slot slot) const { return slots_[slot].inside; }

  // Takes what the loop has found meanwhile.
  void poll();
  Found found(Slot slot) const { return slot < slots_.size() ? slots_[slot].found : Found{}; }
  std::size_t running() const { return running_; }
  void report(Report& report);  // what keeps searches from beginning

 private:
  struct OfPeer {
    PublicKey key;
    Endpoint endpoint;
    Found found;
    Clock::time_point due;
    std::uint32_t run = 0;  // the last one that was begun for it; 0: none
    unsigned open = 0;      // searches of that run
    bool inside = false;    // one of them goes through the tunnel
  };
  struct Box;

  void search(Slot slot, probe::MtuQuestion question, bool inside);

  probe::Loop& loop_;
  std::chrono::milliseconds interval_;
  bool at_once_;
  double seed_;
  std::vector<OfPeer> slots_;
  std::shared_ptr<Box> box_;
  std::size_t running_ = 0;
  std::uint32_t runs_ = 0;
  std::optional<Error> denied_;
};

}  // namespace wgvitals::collect
