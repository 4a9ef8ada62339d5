#include "common/base/clock.h"

#include <gtest/gtest.h>

namespace wgvitals {
namespace {

TEST(ClockState, IsSynchronisedWhereTheKernelSaysSoTwice) {
  timex state{};
  EXPECT_TRUE(to_clock_state(state, TIME_OK)->synchronised);
  EXPECT_TRUE(to_clock_state(state, TIME_INS)->synchronised);  // a leap second is near
  EXPECT_FALSE(to_clock_state(state, TIME_ERROR)->synchronised);
  state.status = STA_UNSYNC;
  EXPECT_FALSE(to_clock_state(state, TIME_OK)->synchronised);
  EXPECT_FALSE(to_clock_state(state, -1));  // refused
}

TEST(ClockState, TellsTheOffsetInMilliseconds) {
  timex state{};
  state.offset = -2'500;
  EXPECT_DOUBLE_EQ(to_clock_state(state, TIME_OK)->offset_ms, -2.5);
  state.status = STA_NANO;
  EXPECT_DOUBLE_EQ(to_clock_state(state, TIME_OK)->offset_ms, -0.0025);
}

TEST(ClockState, TellsTheErrorWhereItIsSynchronised) {
  timex state{};
  state.esterror = 7;
  EXPECT_EQ(to_clock_state(state, TIME_OK)->error_ns, 7'000);
  EXPECT_EQ(to_clock_state(state, TIME_ERROR)->error_ns, 0);
  state.esterror = -1;
  EXPECT_EQ(to_clock_state(state, TIME_OK)->error_ns, 0);
}

TEST(ClockState, IsReadHere) { EXPECT_TRUE(read_clock_state()); }

}  // namespace
}  // namespace wgvitals
