// A sender's statistics over a network that does as it is told, and what a reflector keeps.

#include "common/probe/stamp_session.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

namespace wgvitals::probe {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t start = 1'795'210'380'000 * ms;  // wall clock at 0 of the monotonic one

// What becomes of one packet. Times in milliseconds.
struct Fate {
  double there = 10, back = 30;
  bool lost_there = false, lost_back = false;
  double again_there = -1, again_back = -1;  // a copy that takes so long; negative: none
};

enum class Counts : std::uint8_t { own, copied, from_1 };

class Network {
 public:
  explicit Network(double interval = 100, double timeout = 1000)
      : interval_(interval),
        session(std::chrono::nanoseconds(static_cast<std::int64_t>(timeout * ms))) {}

  void send(const Fate& fate) {
    run_until(next_);
    const auto now = moment(next_);
    const auto request = session.next(now, clock);
    session.sent(request, now);
    if (!fate.lost_there) arrive(next_ + fate.there, request, fate);
    if (fate.again_there >= 0) arrive(next_ + fate.again_there, request, fate);
    next_ += interval_;
  }
  void send(int count, const Fate& fate = {}) {
    for (int i = 0; i < count; ++i) send(fate);
  }

  // Until nothing is under way; two packets that arrive, and the time to settle all before them.
  StampWindow finish() {
    send(2);
    run_until(next_ + 10'000);
    return session.take();
  }

  void run_until(double time) {
    while (!events_.empty() && events_.begin()->first <= time) {
      const auto event = events_.extract(events_.begin());
      lost += session.expire(moment(event.key()).monotonic);
      event.mapped()();
    }
    lost += session.expire(moment(time).monotonic);
  }

  StampSession::Moment moment(double time) const {
    const auto monotonic = static_cast<std::int64_t>(time * ms);
    return {monotonic, start + monotonic + own_step};
  }

 private:
  double interval_;
  double next_ = 0;
  std::multimap<double, std::function<void()>> events_;

  void arrive(double when, const StampRequest& request, const Fate& fate) {
    events_.emplace(when, [=, this] {
      StampReply reply;
      reply.number = counts == Counts::copied ? request.number : reflected++;
      reply.request = request;
      reply.error = error;
      reply.received = to_ntp(moment(when).wall - own_step + offset);
      reply.sent = to_ntp(moment(when).wall - own_step + offset + inside);
      const double gone = when + static_cast<double>(inside) / ms;
      if (!fate.lost_back) come(gone + fate.back, reply);
      if (fate.again_back >= 0) come(gone + fate.again_back, reply);
    });
  }
  void come(double when, const StampReply& reply) {
    events_.emplace(when, [=, this] { ++arrivals[session.received(reply, moment(when), clock)]; });
  }

 public:
  Counts counts = Counts::own;
  StampSession session;
  StampClock clock;
  StampError error{false, false, 20, 1};
  std::int64_t offset = 0;    // of the reflector's clock
  std::int64_t own_step = 0;  // of our wall clock
  std::int64_t inside = 0;    // time that the reflector takes
  std::uint32_t reflected = 0;
  unsigned lost = 0;
  std::map<StampSession::Arrival, int> arrivals;
};

constexpr Fate lost_there{.lost_there = true};
constexpr Fate lost_back{.lost_back = true};

TEST(StampSession, NothingLost) {
  Network network;
  network.inside = 5 * ms;
  network.send(10);
  const auto window = network.finish();
  EXPECT_EQ(window.sent, 12u);
  EXPECT_EQ(window.received, 12u);
  EXPECT_EQ(window.directed, 11u);  // all but the first
  EXPECT_EQ(window.lost_forward_percent(), 0);
  EXPECT_EQ(window.lost_backward_percent(), 0);
  EXPECT_EQ(window.duplicates_forward + window.duplicates_backward, 0u);
  EXPECT_NEAR(*window.rtt.value(), 40, 1e-3);  // without the reflector's time
  EXPECT_EQ(window.ipdv_forward.count, 11u);
  EXPECT_NEAR(*window.ipdv_forward.value(), 0, 1e-3);
  EXPECT_FALSE(window.delay_forward.value());  // nobody is synchronised
}

TEST(StampSession, NumbersBeginAtOne) {
  StampSession session(std::chrono::seconds(1));
  EXPECT_EQ(session.next({}, {}).number, 1u);
  EXPECT_EQ(session.next({}, {}).number, 1u);  // was never sent
  session.sent(session.next({}, {}), {});
  EXPECT_EQ(session.next({}, {}).number, 2u);
}

TEST(StampSession, EachDirectionApart) {
  Network network;
  network.send(3);
  network.send(2, lost_there);
  network.send(1);
  network.send(3, lost_back);
  network.send(1);
  network.send(1, lost_there);  // both in one run
  network.send(1, lost_back);
  const auto window = network.finish();
  EXPECT_EQ(window.sent, 14u);
  EXPECT_EQ(window.received, 7u);
  EXPECT_EQ(network.lost, 7u);
  EXPECT_EQ(window.directed, 13u);
  EXPECT_EQ(window.lost_forward, 3u);
  EXPECT_EQ(window.lost_backward, 4u);
  EXPECT_DOUBLE_EQ(*window.lost_forward_percent(), 100 * 3 / 13.0);
  EXPECT_DOUBLE_EQ(*window.lost_backward_percent(), 100 * 4 / 10.0);  // of what arrived there
}

TEST(StampSession, ReorderingIsNoLoss) {
  Network network(10);
  network.send(5);
  network.send({.there = 35});  // overtaken by three on the way there
  network.send(1, lost_there);
  network.send(2);
  network.send({.there = 10, .back = 95});  // by six on the way back
  network.send(1, lost_back);
  network.send(10);
  const auto window = network.finish();
  EXPECT_EQ(window.lost_forward, 1u);
  EXPECT_EQ(window.lost_backward, 1u);
  EXPECT_EQ(window.duplicates_forward + window.duplicates_backward, 0u);
  EXPECT_EQ(window.directed, window.sent - 1);
}

TEST(StampSession, Duplicates) {
  Network network;
  network.send(3);
  network.send({.again_there = 15});
  network.send(2);
  network.send({.again_back = 33});
  network.send({.again_back = 33});
  network.send(1, lost_there);
  const auto window = network.finish();
  EXPECT_EQ(window.received, 10u);
  EXPECT_EQ(window.duplicates_forward, 1u);
  EXPECT_EQ(window.duplicates_backward, 2u);
  EXPECT_EQ(window.lost_forward, 1u);
  EXPECT_EQ(window.lost_backward, 0u);
  EXPECT_EQ(network.arrivals[StampSession::Arrival::duplicate], 3);
}

TEST(StampSession, AForwardDuplicateWhoseAnswerIsLost) {
  Network network;
  network.send(3);
  network.send({.lost_there = false, .again_there = 15});
  network.session.take();
  network.reflected += 1;  // a copy more that nobody here heard of
  const auto window = network.finish();
  EXPECT_EQ(window.duplicates_forward, 2u);
  EXPECT_EQ(window.lost_backward, 0u);
}

TEST(StampSession, AStatelessReflectorTellsNoDirection) {
  Network network;
  network.counts = Counts::copied;
  network.send(3);
  network.send(2, lost_there);
  network.send(2, lost_back);
  network.send({.again_there = 12});
  const auto window = network.finish();
  EXPECT_EQ(window.sent, 10u);
  EXPECT_EQ(window.received, 6u);
  EXPECT_EQ(window.directed, 0u);
  EXPECT_FALSE(window.lost_forward_percent());
  EXPECT_FALSE(window.lost_backward_percent());
  EXPECT_NEAR(*window.rtt.value(), 40, 1e-3);
}

// Not as the RFC has it: the first loss there tells.
TEST(StampSession, AReflectorThatBeginsAtOne) {
  Network network;
  network.reflected = 1;
  network.send(5);
  network.send(1, lost_there);
  network.send(1, lost_back);
  const auto window = network.finish();
  EXPECT_EQ(window.lost_forward, 1u);
  EXPECT_EQ(window.lost_backward, 1u);
}

TEST(StampSession, AReflectorThatBeginsAnew) {
  Network network;
  network.send(20);
  network.send(5, lost_there);
  network.run_until(2600);
  network.reflected = 0;
  network.send(5);
  network.send(1, lost_back);
  network.send(1);
  const auto window = network.finish();
  EXPECT_EQ(window.sent, 34u);
  EXPECT_EQ(window.received, 28u);
  EXPECT_EQ(window.lost_forward, 0u);  // the five are nobody's
  EXPECT_EQ(window.lost_backward, 1u);
  EXPECT_EQ(window.duplicates_forward, 0u);
  // Of the old count what was sent 2 s before the first answer of the new one, but for the first;
  // of the new one all but the first.
  EXPECT_EQ(window.directed, 5u + 8u);
}

TEST(StampSession, AReflectorThatJumpsAhead) {
  Network network;
  network.send(20);
  network.run_until(2000);
  network.reflected = 4'000'000'000;
  network.send(5);
  network.send(1, lost_there);
  const auto window = network.finish();
  EXPECT_EQ(window.duplicates_forward, 0u);
  EXPECT_EQ(window.lost_forward, 1u);
}

// Both counts under way at once, as where another takes the reflector's place.
TEST(StampSession, CountsThatMixAreNotTold) {
  Network network(10);
  network.send(100);
  network.reflected = 0;
  network.send(100);
  const auto window = network.finish();
  EXPECT_EQ(window.lost_forward + window.lost_backward, 0u);
  EXPECT_EQ(window.duplicates_forward + window.duplicates_backward, 0u);
  EXPECT_GT(window.directed, 90u);
}

TEST(StampSession, AnOutageIsSettledByTheAnswerThatEndsIt) {
  Network network;
  network.send(5);
  network.send(50, lost_there);
  network.run_until(7000);
  auto window = network.session.take();
  EXPECT_EQ(window.sent, 55u);
  EXPECT_EQ(window.received, 5u);
  EXPECT_EQ(window.directed, 4u);
  EXPECT_EQ(window.lost_forward, 0u);  // not known yet
  window = network.finish();
  EXPECT_EQ(window.sent, 2u);
  EXPECT_EQ(window.directed, 52u);
  EXPECT_EQ(window.lost_forward, 50u);
}

TEST(StampSession, LateIsLost) {
  Network network(100, 500);
  network.send(3);
  network.send({.back = 600});
  const auto window = network.finish();
  EXPECT_EQ(window.sent, 6u);
  EXPECT_EQ(window.received, 5u);
  EXPECT_EQ(window.lost_backward, 1u);  // it did reach the reflector
  EXPECT_EQ(window.lost_forward, 0u);
  EXPECT_EQ(network.arrivals[StampSession::Arrival::ignored], 1);
}

TEST(StampSession, OnlyAnswersToWhatWasSent) {
  StampSession session(std::chrono::seconds(1));
  const StampSession::Moment now{0, start};
  const auto request = session.next(now, {});
  session.sent(request, now);
  StampReply reply;
  reply.request = request;
  reply.request.sent += 1;
  EXPECT_EQ(session.received(reply, now, {}), StampSession::Arrival::ignored);
  reply.request = request;
  reply.request.number = 2;
  EXPECT_EQ(session.received(reply, now, {}), StampSession::Arrival::ignored);
  reply.request.number = 0;
  EXPECT_EQ(session.received(reply, now, {}), StampSession::Arrival::ignored);
  reply.request = request;
  EXPECT_EQ(session.received(reply, {1000 * ms + 1, start}, {}), StampSession::Arrival::ignored);
  EXPECT_EQ(session.take().received, 0u);
  EXPECT_EQ(session.received(reply, now, {}), StampSession::Arrival::answer);
}

// Whatever is lost and reordered, the directions are those of the truth.
TEST(StampSession, ExactUnderAnyLossAndReordering) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> chance;
    Network network(5 + 50 * chance(random), 500);
    const double loss = 0.5 * chance(random), spread = 200 * chance(random);
    unsigned forward = 0, backward = 0;
    network.send(3);
    for (int i = 0; i < 300; ++i) {
      Fate fate{.there = 1 + spread * chance(random), .back = 1 + spread * chance(random)};
      fate.lost_there = chance(random) < loss;
      fate.lost_back = chance(random) < loss;
      forward += fate.lost_there ? 1 : 0;
      backward += !fate.lost_there && fate.lost_back ? 1 : 0;
      network.send(fate);
    }
    network.send(100);
    const auto window = network.finish();
    EXPECT_EQ(window.lost_forward, forward) << seed;
    EXPECT_EQ(window.lost_backward, backward) << seed;
    EXPECT_EQ(window.duplicates_forward + window.duplicates_backward, 0u) << seed;
    EXPECT_EQ(window.sent - window.received, forward + backward) << seed;
    EXPECT_GE(window.directed, 300u) << seed;
  }
}

