// How often to do what may take long, so that it takes a small share of the time.
#pragma once

#include <chrono>

namespace wgvitals::collect {

class WalkPace {
 public:
  using Clock = std::chrono::steady_clock;

  bool is_due(Clock::time_point now) const { return now >= next_; }

  // What takes long has at most a hundredth of the time, the rest is done whenever it is wanted.
  void took(Clock::time_point now, Clock::duration time) {
    constexpr std::chrono::milliseconds is_long(50);
    next_ = time > is_long ? now + 100 * time : now;
  }

 private:
  Clock::time_point next_ = Clock::time_point::min();
};

}  // namespace wgvitals::collect
