#include "common/probe/rounds.h"

#include <algorithm>
#include <ratio>
#include <utility>

namespace wgvitals::probe {
namespace {

constexpr std::chrono::nanoseconds first_probes = std::chrono::seconds(1);
// Behind the first probe, and at last, where the time between gathers is not known.
constexpr std::chrono::nanoseconds first_wait = std::chrono::seconds(1);
constexpr std::chrono::nanoseconds longest_wait = std::chrono::seconds(64);
constexpr std::chrono::nanoseconds least_interval = std::chrono::milliseconds(100);
constexpr std::chrono::nanoseconds put_off_for = std::chrono::seconds(1);
using Moment = std::chrono::duration<std::int64_t, std::ratio<1, 50>>;

}  // namespace

Rounds::Rounds(Loop& loop, std::vector<Pace> paces, double seed,
               std::function<void(std::size_t)> probe, Takes takes)
    : loop_(loop), seed_(seed), paces_(std::move(paces)), probe_(std::move(probe)), takes_(takes) {}

void Rounds::begin() {
  const auto now = Clock::now();
  targets_.reserve(paces_.size());
  for (const auto& pace : paces_) {
    const auto number = static_cast<std::uint32_t>(targets_.size());
    const auto first =
        pace.interval.count() > 0 ? std::min(pace.interval, first_probes) : first_probes;
    targets_.push_back({pace, {}, Schedule(first, pace.slowest, to_phase(seed_, number), now)});
    set(number, targets_.back().schedule.due());
  }
}

void Rounds::end() {
  for (auto& target : targets_) {
    loop_.cancel(target.timer);
    leave(target);
  }
  targets_.clear();
}

void Rounds::done(std::size_t number, bool alive) {
  auto& target = targets_[number];
  leave(target);
  if (const auto interval = interval_of(target);
      std::chrono::abs(interval - target.interval) > target.interval / 10) {
    // It was the first, or gathers come at another rate now. Spread over the interval, and none at
    // once.
    const auto phase = 0.1 + 0.9 * to_phase(seed_, static_cast<std::uint32_t>(number));
    target.interval = interval;
    target.schedule = Schedule(interval, target.pace.slowest, phase, Clock::now());
  }
  if (alive) {
    target.schedule.answered();
  } else {
    target.schedule.lost();
  }
  set(number, target.schedule.due());
}

void Rounds::put_off(std::size_t number) {
  leave(targets_[number]);
  set(number, Clock::now() + put_off_for);
}

std::chrono::nanoseconds Rounds::interval_of(const Target& target) const {
  if (target.pace.interval.count() > 0) return target.pace.interval;
  const std::chrono::nanoseconds gather(gather_ns_);
  return gather.count() > 0 ? std::max(gather * 9 / 10, least_interval)
                            : std::clamp(target.interval * 2, first_wait, longest_wait);
}

// Probes that are due within a moment leave together: one wake-up, and the code is still at hand.
void Rounds::set(std::size_t number, Clock::time_point when) {
  const Clock::time_point together(std::chrono::ceil<Moment>(when.time_since_epoch()));
  targets_[number].timer = loop_.at(together, [this, number] {
    if (takes_ == Takes::nothing) return probe(number);
    targets_[number].place = loop_.enter([this, number] { probe(number); });
  });
}

void Rounds::leave(Target& target) { loop_.leave(std::exchange(target.place, 0)); }

void Rounds::probe(std::size_t number) {
  targets_[number].schedule.sent(Clock::now(), std::chrono::nanoseconds(gather_ns_));
  probe_(number);
}

}  // namespace wgvitals::probe
