#include "common/base/instant.h"

#include <gtest/gtest.h>

namespace wgvitals {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

const Instant now{std::chrono::steady_clock::time_point(seconds(1000)), 5'000'000'000};

TEST(AtStamp, IsAsLongAgoAsTheStampSays) {
  const auto at = at_stamp({4, 999'999'000}, now);
  EXPECT_EQ(now.mono - at.mono, nanoseconds(1000));
  EXPECT_EQ(at.wall_ns, 4'999'999'000);
}

TEST(AtStamp, IsNowWhereTheClockWasSetInBetween) {
  for (const timespec stamp : {timespec{5, 1}, timespec{-6, 0}}) {
    EXPECT_EQ(at_stamp(stamp, now).mono, now.mono);
    EXPECT_EQ(at_stamp(stamp, now).wall_ns, now.wall_ns);
  }
}

}  // namespace
}  // namespace wgvitals
