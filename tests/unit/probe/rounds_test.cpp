#include "common/probe/rounds.h"

#include <gmock/gmock.h>

#include <future>
#include <thread>

#include "tests/support/kept_log.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::Ge;
using testing::Le;

class RoundsTest : public testing::Test {
 protected:
  using Times = std::vector<Clock::time_point>;

  // The times of the first `count` probes of one target, which is dead or alive.
  Times probe(Pace pace, bool alive, std::size_t count, milliseconds gather = milliseconds(0)) {
    Times times;
    std::promise<void> done;
    Rounds* self = nullptr;
    Rounds rounds(loop_, {pace}, 0.0, [&](std::size_t target) {
      times.push_back(Clock::now());
      if (times.size() == count) {
        self->end();
        return done.set_value();
      }
      self->done(target, alive);
    });
    self = &rounds;
    rounds.set_gather(gather);
    loop_.post([&] { rounds.begin(); });
    EXPECT_EQ(done.get_future().wait_for(seconds(30)), std::future_status::ready);
    loop_.stop();
    return times;
  }
  // From the second on, which comes at a phase of the target's own.
  static double mean_ms(const Times& times) {
    return std::chrono::duration<double, std::milli>(times.back() - times[1]).count() /
           static_cast<double>(times.size() - 2);
  }

  std::shared_ptr<test::KeptLog> log_ = std::make_shared<test::KeptLog>();
  Loop loop_{start_plain_thread, log_};
};

TEST_F(RoundsTest, KeepsItsInterval) {
  EXPECT_THAT(mean_ms(probe({.interval = milliseconds(20)}, true, 11)), Ge(19));
}

TEST_F(RoundsTest, FirstProbesComeSoonAndAreThenSpreadOverTheInterval) {
  constexpr std::size_t count = 20;
  std::vector<std::size_t> probes(count);
  std::vector<Clock::time_point> second;
  second.reserve(count);
  std::promise<void> done;
  Rounds* self = nullptr;
  const Pace pace{.interval = seconds(2)};
  Rounds rounds(loop_, std::vector<Pace>(count, pace), 0.0, [&](std::size_t target) {
    if (++probes[target] == 2) second.push_back(Clock::now());
    self->done(target, true);
    if (second.size() == count) {
      self->end();
      done.set_value();
    }
  });
  self = &rounds;
  const auto begun = Clock::now();
  loop_.post([&] { rounds.begin(); });
  ASSERT_EQ(done.get_future().wait_for(seconds(30)), std::future_status::ready);
  loop_.stop();
  EXPECT_GE(second.front() - begun, milliseconds(200)) << "at once";
  EXPECT_GE(second.back() - second.front(), seconds(1));
}

TEST_F(RoundsTest, OneOfNoIntervalIsProbedOnceAGatherATenthSooner) {
  EXPECT_THAT(mean_ms(probe({}, true, 4, milliseconds(200))), AllOf(Ge(140), Le(900)));
}

TEST_F(RoundsTest, ADeadOneIsProbedLessOften) {
  const auto times = probe({.interval = milliseconds(10), .slowest = 4}, false, 12);
  EXPECT_GE(times[11] - times[10], milliseconds(25));
}

TEST_F(RoundsTest, ButNeverLessThanOnceAGather) {
  const auto times =
      probe({.interval = milliseconds(10), .slowest = 64}, false, 16, milliseconds(50));
  EXPECT_LT(mean_ms(times), 200);  // else about 340
}

TEST_F(RoundsTest, WhatWasPutOffIsTriedAgain) {
  std::promise<void> second;
  int tries = 0;
  Rounds* self = nullptr;
  Rounds rounds(loop_, {Pace{}}, 0.0, [&](std::size_t target) {
    if (++tries == 2) return second.set_value();
    self->put_off(target);
  });
  self = &rounds;
  loop_.post([&] { rounds.begin(); });
  EXPECT_EQ(second.get_future().wait_for(seconds(30)), std::future_status::ready);
  loop_.stop();
}

TEST_F(RoundsTest, UntilGathersAreKnownEachWaitIsTwiceTheLast) {
  const auto times = probe({}, true, 4);  // of its intervals, 1, 2 and 4 s, a tenth: its phase is 0
  EXPECT_THAT(times[2] - times[1], AllOf(Ge(milliseconds(180)), Le(milliseconds(900))));
  EXPECT_GE(times[3] - times[2], milliseconds(380));
}

TEST_F(RoundsTest, WhatTakesPlacesSharesThemWithOtherRounds) {
  constexpr std::size_t most = Loop::most_places;
  std::promise<void> full;
  std::promise<std::size_t> last;
  std::size_t begun = 0;
  const auto probe = [&](std::size_t target) {
    ++begun;
    if (begun == most) full.set_value();
    if (begun == most + 1) last.set_value(target);
  };
  const std::vector<Pace> paces(most / 2 + 1, Pace{.interval = milliseconds(10)});
  Rounds one(loop_, paces, 0.0, probe, Rounds::Takes::place);
  Rounds other(loop_, paces, 0.0, probe, Rounds::Takes::place);
  loop_.post([&] {
    one.begin();
    other.begin();
  });
  ASSERT_EQ(full.get_future().wait_for(seconds(30)), std::future_status::ready);
  auto next = last.get_future();
  EXPECT_EQ(next.wait_for(milliseconds(100)), std::future_status::timeout);
  loop_.post([&] { one.done(0, true); });
  EXPECT_EQ(next.wait_for(seconds(30)), std::future_status::ready);
  loop_.post([&] { one.end(); });  // gives back all of its own
  std::promise<void> ended;
  loop_.post([&] { loop_.enter([&] { ended.set_value(); }); });
  EXPECT_EQ(ended.get_future().wait_for(seconds(30)), std::future_status::ready);
  loop_.stop();
}

TEST(LatestTest, GivesEachOutcomeOnceAndWhatIsWrongAsLongAsItIs) {
  Latest<int> latest(2);
  Latest<int>::Outcomes into(2);
  latest.put(0, 1, Error{Errc::io, 0, "name"});
  latest.put(0, 2, Error{Errc::io, 0, "name"});
  latest.put_off(1, {Errc::denied, 0, "mark"});
  latest.take(into);
  EXPECT_EQ(into[0], 2);
  EXPECT_FALSE(into[1]);
  EXPECT_EQ(latest.wrong().size(), 2u);

  into[0].reset();
  latest.take(into);
  EXPECT_FALSE(into[0]);
  EXPECT_EQ(latest.wrong().size(), 2u);

  latest.put(1, 3, std::nullopt);
  latest.take(into);
  EXPECT_EQ(into[1], 3);
  ASSERT_EQ(latest.wrong().size(), 1u);
  EXPECT_EQ(latest.wrong()[0].where, "name");
}

}  // namespace
}  // namespace wgvitals::probe
