#include "common/probe/schedule.h"

#include <gtest/gtest.h>

#include <set>

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto start = Clock::time_point(std::chrono::hours(100));

TEST(Schedule, PhasesAreEvenlyApart) {
  std::set<int> tenths;
  for (std::uint32_t target = 0; target < 20; ++target) {
    const auto phase = to_phase(0.9, target);
    EXPECT_GE(phase, 0);
    EXPECT_LT(phase, 1);
    tenths.insert(static_cast<int>(phase * 10));
  }
  EXPECT_EQ(tenths.size(), 10u);
  EXPECT_EQ(to_phase(0.25, 0), 0.25);
}

TEST(Schedule, DoesNotDrift) {
  Schedule schedule(seconds(1), 16, 0.5, start);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(schedule.due(), start + milliseconds(500) + seconds(i));
    schedule.sent(schedule.due() + milliseconds(7), {});
  }
}

TEST(Schedule, MakesNothingUpAfterASuspend) {
  Schedule schedule(seconds(1), 16, 0, start);
  schedule.sent(start + std::chrono::hours(1), {});
  EXPECT_EQ(schedule.due(), start + std::chrono::hours(1) + seconds(1));
}

TEST(Schedule, LosesPatienceAndFindsItAgain) {
  Schedule schedule(seconds(1), 16, 0, start);
  const auto next = [&](std::chrono::nanoseconds gather = std::chrono::hours(1)) {
    const auto due = schedule.due();
    schedule.sent(due, gather);
    return (schedule.due() - due) / milliseconds(1);
  };
  for (const unsigned factor : {1u, 1u, 2u, 4u, 8u, 16u, 16u}) {
    schedule.lost();
    EXPECT_EQ(schedule.factor(), factor);
    EXPECT_EQ(next(), 1000 * factor);
  }
  EXPECT_EQ(next(seconds(10)), 9000);  // once in each gather
  EXPECT_EQ(next(seconds(1)), 1000);
  EXPECT_EQ(next({}), 1000);                 // not known: a host may ask each second
  EXPECT_EQ(next(milliseconds(100)), 1000);  // never faster than one that lives
  const auto last = schedule.due();
  EXPECT_EQ(next(), 16'000);
  schedule.answered();
  EXPECT_EQ(schedule.factor(), 1u);
  EXPECT_EQ(schedule.due(), last + seconds(1));
  schedule.lost();
  EXPECT_EQ(schedule.factor(), 1u);
}

TEST(Schedule, MayDoWithoutBackoff) {
  for (const unsigned slowest : {0u, 1u}) {
    Schedule schedule(seconds(1), slowest, 0, start);
    for (int i = 0; i < 10; ++i) schedule.lost();
    EXPECT_EQ(schedule.factor(), 1u);
  }
  Schedule odd(seconds(1), 5, 0, start);
  for (int i = 0; i < 10; ++i) odd.lost();
  EXPECT_EQ(odd.factor(), 5u);
}

}  // namespace
}  // namespace wgvitals::probe
