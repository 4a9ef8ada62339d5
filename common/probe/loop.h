// One thread for all probes that wait on sockets: what it is given is called when a socket is
// ready, or a time has come. Nothing that it calls may wait.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "common/base/log.h"
#include "common/base/thread.h"

namespace wgvitals::probe {

class Loop {
 public:
  using Clock = std::chrono::steady_clock;
  using TimerId = std::uint64_t;  // never 0
  using PlaceId = std::uint64_t;  // never 0

  // So many descriptors the attempts may hold at a time that enter(), of which there may be any
  // number: the others of the host's process shall never be short of them. And no more than a
  // quarter of what the process may have (RLIMIT_NOFILE).
  static constexpr std::size_t most_places = 256;

  Loop(StartThread start_thread, std::shared_ptr<Log> log);
  ~Loop();  // stops

  // Any thread: runs `work` on the loop's thread, soon; starts that at the first call. What throws
  // is logged. After stop() nothing is run. Throws std::system_error where the system refuses the
  // thread or its descriptors; then `work` is dropped.
  void post(std::function<void()> work);

  // The rest from the loop's thread only: from what it calls, and from destructors of that.
  // Calls `ready` with what happened (EPOLLIN, ...) until it is forgotten. Watching again changes
  // the events and what is called. The descriptor stays the caller's, who forgets it before closing
  // it. Throws std::system_error where it cannot be watched.
  void watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready);
  void forget(int fd);  // what already happened is not told any more
  TimerId at(Clock::time_point when, std::function<void()> work);  // once
  void cancel(TimerId timer);                                      // also one that has passed, or 0

  // Calls `begin` soon, once a place is free and those before have theirs. The place is kept until
  // it is left; who leaves while it waits is not called any more.
  PlaceId enter(std::function<void()> begin);
  void leave(PlaceId place);  // also one that was left, or 0

  // Ends the thread; what was posted or waits is dropped, on the thread itself.
  void stop();

 private:
  class Core;
  std::shared_ptr<Core> core_;
  StartThread start_thread_;
  std::mutex starting_;
  Thread thread_;
};

}  // namespace wgvitals::probe
