#include "common/collect/walk_pace.h"

#include <gtest/gtest.h>

namespace wgvitals::collect {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(WalkPace, WhatTakesLongIsDoneSeldom) {
  WalkPace pace;
  const WalkPace::Clock::time_point start{};
  ASSERT_TRUE(pace.is_due(start));
  pace.took(start, milliseconds(50));
  EXPECT_TRUE(pace.is_due(start));
  pace.took(start, milliseconds(200));
  EXPECT_FALSE(pace.is_due(start + seconds(10)));
  EXPECT_TRUE(pace.is_due(start + seconds(20)));
}

// A gather each 10 s of a walk of 450 ms: every fifth.
TEST(WalkPace, KeepsToItsShare) {
  WalkPace pace;
  int walks = 0;
  for (int gather = 0; gather < 100; ++gather) {
    const WalkPace::Clock::time_point now{seconds(10 * gather)};
    if (!pace.is_due(now)) continue;
    ++walks;
    pace.took(now, milliseconds(450));
  }
  EXPECT_EQ(walks, 20);
}

}  // namespace
}  // namespace wgvitals::collect