TEST(StampSession, ExactUnderAnyDuplication) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> chance;
    Network network(5 + 50 * chance(random), 500);
    const double spread = 200 * chance(random);
    unsigned forward = 0, backward = 0;
    network.send(3);
    for (int i = 0; i < 300; ++i) {
      const auto there = 1 + spread * chance(random), back = 1 + spread * chance(random);
      Fate fate{.there = there, .back = back};
      if (chance(random) < 0.2) {
        fate.again_there = 1 + spread * chance(random);
        ++forward;
      } else if (chance(random) < 0.2) {
        fate.again_back = back + 1;
        ++backward;
      }
      network.send(fate);
    }
    network.send(100);
    const auto window = network.finish();
    EXPECT_EQ(window.duplicates_forward, forward) << seed;
    EXPECT_EQ(window.duplicates_backward, backward) << seed;
    EXPECT_EQ(window.lost_forward + window.lost_backward, 0u) << seed;
  }
}

// With all at once the sum is still right.
TEST(StampSession, LossIsSharedOutWithoutRest) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> chance;
    Network network(5 + 50 * chance(random), 500);
    network.send(3);
    for (int i = 0; i < 300; ++i) {
      Fate fate{.there = 1 + 100 * chance(random), .back = 1 + 100 * chance(random)};
      fate.lost_there = chance(random) < 0.1;
      fate.lost_back = chance(random) < 0.1;
      if (chance(random) < 0.1) fate.again_there = 50;
      if (chance(random) < 0.1) fate.again_back = 50;
      network.send(fate);
    }
    network.send(100);
    const auto window = network.finish();
    EXPECT_EQ(window.lost_forward + window.lost_backward, window.sent - window.received) << seed;
  }
}

