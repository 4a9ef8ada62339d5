// Sends STAMP packets to one reflector, for ever, on the loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/probe/loop.h"
#include "common/probe/resolver.h"
#include "common/probe/stamp_session.h"
#include "common/probe/stamp_socket.h"

namespace wgvitals::probe {

struct StampTarget {
  std::string host;  // a name or an address
  std::uint16_t port = 0;
  AddressFamily family = AddressFamily::none;  // of a name's addresses; none: either
  SocketPath path;
  std::size_t size = stamp_size;  // bytes of UDP payload, at least stamp_size
  std::chrono::milliseconds interval{1000};
  std::chrono::milliseconds timeout{900};
  unsigned slowest = 16;  // a dead one's longest interval, in intervals; 1: no backoff
};

// From one thread, beside the loop's. `loop` and `resolver` must outlive the loop's thread.
class StampSender {
 public:
  // Nothing is sent before start(). `phase`: see schedule.h.
  StampSender(Loop& loop, Resolver& resolver, StampTarget target, double phase);
  ~StampSender();

  // The first packet leaves within the shorter of an interval and a second.
  void start();

  StampWindow take();              // what was resolved since the last call
  std::optional<Error> failure();  // why nothing could be sent, the last time
  bool settled();                  // a packet was answered or lost, or none can be sent

  // Time between gathers, so that none misses a dead reflector.
  void set_gather(std::chrono::nanoseconds gather);

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace wgvitals::probe
