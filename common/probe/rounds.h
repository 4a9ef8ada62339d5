// What probes of services have in common: targets that are probed one by one on the loop, each in
// its own time, and the last result of each, to be taken.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/probe/loop.h"
#include "common/probe/schedule.h"

namespace wgvitals::probe {

struct Pace {
  // 0: once a gather, a tenth sooner; until the time between gathers is known, each wait is twice
  // the last, so that any gather finds a result
  std::chrono::nanoseconds interval{};
  unsigned slowest = 16;  // a dead one's longest interval, in intervals
};

template <class Targets>
std::vector<Pace> to_paces(const Targets& targets) {
  std::vector<Pace> paces;
  paces.reserve(targets.size());
  for (const auto& target : targets) paces.push_back(target.pace);
  return paces;
}

// Calls `probe` for one target after another. On the loop's thread, unless said otherwise. What the
// loop holds of it must have ended (end(), or Loop::stop()) before it does.
class Rounds {
 public:
  // What a probe takes from the host while it lasts. A place of the loop's may have to be waited
  // for: the probe begins once it has it.
  enum class Takes : std::uint8_t { nothing, place };

  // Any thread. `seed`: from 0 to 1, drawn once a process.
  Rounds(Loop& loop, std::vector<Pace> paces, double seed, std::function<void(std::size_t)> probe,
         Takes takes = Takes::nothing);

  void begin();  // the first probes leave within a second
  void end();

  // The probe of this target is over: the next is set.
  void done(std::size_t number, bool alive);
  // It could not be made, for a reason of our own: it will soon be tried again.
  void put_off(std::size_t number);

  // Any thread: the time between two gathers.
  void set_gather(std::chrono::nanoseconds gather) { gather_ns_ = gather.count(); }

 private:
  struct Target {
    Pace pace;
    std::chrono::nanoseconds interval;  // of its schedule
    Schedule schedule;
    Loop::TimerId timer = 0;
    Loop::PlaceId place = 0;
  };

  std::chrono::nanoseconds interval_of(const Target& target) const;
  void leave(Target& target);
  void probe(std::size_t number);
  void set(std::size_t number, Clock::time_point when);

  Loop& loop_;
  double seed_;
  std::vector<Pace> paces_;
  std::function<void(std::size_t)> probe_;
  Takes takes_;
  std::vector<Target> targets_;
  std::atomic<std::int64_t> gather_ns_ = 0;
};

// The last result of each target since it was last taken, and what is wrong with it now.
template <class Outcome>
class Latest {
 public:
  using Outcomes = std::vector<std::optional<Outcome>>;

  explicit Latest(std::size_t targets) : outcomes_(targets), spare_(targets) {}

  // `wrong`: for the administrator, what the outcome does not tell.
  void put(std::size_t target, Outcome outcome, std::optional<Error> wrong) {
    const std::lock_guard lock(mutex_);
    outcomes_[target] = std::move(outcome);
    set_wrong(target, std::move(wrong));
  }
  // There is no outcome, because of that.
  void put_off(std::size_t target, Error wrong) {
    const std::lock_guard lock(mutex_);
    set_wrong(target, std::move(wrong));
  }

  // A newer outcome replaces that of `into`, which has one place for each target.
  void take(Outcomes& into) {
    {
      const std::lock_guard lock(mutex_);
      outcomes_.swap(spare_);
    }
    for (std::size_t i = 0; i < spare_.size(); ++i) {
      if (spare_[i]) into[i] = std::exchange(spare_[i], std::nullopt);
    }
  }

  std::vector<Error> wrong() {
    const std::lock_guard lock(mutex_);
    std::vector<Error> errors;
    errors.reserve(wrong_.size());
    for (const auto& [target, error] : wrong_) errors.push_back(error);
    return errors;
  }

 private:
  void set_wrong(std::size_t target, std::optional<Error> wrong) {
    if (wrong) {
      wrong_.insert_or_assign(target, std::move(*wrong));
    } else if (!wrong_.empty()) {
      wrong_.erase(target);
    }
  }

  std::mutex mutex_;
  Outcomes outcomes_, spare_;  // the spare one is the taker's
  std::map<std::size_t, Error> wrong_;
};

}  // namespace wgvitals::probe