TEST(StampSession, VariationOfEachDirection) {
  Network network;
  network.offset = 3'600'000 * ms;  // an hour is no matter
  for (int i = 0; i < 10; ++i) network.send({.there = i % 2 == 0 ? 10.0 : 14.0});
  auto window = network.finish();
  // Nine steps of 4 ms, one from 14 to the 10 of what ends it, and one of none.
  EXPECT_EQ(window.ipdv_forward.count, 11u);
  EXPECT_NEAR(*window.ipdv_forward.value(), 40 / 11.0, 1e-3);
  EXPECT_NEAR(*window.ipdv_backward.value(), 0, 1e-3);
}

TEST(StampSession, NoVariationAcrossALoss) {
  Network network;
  network.send(1);
  network.send(1, lost_there);
  network.send({.there = 20});
  network.run_until(5000);
  EXPECT_EQ(network.session.take().ipdv_forward.count, 0u);
}

TEST(StampSession, ASessionOfOnePacketHasNoDirections) {
  StampSession session(std::chrono::seconds(1));
  session.sent(session.next({}, {}), {});
  EXPECT_EQ(session.expire(100'000 * ms), 1u);
  EXPECT_EQ(session.expire(200'000 * ms), 0u);
  EXPECT_EQ(session.take().directed, 0u);
}

TEST(StampSession, VariationAcrossALongPause) {
  Network network(10'000);
  network.send(3);
  EXPECT_EQ(network.finish().ipdv_forward.count, 4u);
}

TEST(StampSession, AStepOfTheReflectorsClockIsNoVariation) {
  Network network;
  network.send(5);
  network.run_until(450);
  network.offset = 5000 * ms;
  network.send(5);
  const auto window = network.finish();
  EXPECT_EQ(window.ipdv_forward.count, 10u);  // of 11
  EXPECT_NEAR(*window.ipdv_forward.value(), 0, 1e-3);
  EXPECT_NEAR(*window.ipdv_backward.value(), 0, 1e-3);
}

TEST(StampSession, AStepOfOurClockIsNoVariation) {
  Network network;
  network.send(5);
  network.run_until(450);
  network.own_step = -5000 * ms;
  network.send(5);
  const auto window = network.finish();
  EXPECT_EQ(window.ipdv_forward.count, 11u);
  EXPECT_NEAR(*window.ipdv_forward.value(), 0, 1e-3);
  EXPECT_NEAR(*window.rtt.value(), 40, 1e-3);
}

TEST(StampSession, AClockSetInsideTheReflectorLeavesNoTimes) {
  Network network;
  network.inside = -1 * ms;
  network.send(3);
  EXPECT_FALSE(network.finish().rtt.value());
  Network other;
  other.inside = 100 * ms;
  other.send(3);
  EXPECT_NEAR(*other.finish().rtt.value(), 40, 1e-3);
}

TEST(StampSession, DelaysOnlyWhileBothAreSynchronised) {
  const auto delays = [](bool ours, const StampError& theirs) {
    Network network;
    network.clock = {ours, 0};
    network.error = theirs;
    network.send(3);
    return network.finish();
  };
  const auto both = delays(true, {true, false, 10, 1});
  EXPECT_NEAR(*both.delay_forward.value(), 10, 1e-3);
  EXPECT_NEAR(*both.delay_backward.value(), 30, 1e-3);
  EXPECT_TRUE(both.delays_hold());
  EXPECT_EQ(delays(false, {true, false, 10, 1}).delay_forward.count, 0u);
  EXPECT_EQ(delays(true, {false, false, 10, 1}).delay_forward.count, 0u);
  EXPECT_EQ(delays(true, {true, false, 10, 0}).delay_forward.count, 0u);  // says nothing
}

TEST(StampSession, PtpGivesDifferencesOnly) {
  StampSession session(std::chrono::seconds(1));
  const auto exchange = [&](std::int64_t sent, std::int64_t there) {
    const StampSession::Moment out{sent * ms, start + sent * ms};
    const auto request = session.next(out, {true, 0});
    session.sent(request, out);
    StampReply reply;
    reply.number = request.number - 1;
    reply.request = request;
    reply.error = {true, true, 0, 1};
    const auto stamp = [](std::int64_t time) {  // TAI, 37 s ahead
      const auto all = start / ms + time + 37'000;
      return static_cast<std::uint64_t>(all / 1000) << 32u |
             static_cast<std::uint64_t>(all % 1000 * ms);
    };
    reply.received = stamp(sent + there);
    reply.sent = stamp(sent + there + 2);
    const auto back = sent + there + 2 + 30;
    session.received(reply, {back * ms, start + back * ms}, {true, 0});
  };
  exchange(0, 10);
  exchange(100, 13);
  const auto window = session.take();
  EXPECT_NEAR(*window.rtt.value(), 41.5, 1e-6);
  EXPECT_NEAR(*window.ipdv_forward.value(), 3, 1e-6);
  EXPECT_NEAR(*window.ipdv_backward.value(), 0, 1e-6);
  EXPECT_EQ(window.delay_forward.count, 0u);
}

TEST(StampSession, ANegativeDelay) {
  const auto window_of = [](std::int64_t offset, std::int64_t own_error_ns) {
    Network network;
    network.clock = {true, own_error_ns};
    network.error = to_stamp_error(true, 1 * ms);
    network.offset = offset;
    network.send(3);
    return network.finish();
  };
  // Within what both own up to it is told as it is.
  const auto small = window_of(-12 * ms, 2 * ms);
  EXPECT_TRUE(small.delays_hold());
  EXPECT_NEAR(*small.delay_forward.value(), -2, 1e-3);
  EXPECT_NEAR(*small.delay_backward.value(), 42, 1e-3);
  // Beyond it, somebody is not synchronised: nothing is known.
  EXPECT_FALSE(window_of(-14 * ms, 2 * ms).delays_hold());
  EXPECT_FALSE(window_of(34 * ms, 2 * ms).delays_hold());
  auto sum = small;
  sum.add(window_of(-14 * ms, 2 * ms));
  EXPECT_FALSE(sum.delays_hold());
}

TEST(StampSession, NoDelayWhileOurClockIsSet) {
  Network network;
  network.clock = {true, 0};
  network.error = {true, false, 10, 1};
  network.send(1);
  network.run_until(20);  // it is on its way back
  network.own_step = 5000 * ms;
  network.run_until(3000);
  const auto window = network.session.take();
  EXPECT_EQ(window.received, 1u);
  EXPECT_EQ(window.delay_forward.count, 0u);
  EXPECT_NEAR(*window.rtt.value(), 40, 1e-3);
}

TEST(StampWindow, AddsUp) {
  Network network;
  network.send(3);
  network.send(1, lost_there);
  auto first = network.finish();
  Network other;
  other.send(3);
  other.send(1, lost_back);
  other.send({.again_there = 12, .again_back = 31});
  const auto second = other.finish();
  first.add(second);
  EXPECT_EQ(first.sent, 6u + 7u);
  EXPECT_EQ(first.received, 5u + 6u);
  EXPECT_EQ(first.directed, 5u + 6u);
  EXPECT_EQ(first.lost_forward, 1u);
  EXPECT_EQ(first.lost_backward, 1u);
  EXPECT_EQ(first.duplicates_forward, 1u);
  EXPECT_EQ(first.rtt.count, 11u);
}

TEST(StampWindow, NothingOfNothing) {
  const StampWindow window;
  EXPECT_FALSE(window.lost_forward_percent());
  EXPECT_FALSE(window.lost_backward_percent());
  EXPECT_FALSE(window.rtt.value());
  StampWindow all_lost;
  all_lost.directed = all_lost.lost_forward = 3;
  EXPECT_EQ(all_lost.lost_forward_percent(), 100);
  EXPECT_FALSE(all_lost.lost_backward_percent());
}

Endpoint sender(std::uint8_t last, std::uint16_t port) {
  Endpoint endpoint;
  endpoint.family = AddressFamily::ipv4;
  endpoint.address = {192, 0, 2, last};
  endpoint.port = port;
  return endpoint;
}

TEST(StampNumbers, OneCountForEachSender) {
  StampNumbers numbers(10, std::chrono::seconds(900));
  const StampNumbers::Clock::time_point now{};
  EXPECT_EQ(numbers.next(sender(1, 1000), 0, now), 0u);
  EXPECT_EQ(numbers.next(sender(1, 1000), 0, now), 1u);
  EXPECT_EQ(numbers.next(sender(1, 1001), 0, now), 0u);
  EXPECT_EQ(numbers.next(sender(2, 1000), 0, now), 0u);
  EXPECT_EQ(numbers.next(sender(1, 1000), 7, now), 0u);
  EXPECT_EQ(numbers.next(sender(1, 1000), 0, now), 2u);
}

TEST(StampNumbers, Bounded) {
  StampNumbers numbers(2, std::chrono::seconds(900));
  StampNumbers::Clock::time_point now{std::chrono::hours(1)};
  EXPECT_TRUE(numbers.next(sender(1, 1), 0, now));
  now += std::chrono::seconds(600);
  EXPECT_TRUE(numbers.next(sender(2, 1), 0, now));
  EXPECT_FALSE(numbers.next(sender(3, 1), 0, now));
  EXPECT_EQ(numbers.next(sender(2, 1), 0, now), 1u);  // the others go on
  now += std::chrono::seconds(300);
  EXPECT_EQ(numbers.next(sender(3, 1), 0, now), 0u);  // in the place of the first, idle for 900 s
  EXPECT_EQ(numbers.next(sender(2, 1), 0, now), 2u);
  EXPECT_EQ(numbers.size(), 2u);
}

TEST(Allowance, SoManyASecond) {
  Allowance allowance(10);
  Allowance::Clock::time_point now{std::chrono::hours(1)};
  const auto taken = [&] {
    int count = 0;
    while (allowance.take(now)) ++count;
    return count;
  };
  EXPECT_EQ(taken(), 10);
  now += std::chrono::milliseconds(500);
  EXPECT_EQ(taken(), 5);
  now += std::chrono::hours(1);
  EXPECT_EQ(taken(), 10);
}

}  // namespace
}  // namespace wgvitals::probe
