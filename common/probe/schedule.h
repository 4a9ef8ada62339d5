// When a target is probed next: at a phase of its own, so that neither targets nor hosts beat
// together, and less often while it is dead, so that an outage is not amplified.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace wgvitals::probe {

using Clock = std::chrono::steady_clock;

// Where in its interval a target is probed, from 0 to 1. The golden ratio keeps any number of
// targets evenly apart; `seed`, drawn once a process, keeps hosts apart.
inline double to_phase(double seed, std::uint32_t target) {
  constexpr double golden = 0.6180339887498949;
  const double phase = seed + golden * target;
  return phase - std::floor(phase);
}

class Schedule {
 public:
  // `slowest`: the longest interval of a dead target, in intervals; 1: no backoff.
  Schedule(std::chrono::nanoseconds interval, unsigned slowest, double phase, Clock::time_point now)
      : interval_(interval),
        slowest_(std::max(1u, slowest)),
        due_(now + std::chrono::duration_cast<Clock::duration>(interval * phase)) {}

  Clock::time_point due() const { return due_; }
  unsigned factor() const { return factor_; }  // 1: full rate

  // A probe was sent, or could not be. The next is due behind this one's due time, so that nothing
  // drifts; what is more than an interval late, as after a suspend, is not made up for.
  // `gather`: time between gathers, 0 where not known (no host asks more often than each second).
  // None of them shall miss a dead target.
  void sent(Clock::time_point now, std::chrono::nanoseconds gather) {
    const auto wait = interval_ * factor_;
    const auto known = gather.count() > 0 ? gather : std::chrono::nanoseconds(1'000'000'000);
    step(now, std::min(wait, std::max(interval_, known * 9 / 10)));
  }

  // The same within a burst, which has its own pace: an interval later.
  void sent_of_burst(Clock::time_point now) { step(now, interval_); }

  void answered() {
    losses_ = 0;
    if (factor_ == 1) return;
    factor_ = 1;
    due_ = std::min(due_, last_ + interval_);  // may lie behind: at once
  }

  void lost() {
    if (++losses_ < patience) return;
    factor_ = std::min(factor_ * 2, slowest_);
  }

 private:
  void step(Clock::time_point now, std::chrono::nanoseconds wait) {
    last_ = due_;
    due_ += wait;
    if (due_ <= now) due_ = now + wait;
  }

  static constexpr unsigned patience = 3;  // losses in a row before the rate falls

  std::chrono::nanoseconds interval_;
  unsigned slowest_;
  unsigned factor_ = 1;
  unsigned losses_ = 0;
  Clock::time_point due_;
  Clock::time_point last_ = due_;
};

}  // namespace wgvitals::probe
