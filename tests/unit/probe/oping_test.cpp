// The real liboping, on loopback: with the rights of root.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <thread>

#include "common/probe/pinger.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = PingOutcome::Kind;

PingTarget target_at(std::string_view address) {
  PingTarget target;
  target.address = parse_address(address).value();
  target.path.family = target.address.family;
  target.interval = milliseconds(50);
  target.timeout = milliseconds(200);
  return target;
}

class OpingTest : public testing::Test {
 protected:
  void collect() {
    std::vector<PingOutcome> outcomes;
    EXPECT_TRUE(pinger_->take(PingOwner::ping, outcomes));
    for (const auto& outcome : outcomes) {
      ++seen_[outcome.id][outcome.kind];
      last_[outcome.id] = outcome;
    }
  }

  bool wait_for(PingId id, Kind kind, int count = 1) {
    for (int i = 0; i < 60'000; ++i) {
      collect();
      if (seen_[id][kind] >= count) return true;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return false;
  }

  PingId add(const PingTarget& target) {
    auto id = pinger_->add(PingOwner::ping, target);
    EXPECT_TRUE(id) << to_text(id.error());
    return *id;
  }

  std::string refused(const PingTarget& target) {
    const auto id = pinger_->add(PingOwner::ping, target);
    return id ? "" : to_text(id.error());
  }

  std::unique_ptr<Pinger> pinger_ = make_oping(start_plain_thread);
  std::map<PingId, std::map<Kind, int>> seen_;
  std::map<PingId, PingOutcome> last_;
};

TEST_F(OpingTest, HasTheSameOutcomes) {
  const auto first = add(target_at("127.0.0.1"));
  const auto second = add(target_at("127.0.0.2"));
  const auto again = add(target_at("127.0.0.2"));
  for (const auto id : {first, second, again}) {
    ASSERT_TRUE(wait_for(id, Kind::answered, 3));
    EXPECT_EQ(seen_[id].size(), 1u);
    EXPECT_EQ(last_[id].ttl, 64);
    EXPECT_GT(last_[id].rtt_ns, 0);
    EXPECT_LT(last_[id].rtt_ns, 200'000'000);
    EXPECT_EQ(last_[id].number + 1, static_cast<std::uint32_t>(seen_[id][Kind::answered]));
  }
  EXPECT_THAT(pinger_->failures(PingOwner::ping), IsEmpty());
}

TEST_F(OpingTest, TheDeadAreLost) {
  auto target = target_at("192.0.2.1");
  target.path.device = "lo";
  const auto dead = add(target);
  target.address = parse_address("127.0.0.1").value();
  const auto alive = add(target);
  ASSERT_TRUE(wait_for(dead, Kind::lost, 2));
  ASSERT_TRUE(wait_for(alive, Kind::answered, 2));
  EXPECT_EQ(seen_[dead].size() + seen_[alive].size(), 2u);
}

TEST_F(OpingTest, OneThatCannotBeSentToSpoilsTheRoundAndIsSaid) {
  const auto good = add(target_at("127.0.0.1"));
  ASSERT_TRUE(wait_for(good, Kind::answered));
  const auto broadcast = add(target_at("127.255.255.255"));
  ASSERT_TRUE(wait_for(good, Kind::unsent));
  ASSERT_TRUE(wait_for(broadcast, Kind::unsent));
  const auto failures = pinger_->failures(PingOwner::ping);
  ASSERT_FALSE(failures.empty());
  EXPECT_THAT(to_text(failures[0]), HasSubstr("round of 2 hosts"));
  pinger_->remove(broadcast);
  ASSERT_TRUE(wait_for(good, Kind::answered, seen_[good][Kind::answered] + 2));
  EXPECT_THAT(pinger_->failures(PingOwner::ping), IsEmpty());
}

TEST_F(OpingTest, TargetsMoveAndGo) {
  const auto id = add(target_at("127.255.255.255"));
  pinger_->move(id, parse_address("127.0.0.8").value());
  ASSERT_TRUE(wait_for(id, Kind::answered));
  pinger_->remove(id);
  collect();
  const auto before = seen_[id][Kind::answered];
  EXPECT_EQ(add(target_at("127.0.0.9")), id);
  ASSERT_TRUE(wait_for(id, Kind::answered, before + 2));
  // It is counted anew.
  EXPECT_LT(last_[id].number, static_cast<std::uint32_t>(seen_[id][Kind::answered] - before));
}

TEST_F(OpingTest, ABurstWaitsForTheGather) {
  auto target = target_at("127.0.0.1");
  target.count = 2;
  const auto id = add(target);
  ASSERT_TRUE(wait_for(id, Kind::answered, 2));
  std::this_thread::sleep_for(milliseconds(150));
  collect();
  EXPECT_EQ(seen_[id][Kind::answered], 2);
  pinger_->gathered();
  EXPECT_TRUE(wait_for(id, Kind::answered, 4));
}

TEST_F(OpingTest, RefusesWhatItCannotDo) {
  const auto refuses = [&](const std::function<void(PingTarget&)>& change) {
    auto target = target_at("127.0.0.1");
    change(target);
    return refused(target);
  };
  EXPECT_THAT(refuses([](PingTarget& target) { target.path.netns = "x"; }),
              HasSubstr("namespaces"));
  EXPECT_THAT(refuses([](PingTarget& target) { target.path.dont_fragment = true; }),
              HasSubstr("dont_fragment"));
  EXPECT_THAT(refuses([](PingTarget& target) { target.timeout = milliseconds(5001); }),
              HasSubstr("5 s"));
  EXPECT_THAT(refused(PingTarget()), HasSubstr("address"));
  add(target_at("127.0.0.1"));
  EXPECT_THAT(refuses([](PingTarget& target) { target.path.ttl = 9; }),
              HasSubstr("one set of options"));
  EXPECT_THAT(refuses([](PingTarget& target) { target.interval *= 2; }),
              HasSubstr("one set of options"));
  EXPECT_EQ(refused(target_at("::1")), "");
  for (int i = 2; i < 128; ++i)
    EXPECT_EQ(refused(target_at("127.0.0." + std::to_string(i))), "") << i;
  EXPECT_THAT(refused(target_at("127.0.0.200")), HasSubstr("at most 128"));
}

TEST_F(OpingTest, IsQuietUntilWanted) {
  std::vector<PingOutcome> outcomes;
  EXPECT_TRUE(pinger_->take(PingOwner::ping, outcomes));
  pinger_->gathered();
  EXPECT_THAT(pinger_->failures(PingOwner::ping), IsEmpty());
  pinger_->stop();
}

}  // namespace
}  // namespace wgvitals::probe
