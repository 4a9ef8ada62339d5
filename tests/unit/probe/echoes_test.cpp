#include "common/probe/echoes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <string>
#include <utility>

namespace wgvitals::probe {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using Kind = PingOutcome::Kind;

constexpr std::uint64_t cookie = 0xa1b2c3d4e5f60718;
constexpr std::int64_t wall_start = 1'700'000'000'000'000'000;
constexpr auto start = Clock::time_point(std::chrono::hours(100));

Endpoint ipv4(std::uint8_t last) {
  Endpoint endpoint;
  endpoint.family = AddressFamily::ipv4;
  endpoint.address = {192, 0, 2, last};
  return endpoint;
}

PingTarget target_at(std::uint8_t last = 1) {
  PingTarget target;
  target.address = ipv4(last);
  target.path.family = AddressFamily::ipv4;
  return target;
}

Instant at(nanoseconds time, nanoseconds clock_step = {}) {
  return {start + time, wall_start + (time + clock_step).count()};
}

class EchoesTest : public testing::Test {
 protected:
  PingId add(const PingTarget& target, nanoseconds when = {}, PingOwner owner = PingOwner::ping) {
    return echoes_.add(owner, target, 0, start + when).value();
  }

  std::vector<Echoes::Request> due(nanoseconds when) {
    std::vector<Echoes::Request> requests;
    echoes_.take_due(start + when, 1000, requests);
    return requests;
  }

  // Sends what is due; the last of it.
  Echoes::Request send(nanoseconds when) {
    const auto requests = due(when);
    for (const auto& request : requests) echoes_.sent(request, at(when));
    return requests.empty() ? Echoes::Request{} : requests.back();
  }

  void answer(const Echoes::Request& request, nanoseconds when,
              const std::function<void(IcmpMessage&, Endpoint&)>& change = {}) {
    IcmpMessage message;
    message.marked = true;
    message.echo = request.echo;
    auto from = request.address;
    if (change) change(message, from);
    echoes_.answered(message, from, 57, at(when).wall_ns, at(when + microseconds(10)));
  }

  // "answered 0", "lost 1 error 113", ...; with `id`, of that target only.
  std::vector<std::string> taken(std::optional<PingId> id = {}, PingOwner owner = PingOwner::ping) {
    static constexpr const char* names[] = {"answered", "lost",      "unsent",
                                            "late",     "duplicate", "reordered"};
    complete_ = echoes_.take(owner, outcomes_);
    std::vector<std::string> texts;
    for (const auto& outcome : outcomes_) {
      if (id && outcome.id != *id) continue;
      texts.push_back(names[static_cast<int>(outcome.kind)] +
                      (" " + std::to_string(outcome.number)) +
                      (outcome.error != 0 ? " error " + std::to_string(outcome.error) : ""));
    }
    return texts;
  }

