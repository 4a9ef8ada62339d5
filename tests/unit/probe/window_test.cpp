#include "common/probe/window.h"

#include <gtest/gtest.h>

#include <cmath>

namespace wgvitals::probe {
namespace {

using namespace std::chrono_literals;
using Kind = PingOutcome::Kind;

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t second = 1000 * ms;

// Probe `number` leaves at `number` seconds.
PingOutcome outcome(std::uint32_t number, Kind kind, std::int64_t rtt_ns = 0) {
  PingOutcome made;
  made.number = number;
  made.kind = kind;
  made.sent_ns = number * second;
  made.rtt_ns = rtt_ns;
  made.ttl = 60;
  return made;
}
PingOutcome answered(std::uint32_t number, std::int64_t rtt_ms) {
  return outcome(number, Kind::answered, rtt_ms * ms);
}
PingOutcome lost(std::uint32_t number) { return outcome(number, Kind::lost); }

PingSummary summarise(const PingWindow& window) {
  std::vector<double> scratch;
  return window.summarise(1s, scratch);
}

TEST(PingWindow, NothingIsSaidOfAnEmptyOne) {
  const auto summary = summarise(PingWindow());
  EXPECT_EQ(summary.transmitted, 0u);
  EXPECT_FALSE(summary.loss_percent);
  EXPECT_FALSE(summary.times);
  EXPECT_FALSE(summary.jitter);
  EXPECT_FALSE(summary.outage);
  EXPECT_FALSE(summary.ttl);
}

// The values of Telegraf's own test of its percentiles.
TEST(PingWindow, TimesAreTelegrafs) {
  PingWindow window;
  for (std::uint32_t i = 0; i < 5; ++i) window.add(answered(i, i + 1));
  const auto summary = summarise(window);
  ASSERT_TRUE(summary.times);
  EXPECT_DOUBLE_EQ(summary.times->minimum, 1);
  EXPECT_DOUBLE_EQ(summary.times->average, 3);
  EXPECT_DOUBLE_EQ(summary.times->maximum, 5);
  EXPECT_DOUBLE_EQ(summary.times->deviation, std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(summary.times->percentile50, 3);
  EXPECT_DOUBLE_EQ(summary.times->percentile95, 4.8);
  EXPECT_DOUBLE_EQ(summary.times->percentile99, 4.96);
  EXPECT_EQ(summary.ttl, 60);
  EXPECT_EQ(summary.loss_percent, 0);
  EXPECT_EQ(summary.outage, 0);
}

TEST(PingWindow, EqualTimesHaveNoDeviationAndStayInTheirRange) {
  PingWindow window;
  for (std::uint32_t i = 0; i < 3; ++i) {
    auto equal = answered(i, 0);
    equal.rtt_ns = 100'001;
    window.add(equal);
  }
  const auto times = summarise(window).times;
  EXPECT_EQ(times->minimum, times->average);
  EXPECT_EQ(times->maximum, times->average);
  EXPECT_EQ(times->deviation, 0);
}

TEST(PingWindow, LossIsOfWhatWasSettledAndUnsentIsNoLoss) {
  PingWindow window;
  window.add(answered(0, 1));
  window.add(lost(1));
  window.add(answered(2, 1));
  window.add(lost(3));
  auto unsent = outcome(4, Kind::unsent);
  unsent.error = 101;
  window.add(unsent);
  const auto summary = summarise(window);
  EXPECT_EQ(summary.transmitted, 4u);
  EXPECT_EQ(summary.received, 2u);
  EXPECT_EQ(summary.loss_percent, 50);
  EXPECT_EQ(summary.unsent, 1u);
  EXPECT_EQ(window.tried(), 5u);
  EXPECT_EQ(window.last_error(), 101);
}

TEST(PingWindow, OddAnswersAreCountedBesideLoss) {
  PingWindow window;
  window.add(answered(0, 1));
  window.add(outcome(0, Kind::duplicate, ms));
  window.add(lost(1));
  window.add(outcome(1, Kind::late, ms));
  window.add(outcome(2, Kind::reordered, ms));
  const auto summary = summarise(window);
  EXPECT_EQ(summary.transmitted, 2u);
  EXPECT_EQ(summary.received, 1u);
  EXPECT_EQ(summary.duplicates, 1u);
  EXPECT_EQ(summary.late, 1u);
  EXPECT_EQ(summary.reordered, 1u);
}

TEST(PingWindow, JitterIsOfSuccessiveProbesOnlyAndCrossesWindows) {
  PingWindow window;
  window.add(answered(0, 10));
  window.add(answered(1, 14));
  window.add(answered(3, 50));  // 2 is lost and settled later
  window.add(answered(4, 52));
  window.add(lost(2));
  EXPECT_DOUBLE_EQ(*summarise(window).jitter, 3);  // 4 and 2
  window.close();
  window.add(answered(5, 57));
  EXPECT_DOUBLE_EQ(*summarise(window).jitter, 5);
}

TEST(PingWindow, AnOutageLastsFromTheFirstLostToTheNextAnswered) {
  PingWindow window;
  window.add(answered(0, 1));
  window.add(answered(4, 1));
  for (std::uint32_t i = 1; i < 4; ++i) window.add(lost(i));  // settled behind 4's answer
  window.add(lost(5));
  window.add(answered(6, 1));
  EXPECT_DOUBLE_EQ(*summarise(window).outage, 3000);
}

TEST(PingWindow, AnOutageCrossesWindowsUntilItEnds) {
  PingWindow window;
  window.add(lost(0));
  window.add(lost(1));
  EXPECT_DOUBLE_EQ(*summarise(window).outage, 2000);
  window.close();
  window.add(lost(2));
  EXPECT_DOUBLE_EQ(*summarise(window).outage, 3000);
  EXPECT_EQ(window.missed(), 3u);
  window.close();
  window.add(answered(3, 1));
  EXPECT_DOUBLE_EQ(*summarise(window).outage, 3000);
  EXPECT_EQ(window.missed(), 0u);
  window.close();
  window.add(answered(4, 1));
  EXPECT_DOUBLE_EQ(*summarise(window).outage, 0);
}

TEST(PingWindow, WhatIsForgottenStaysCountedAndAnOutageLasts) {
  PingWindow window;
  window.add(answered(0, 9));
  for (std::uint32_t i = 1; i < 5; ++i) window.add(lost(i));
  for (std::uint32_t i = 5; i < 8; ++i) window.add(answered(i, 1));
  window.forget_half();
  EXPECT_EQ(window.kept(), 4u);
  EXPECT_EQ(window.tried(), 8u);
  const auto summary = summarise(window);
  EXPECT_EQ(summary.transmitted, 8u);
  EXPECT_EQ(summary.received, 4u);
  EXPECT_EQ(summary.loss_percent, 50);
  EXPECT_DOUBLE_EQ(*summary.outage, 4000);
  EXPECT_EQ(summary.times->maximum, 1);
  EXPECT_DOUBLE_EQ(window.mean_rtt_ms(), 3);
  window.close();
  EXPECT_EQ(window.tried(), 0u);
  EXPECT_EQ(summarise(window).transmitted, 0u);
}

TEST(PingWindow, TheMeanOutlivesItsWindowUntilSomethingIsSettled) {
  PingWindow window;
  EXPECT_EQ(window.mean_rtt_ms(), 0);
  window.add(answered(0, 2));
  window.add(answered(1, 4));
  EXPECT_DOUBLE_EQ(window.mean_rtt_ms(), 3);
  window.close();
  EXPECT_DOUBLE_EQ(window.mean_rtt_ms(), 3);
  window.add(lost(2));
  EXPECT_EQ(window.mean_rtt_ms(), 0);
}

}  // namespace
}  // namespace wgvitals::probe
