#include "common/probe/wheel.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto start = Clock::time_point(std::chrono::hours(1000));

std::set<std::uint32_t> take(Wheel& wheel, Clock::time_point until) {
  std::set<std::uint32_t> taken;
  wheel.take_due(until, [&](std::uint32_t item, std::uint32_t) {
    EXPECT_TRUE(taken.insert(item).second);
    return true;
  });
  return taken;
}

TEST(Wheel, GivesWhatIsDueAndNoMore) {
  Wheel wheel;
  EXPECT_EQ(wheel.next(), Wheel::never);
  wheel.put(7, start + milliseconds(10), start);
  wheel.put(3, start + milliseconds(20), start);
  EXPECT_EQ(wheel.next(), start + milliseconds(10));
  EXPECT_TRUE(take(wheel, start + milliseconds(10) - std::chrono::nanoseconds(1)).empty());
  EXPECT_EQ(take(wheel, start + milliseconds(10)), std::set<std::uint32_t>{7});
  EXPECT_EQ(wheel.next(), start + milliseconds(20));
  wheel.put(3, start + milliseconds(5), start + milliseconds(10));  // moved, and late already
  EXPECT_EQ(wheel.next(), start + milliseconds(5));
  EXPECT_EQ(take(wheel, start + milliseconds(10)), std::set<std::uint32_t>{3});
  EXPECT_EQ(wheel.next(), Wheel::never);
}

TEST(Wheel, WhatIsNotTakenStays) {
  Wheel wheel;
  for (std::uint32_t item = 0; item < 10; ++item) wheel.put(item, start, start);
  int left = 4;
  wheel.take_due(start, [&](std::uint32_t, std::uint32_t) { return left-- > 0; });
  EXPECT_EQ(take(wheel, start).size(), 6u);
}

// Against a map, over days, with items from a millisecond to hours ahead.
TEST(Wheel, IsAsGoodAsASortedMap) {
  std::mt19937 random(5);
  const auto below = [&](std::uint32_t limit) {
    return static_cast<std::uint32_t>(random() % limit);
  };
  Wheel wheel;
  std::map<std::uint32_t, Clock::time_point> expected;
  auto now = start;
  for (int step = 0; step < 20'000; ++step) {
    const auto item = below(300);
    if (below(4) == 0) {
      wheel.remove(item);
      expected.erase(item);
    } else {
      const auto ahead = milliseconds(below(1u << below(24)));
      wheel.put(item, now + ahead, now);
      expected[item] = now + ahead;
    }
    if (below(3) != 0) continue;
    now += std::chrono::microseconds(below(1u << below(32)));
    std::set<std::uint32_t> due;
    std::erase_if(expected, [&](const auto& one) {
      if (one.second > now) return false;
      due.insert(one.first);
      return true;
    });
    ASSERT_EQ(take(wheel, now), due) << step;
    auto first = Wheel::never;
    for (const auto& [_, when] : expected) first = std::min(first, when);
    ASSERT_LE(wheel.next(), first);
    ASSERT_GT(wheel.next(), now) << step;  // no busy wait
  }
}

}  // namespace
}  // namespace wgvitals::probe
