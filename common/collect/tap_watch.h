// A tap that is watched on the loop's thread. Of a flood it takes some 16,000 packets a second; the
// kernel drops the rest, and counts them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/probe/loop.h"
#include "common/trace/handshakes.h"

namespace wgvitals::collect {

// What it has seen. Counts are those since it began.
struct Tapped {
  std::vector<trace::HandshakeTime> times;  // since the last call
  std::vector<trace::DeviceCounts> counts;
  std::vector<trace::Refused> refused;  // unordered
  std::uint64_t dropped = 0;            // packets that the tap had no room for
  std::optional<Error> failure;         // it has ended
};

// From one thread, beside the loop's. `loop` must outlive its thread.
class TapWatch {
 public:
  // `tap` as of trace::open_tap(). Throws as Loop::post().
  TapWatch(probe::Loop& loop, Fd tap, trace::Mac1For mac1_for);
  ~TapWatch();

  void set_devices(std::span<const trace::TracedDevice> devices);
  void take(Tapped& into);

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace wgvitals::collect