  Echoes echoes_{cookie, 0};
  std::vector<PingOutcome> outcomes_;
  bool complete_ = true;
};

TEST_F(EchoesTest, AnAnswerIsTimedByTheKernelsStamp) {
  const auto id = add(target_at());
  const auto request = send(milliseconds(0));
  EXPECT_EQ(request.address, ipv4(1));
  EXPECT_EQ(request.echo, (Echo{cookie, id, 0, 0, 0}));
  answer(request, milliseconds(20));
  EXPECT_THAT(taken(), ElementsAre("answered 0"));
  EXPECT_EQ(outcomes_[0].id, id);
  EXPECT_EQ(outcomes_[0].ttl, 57);
  EXPECT_EQ(outcomes_[0].rtt_ns, 20'000'000);
  EXPECT_EQ(outcomes_[0].sent_ns, start.time_since_epoch().count());
  echoes_.expire(start + std::chrono::seconds(5));
  EXPECT_THAT(taken(), IsEmpty());
}

TEST_F(EchoesTest, WhatIsNotOursCountsForNothing) {
  struct Case {
    const char* what;
    std::function<void(IcmpMessage&, Endpoint&)> change;
  };
  const Case cases[] = {
      {"cookie", [](IcmpMessage& message, Endpoint&) { ++message.echo.cookie; }},
      {"target", [](IcmpMessage& message, Endpoint&) { ++message.echo.target; }},
      {"no such target", [](IcmpMessage& message, Endpoint&) { message.echo.target = 1u << 31; }},
      {"number", [](IcmpMessage& message, Endpoint&) { ++message.echo.number; }},
      {"sequence", [](IcmpMessage& message, Endpoint&) { ++message.echo.sequence; }},
      {"both", [](IcmpMessage& m, Endpoint&) { ++m.echo.number, ++m.echo.sequence; }},
      {"before the first", [](IcmpMessage& m, Endpoint&) { --m.echo.number, --m.echo.sequence; }},
      {"source", [](IcmpMessage&, Endpoint& from) { ++from.address[3]; }},
      {"family", [](IcmpMessage&, Endpoint& from) { from.family = AddressFamily::ipv6; }},
      {"no payload", [](IcmpMessage& message, Endpoint&) { message.marked = false; }},
  };
  add(target_at());
  const auto other = add(target_at(2));
  for (const auto& request : due(milliseconds(0))) echoes_.sent(request, at({}));
  (void)other;
  Echoes::Request request{0, 0, ipv4(1), {cookie, 0, 0, 0, 0}, 56, 0, start};
  for (const auto& one : cases) {
    SCOPED_TRACE(one.what);
    answer(request, milliseconds(20), one.change);
    EXPECT_THAT(taken(), IsEmpty());
  }
  answer(request, milliseconds(30));
  EXPECT_THAT(taken(), ElementsAre("answered 0"));
}

TEST_F(EchoesTest, AScopeThatOnlyOneSideNamesIsNoOtherHost) {
  auto target = target_at();
  target.path.family = target.address.family = AddressFamily::ipv6;
  target.address.address[0] = 0xfe;
  target.address.scope = 3;
  add(target);
  const auto request = send(milliseconds(0));
  answer(request, milliseconds(1), [](IcmpMessage&, Endpoint& from) { from.scope = 4; });
  EXPECT_THAT(taken(), IsEmpty());
  answer(request, milliseconds(1), [](IcmpMessage&, Endpoint& from) { from.scope = 0; });
  EXPECT_THAT(taken(), ElementsAre("answered 0"));
}

TEST_F(EchoesTest, TheEdgeOfTheTimeoutIsInTime) {
  add(target_at());
  const auto request = send(milliseconds(0));
  echoes_.expire(start + milliseconds(900) - nanoseconds(1));
  EXPECT_THAT(taken(), IsEmpty());
  answer(request, milliseconds(900));
  EXPECT_THAT(taken(), ElementsAre("answered 0"));

  const auto next = send(milliseconds(1000));
  EXPECT_EQ(echoes_.next_expiry(), start + milliseconds(1900));
  echoes_.expire(start + milliseconds(1900));
  EXPECT_THAT(taken(), ElementsAre("lost 1"));
  answer(next, milliseconds(1901));
  answer(next, milliseconds(1902));
  EXPECT_THAT(taken(), ElementsAre("late 1", "duplicate 1"));
}

TEST_F(EchoesTest, AnAnswerReadLateIsJudgedByItsStamp) {
  add(target_at());
  auto request = send(milliseconds(0));
  IcmpMessage message;
  message.marked = true;
  message.echo = request.echo;
  // The process was stopped for a minute.
  echoes_.answered(message, request.address, 0, at(milliseconds(20)).wall_ns,
                   at(std::chrono::minutes(1)));
  EXPECT_THAT(taken(), ElementsAre("answered 0"));
  EXPECT_EQ(outcomes_[0].rtt_ns, 20'000'000);

  request = send(std::chrono::minutes(1));
  message.echo = request.echo;
  echoes_.answered(message, request.address, 0, at(milliseconds(60'901)).wall_ns,
                   at(milliseconds(61'500)));
  EXPECT_THAT(taken(), ElementsAre("lost 1", "late 1"));
}

TEST_F(EchoesTest, AClockThatIsSetSpoilsNoRoundTrip) {
  struct Case {
    nanoseconds step;
    nanoseconds rtt;
  };
  add(target_at());
  nanoseconds now{};
  for (const auto& [step, rtt] :
       {Case{milliseconds(0), milliseconds(20)}, Case{std::chrono::hours(1), milliseconds(21)},
        Case{-std::chrono::hours(1), milliseconds(21)}, Case{milliseconds(-5), milliseconds(21)},
        // A step this small is no more than reading two clocks may take.
        Case{microseconds(-100), microseconds(19'900)}}) {
    const auto request = send(now);
    IcmpMessage message;
    message.marked = true;
    message.echo = request.echo;
    echoes_.answered(message, request.address, 0, at(now + milliseconds(20), step).wall_ns,
                     at(now + milliseconds(21), step));
    (void)taken();
    ASSERT_EQ(outcomes_.size(), 1u);
    EXPECT_EQ(outcomes_[0].kind, Kind::answered);
    EXPECT_EQ(outcomes_[0].rtt_ns, rtt.count()) << step.count();
    now += milliseconds(1000);
  }
}

TEST_F(EchoesTest, AnswersWithoutStampOrFromTheFutureStayWithinWhatPassed) {
  add(target_at());
  for (const auto stamp : {std::int64_t{0}, wall_start + 99'000'000'000}) {
    const auto request = send(std::chrono::seconds(stamp == 0 ? 0 : 1));
    IcmpMessage message;
    message.marked = true;
    message.echo = request.echo;
    echoes_.answered(message, request.address, 0, stamp, at(milliseconds(stamp == 0 ? 7 : 1007)));
    (void)taken();
    ASSERT_EQ(outcomes_.size(), 1u);
    EXPECT_EQ(outcomes_[0].rtt_ns, 7'000'000);
  }
}

TEST_F(EchoesTest, DuplicatesAndReorderingStandBeside) {
  auto target = target_at();
  target.interval = milliseconds(10);
  target.timeout = milliseconds(500);
  add(target);
  std::vector<Echoes::Request> sent;
  sent.reserve(4);
  for (int i = 0; i < 4; ++i) sent.push_back(send(milliseconds(10 * i)));
  answer(sent[1], milliseconds(50));
  answer(sent[0], milliseconds(51));
  answer(sent[1], milliseconds(52));
  answer(sent[3], milliseconds(53));
  answer(sent[2], milliseconds(54));
  EXPECT_THAT(taken(), ElementsAre("answered 1", "answered 0", "reordered 0", "duplicate 1",
                                   "answered 3", "answered 2", "reordered 2"));
}

TEST_F(EchoesTest, WhatIsLongSettledIsForgotten) {
  auto target = target_at();
  target.interval = target.timeout = milliseconds(10);
  target.slowest = 1;
  add(target);
  const auto first = send(milliseconds(0));
  for (int i = 1; i <= 63; ++i) send(milliseconds(10 * i));
  echoes_.expire(start + std::chrono::seconds(2));
  EXPECT_EQ(taken().size(), 64u);
  answer(first, milliseconds(2001));
  EXPECT_THAT(taken(), ElementsAre("late 0"));
  send(milliseconds(2010));
  answer(first, milliseconds(2011));
  EXPECT_THAT(taken(), IsEmpty());
}

TEST_F(EchoesTest, SequenceAndNumberWrap) {
  auto target = target_at();
  target.interval = milliseconds(2);
  target.timeout = milliseconds(2);
  const auto id = add(target);
  Echoes::Request request;
  for (int i = 0; i < 65'537; ++i) {
    request = send(milliseconds(2 * i));
    answer(request, milliseconds(2 * i + 1));
  }
  EXPECT_EQ(request.echo.number, 65'536u);
  EXPECT_EQ(request.echo.sequence, 0);
  const auto texts = taken();
  ASSERT_EQ(texts.size(), 65'537u);
  EXPECT_EQ(texts.back(), "answered 65536");
  // The same sequence number, a round of 65,536 ago.
  answer(request, milliseconds(200'000),
         [](IcmpMessage& message, Endpoint&) { message.echo.number = 0; });
  EXPECT_THAT(taken(id), IsEmpty());
}

TEST_F(EchoesTest, EachOwnerTakesItsOwn) {
  add(target_at(1));
  add(target_at(2), {}, PingOwner::path);
  for (const auto& request : due(std::chrono::seconds(1))) {
    echoes_.sent(request, at(std::chrono::seconds(1)));
    answer(request, milliseconds(1001));
  }
  EXPECT_THAT(taken(0, PingOwner::ping), ElementsAre("answered 0"));
  EXPECT_THAT(taken(1, PingOwner::path), ElementsAre("answered 0"));
  EXPECT_EQ(outcomes_.size(), 1u);
}

TEST_F(EchoesTest, WhatCouldNotBeSentIsNoLoss) {
  add(target_at());
  const auto requests = due(milliseconds(0));
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_THAT(due(std::chrono::seconds(9)), IsEmpty());  // until it is known what became of it
  echoes_.unsent(requests[0], start, ENOKEY);
  echoes_.expire(start + std::chrono::seconds(10));
  EXPECT_THAT(taken(), ElementsAre("unsent 0 error " + std::to_string(ENOKEY)));
  EXPECT_EQ(echoes_.next_request(), start + std::chrono::seconds(1));
  EXPECT_EQ(send(std::chrono::seconds(1)).echo.number, 1u);
}

TEST_F(EchoesTest, WantOfRoomIsWaitedFor) {
  add(target_at());
  auto request = due(milliseconds(0)).at(0);
  for (int ms = 0; ms < 900; ++ms) {
    echoes_.postponed(request, start + milliseconds(ms), start + milliseconds(ms + 1), ENOBUFS);
    EXPECT_THAT(taken(), IsEmpty());
    request = due(milliseconds(ms + 1)).at(0);
    EXPECT_EQ(request.echo.number, 0u);
  }
  echoes_.postponed(request, start + milliseconds(900), start + milliseconds(901), ENOBUFS);
  EXPECT_THAT(taken(), ElementsAre("unsent 0 error " + std::to_string(ENOBUFS)));

  request = due(milliseconds(1000)).at(0);
  echoes_.postponed(request, start + milliseconds(1000), start + milliseconds(1001), EAGAIN);
  EXPECT_EQ(send(milliseconds(1001)).echo.number, 1u);
  // That time of want is over.
  request = due(milliseconds(2000)).at(0);
  echoes_.postponed(request, start + milliseconds(2000), start + milliseconds(2001), EAGAIN);
  EXPECT_THAT(taken(), IsEmpty());
}

TEST_F(EchoesTest, AnErrorIsToldOnceTheProbeIsLost) {
  add(target_at());
  IcmpMessage error;
  error.kind = IcmpMessage::Kind::error;
  error.type = 3;
  error.code = 1;
  error.marked = true;
  const auto refuse = [&](const Echoes::Request& request) {
    error.echo = request.echo;
    error.destination = request.address;
    echoes_.refused(AddressFamily::ipv4, error);
  };
  refuse(send(milliseconds(0)));
  EXPECT_THAT(taken(), IsEmpty());
  echoes_.expire(start + milliseconds(900));
  EXPECT_THAT(taken(), ElementsAre("lost 0 error " + std::to_string(EHOSTUNREACH)));

  // The answer came all the same.
  auto request = send(milliseconds(1000));
  refuse(request);
  answer(request, milliseconds(1020));
  EXPECT_THAT(taken(), ElementsAre("answered 1"));

  // Eight bytes were quoted.
  request = send(milliseconds(2000));
  error.marked = false;
  refuse(request);
  echoes_.expire(start + milliseconds(2900));
  EXPECT_THAT(taken(), ElementsAre("lost 2 error " + std::to_string(EHOSTUNREACH)));
}

TEST_F(EchoesTest, ErrorsForOthersAreNotTold) {
  using Change = std::function<void(IcmpMessage&)>;
  const Change cases[] = {
      [](IcmpMessage& message) { ++message.echo.cookie; },
      [](IcmpMessage& message) { ++message.echo.target; },
      [](IcmpMessage& message) { message.echo.number += 65'536; },
      [](IcmpMessage& message) { ++message.echo.sequence; },
      [](IcmpMessage& message) { ++message.destination.address[3]; },
      [](IcmpMessage& message) { message.marked = false, ++message.echo.sequence; },
      [](IcmpMessage& message) { message.marked = false, ++message.destination.address[3]; },
  };
  auto target = target_at();
  target.slowest = 1;
  add(target);
  nanoseconds now{};
  for (const auto& change : cases) {
    const auto request = send(now);
    IcmpMessage error;
    error.kind = IcmpMessage::Kind::error;
    error.type = 3;
    error.marked = true;
    error.echo = request.echo;
    error.destination = request.address;
    change(error);
    echoes_.refused(AddressFamily::ipv4, error);
    answer(request, now + milliseconds(1), [](IcmpMessage&, Endpoint& from) { ++from.address[3]; });
    echoes_.expire(start + now + milliseconds(900));
    (void)taken();
    ASSERT_EQ(outcomes_.size(), 1u);
    EXPECT_EQ(outcomes_[0].error, 0) << &change - cases;
    now = echoes_.next_request() - start;
  }
}

TEST_F(EchoesTest, ARemovedTargetLeavesNothingBehind) {
  const auto id = add(target_at());
  const auto first = send(milliseconds(0));
  const auto under_way = due(milliseconds(1000)).at(0);
  EXPECT_EQ(echoes_.remove(id).path, 0u);
  echoes_.sent(under_way, at(milliseconds(1000)));
  answer(first, milliseconds(1001));
  echoes_.expire(start + std::chrono::seconds(10));
  EXPECT_EQ(add(target_at(2)), id + 1);  // its outcomes were not taken yet
  EXPECT_THAT(taken(), IsEmpty());

  // Its place is used again; answers to the one before are not taken for the new one's.
  EXPECT_EQ(add(target_at(1), std::chrono::seconds(20)), id);
  answer(first, std::chrono::seconds(20));
  answer(under_way, std::chrono::seconds(20));
  EXPECT_THAT(taken(), IsEmpty());
  const auto requests = due(std::chrono::seconds(20));
  for (const auto& request : requests) {
    echoes_.sent(request, at(std::chrono::seconds(20)));
    answer(request, milliseconds(20'001));
  }
  EXPECT_THAT(taken(id), ElementsAre("answered 0"));
}

TEST_F(EchoesTest, AMovedTargetLosesNothing) {
  const auto id = add(target_at(1));
  const auto before = send(milliseconds(0));
  echoes_.move(id, ipv4(9));
  answer(before, milliseconds(5), [](IcmpMessage&, Endpoint& from) { from = ipv4(9); });
  EXPECT_THAT(taken(), IsEmpty());
  answer(before, milliseconds(10));
  EXPECT_THAT(taken(), ElementsAre("answered 0"));
  const auto after = send(milliseconds(1000));
  EXPECT_EQ(after.address, ipv4(9));
  answer(after, milliseconds(1010), [](IcmpMessage&, Endpoint& from) { from = ipv4(1); });
  EXPECT_THAT(taken(), IsEmpty());
  answer(after, milliseconds(1010));
  EXPECT_THAT(taken(), ElementsAre("answered 1"));
}

TEST_F(EchoesTest, ABurstIsAsLongAsItsCountAndBeginsAnewAtAGather) {
  auto target = target_at();
  target.count = 3;
  target.interval = milliseconds(100);
  target.timeout = milliseconds(90);
  add(target);
  std::vector<std::int64_t> sent_ms;
  const auto run_until = [&](int end_ms) {
    for (auto now = echoes_.next_request();
         now != Echoes::never && now < start + milliseconds(end_ms); now = echoes_.next_request()) {
      const auto request = send(now - start);
      answer(request, now - start + milliseconds(1));
      sent_ms.push_back((now - start) / milliseconds(1));
    }
  };
  run_until(10'000);
  EXPECT_THAT(sent_ms, ElementsAre(0, 100, 200));
  echoes_.gathered(start + milliseconds(10'030));
  echoes_.gathered(start + milliseconds(10'040));  // the burst has not even begun
  run_until(20'000);
  EXPECT_THAT(sent_ms, ElementsAre(0, 100, 200, 10'100, 10'200, 10'300));
  // A gather in the middle of a burst changes nothing.
  echoes_.gathered(start + milliseconds(20'000));
  run_until(20'101);
  echoes_.gathered(start + milliseconds(20'101));
  run_until(30'000);
  EXPECT_EQ(sent_ms.size(), 9u);
  EXPECT_EQ(taken().size(), 9u);
}

TEST_F(EchoesTest, ADeadTargetsBurstsAreShorterAndOfTheSamePace) {
  auto target = target_at();
  target.count = 8;
  target.interval = milliseconds(100);
  target.timeout = milliseconds(90);
  add(target);
  std::vector<std::size_t> lengths;
  for (int burst = 0; burst < 6; ++burst) {
    std::vector<Clock::time_point> sent;
    for (auto now = echoes_.next_request(); now != Echoes::never; now = echoes_.next_request()) {
      (void)send(now - start);
      if (!sent.empty()) {
        EXPECT_EQ(now - sent.back(), milliseconds(100));
      }
      sent.push_back(now);
      echoes_.expire(now + target.timeout);
    }
    lengths.push_back(sent.size());
    echoes_.gathered(start + milliseconds(10'000 * (burst + 1)));
  }
  EXPECT_THAT(lengths, ElementsAre(8, 1, 1, 1, 1, 1));
}

TEST_F(EchoesTest, ADeadTargetIsProbedLessButOnceAGather) {
  auto target = target_at();
  target.timeout = milliseconds(500);
  add(target);
  const auto run = [&](int seconds_from, int seconds_to) {
    int sent = 0;
    for (int ms = seconds_from * 1000; ms < seconds_to * 1000; ms += 100) {
      if (ms % 10'000 == 0) echoes_.gathered(start + milliseconds(ms));
      if (send(milliseconds(ms)).address.family != AddressFamily::none) ++sent;
      echoes_.expire(start + milliseconds(ms));
      if (ms % 10'000 == 9'900 && ms > 20'000) {
        EXPECT_THAT(taken(), testing::Not(IsEmpty())) << ms;
      }
    }
    return sent;
  };
  (void)run(0, 100);
  EXPECT_LE(run(100, 200), 12);  // one in 9 s
  // The first answer brings the full rate back.
  const auto now = milliseconds(200'000);
  Echoes::Request request;
  for (int i = 0; request.address.family == AddressFamily::none; ++i) {
    ASSERT_LT(i, 200);
    request = send(now + milliseconds(100 * i));
    if (request.address.family != AddressFamily::none)
      answer(request, now + milliseconds(100 * i + 1));
  }
  EXPECT_EQ(echoes_.next_request(), request.due + std::chrono::seconds(1));
}

// As with Telegraf's collection_jitter.
TEST_F(EchoesTest, ADeadTargetIsInEveryGatherHoweverUneven) {
  constexpr int gaps[] = {6, 13, 14};  // seconds
  auto target = target_at();
  target.timeout = milliseconds(500);
  add(target);
  milliseconds gather{};
  for (int i = 0; i < 60; ++i) {
    const auto last = std::exchange(gather, gather + std::chrono::seconds(gaps[i % 3]));
    for (auto now = last; now < gather; now += milliseconds(100)) {
      send(now);
      echoes_.expire(start + now);
    }
    echoes_.gathered(start + gather);
    const auto count = taken().size();
    if (i > 3) {  // the shortest was seen once
      EXPECT_GT(count, 0u) << i;
    }
  }
}

TEST_F(EchoesTest, AnAnswerCallsABackedOffTargetEarly) {
  auto target = target_at();
  target.timeout = milliseconds(4000);
  target.slowest = 2;
  add(target);
  for (int hour = 0; hour < 3; ++hour) echoes_.gathered(start + std::chrono::hours(hour));
  for (int ms = 0; ms < 9000; ms += 100) {
    send(milliseconds(ms));
    echoes_.expire(start + milliseconds(ms));
  }
  const auto last = send(echoes_.next_request() - start);
  ASSERT_EQ(last.address, ipv4(1));
  EXPECT_GT(echoes_.next_request(), last.due + std::chrono::seconds(1));
  answer(last, last.due - start + milliseconds(100));
  EXPECT_EQ(send(last.due - start + milliseconds(1000)).echo.number, last.echo.number + 1);
}

TEST_F(EchoesTest, TheFirstProbeLeavesWithinASecond) {
  for (int i = 0; i < 100; ++i) {
    auto target = target_at();
    target.interval = i < 50 ? std::chrono::hours(1) : milliseconds(300);
    target.timeout = milliseconds(100);
    add(target);
  }
  EXPECT_EQ(due(milliseconds(300)).size(), 66u);  // all of one half, 0.3 of the other: evenly apart
  EXPECT_EQ(due(milliseconds(1000)).size(), 34u);
}

TEST_F(EchoesTest, NoMoreThanAskedForIsTaken) {
  for (int i = 0; i < 10; ++i) add(target_at());
  std::vector<Echoes::Request> requests;
  echoes_.take_due(start + std::chrono::seconds(1), 4, requests);
  EXPECT_EQ(requests.size(), 4u);
  EXPECT_EQ(due(std::chrono::seconds(1)).size(), 6u);
}

TEST_F(EchoesTest, RefusesWhatItCannotDo) {
  const auto refused = [&](const std::function<void(PingTarget&)>& change) {
    auto target = target_at();
    change(target);
    const auto added = echoes_.add(PingOwner::ping, target, 0, start);
    return added ? "" : added.error().where;
  };
  using testing::HasSubstr;
  EXPECT_THAT(refused([](PingTarget& target) { target.address = {}; }), HasSubstr("family"));
  EXPECT_THAT(refused([](PingTarget& target) { target.path.family = AddressFamily::ipv6; }),
              HasSubstr("family"));
  EXPECT_THAT(refused([](PingTarget& target) { target.interval = {}; }), HasSubstr("interval"));
  EXPECT_THAT(refused([](PingTarget& target) { target.timeout = {}; }), HasSubstr("timeout"));
  EXPECT_THAT(refused([](PingTarget& target) { target.timeout = milliseconds(64'001); }),
              HasSubstr("64 intervals"));
  EXPECT_EQ(refused([](PingTarget& target) { target.timeout = milliseconds(64'000); }), "");
  EXPECT_THAT(refused([](PingTarget& target) { target.size = 15; }), HasSubstr("size"));
  EXPECT_THAT(refused([](PingTarget& target) { target.size = 65'001; }), HasSubstr("size"));
}

TEST(PingOutbox, DropsTheOldestWhenNobodyTakes) {
  PingOutbox box;
  PingOutcome outcome;
  for (std::uint32_t i = 0; i <= PingOutbox::most; ++i) {
    outcome.number = i;
    box.put(PingOwner::ping, outcome);
  }
  std::vector<PingOutcome> taken;
  std::vector<PingId> free;
  EXPECT_FALSE(box.take(PingOwner::ping, taken, free));
  ASSERT_EQ(taken.size(), PingOutbox::most / 2 + 1);
  EXPECT_EQ(taken.front().number, PingOutbox::most / 2);
  EXPECT_EQ(taken.back().number, PingOutbox::most);
  EXPECT_TRUE(box.take(PingOwner::ping, taken, free));
  EXPECT_TRUE(taken.empty());
}

}  // namespace
}  // namespace wgvitals::probe
