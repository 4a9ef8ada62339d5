#include "common/probe/hops.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "tests/support/kept_log.h"

namespace wgvitals::probe {
namespace {

using namespace std::chrono_literals;

Endpoint address(const char* text) { return *parse_address(text); }

TEST(HopTable, EndsAtTheTarget) {
  HopTable table(30);
  EXPECT_EQ(table.last_ttl(true), 30u);
  for (unsigned ttl = 1; ttl <= 5; ++ttl) table.sent(ttl);
  table.answered(1, address("192.0.2.1"), 1ms);
  for (const unsigned ttl : {4u, 3u, 5u}) {  // all behind the target are answered by it
    table.answered(ttl, address("192.0.2.9"), 3ms);
    table.ended(ttl, true);
  }
  EXPECT_EQ(table.last_ttl(true), 3u);
  EXPECT_EQ(table.last_ttl(false), 3u);
  const auto result = table.result();
  EXPECT_TRUE(result.reached);
  ASSERT_EQ(result.hops.size(), 3u);
  EXPECT_EQ(result.hops[0].address, address("192.0.2.1"));
  EXPECT_EQ(result.hops[1].address.family, AddressFamily::none);  // silent, and not left out
  EXPECT_EQ(result.hops[1].sent, 1u);
  EXPECT_EQ(result.hops[1].received, 0u);
  EXPECT_EQ(result.hops[2].address, address("192.0.2.9"));
}

TEST(HopTable, KeepsTheTimesOfEachHop) {
  HopTable table(1);
  for (const auto took : {3ms, 1ms, 5ms}) {
    table.sent(1);
    table.answered(1, address("192.0.2.1"), took);
  }
  table.sent(1);
  const auto hop = table.result().hops.at(0);
  EXPECT_EQ(hop.sent, 4u);
  EXPECT_EQ(hop.received, 3u);
  EXPECT_EQ(hop.best, 1ms);
  EXPECT_EQ(hop.worst, 5ms);
  EXPECT_EQ(hop.last, 5ms);
  EXPECT_EQ(hop.total, 9ms);
}

TEST(HopTable, TellsTheMostFrequentOfSeveralAddresses) {
  HopTable table(3);
  for (const char* from : {"192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3"}) {
    table.sent(1);
    table.answered(1, address(from), 1ms);
  }
  const auto hop = table.result().hops.at(0);
  EXPECT_EQ(hop.address, address("192.0.2.2"));
  EXPECT_EQ(hop.addresses, 3u);
}

TEST(HopTable, DoesNotGoFarBehindTheLastThatAnswers) {
  HopTable table(30);
  for (unsigned ttl = 1; ttl <= 30; ++ttl) table.sent(ttl);
  table.answered(4, address("192.0.2.4"), 1ms);
  EXPECT_EQ(table.last_ttl(true), 30u);
  EXPECT_EQ(table.last_ttl(false), 9u);
  EXPECT_EQ(table.result().hops.size(), 4u);
  EXPECT_FALSE(table.result().reached);
  EXPECT_TRUE(HopTable(30).result().hops.empty());
}

TEST(HopTable, EndsWhereARouterRefuses) {
  HopTable table(30);
  table.answered(3, address("192.0.2.3"), 1ms);
  table.ended(3, false);
  EXPECT_EQ(table.last_ttl(true), 3u);
  EXPECT_FALSE(table.result().reached);
  table.answered(3, address("192.0.2.9"), 1ms);  // later it lets through
  table.ended(3, true);
  EXPECT_TRUE(table.result().reached);
  table.answered(2, address("192.0.2.2"), 1ms);
  table.ended(2, false);
  EXPECT_FALSE(table.result().reached);
}

HopsResult trace(const HopsQuestion& question) {
  Loop loop(start_plain_thread, std::make_shared<test::KeptLog>());
  std::promise<HopsResult> told;
  trace_hops(loop, question, [&](HopsResult result) { told.set_value(std::move(result)); });
  auto result = told.get_future().get();
  loop.stop();
  return result;
}

// On loopback; needs CAP_NET_RAW as all live probing does.
TEST(TraceHops, ReachesLoopbackAtOnce) {
  HopsQuestion question;
  question.path.to = address("127.0.0.1");
  question.rounds = 3;
  question.spacing = 20ms;
  question.timeout = 200ms;
  const auto result = trace(question);
  EXPECT_FALSE(result.error);
  EXPECT_TRUE(result.reached);
  ASSERT_EQ(result.hops.size(), 1u);
  EXPECT_EQ(result.hops[0].sent, 3u);
  EXPECT_EQ(result.hops[0].received, 3u);
  EXPECT_EQ(result.hops[0].address, question.path.to);
}

TEST(TraceHops, SaysWhyItCouldNotBegin) {
  HopsQuestion question;
  question.path.to = address("127.0.0.1");
  question.path.device = "no-such-link";
  const auto result = trace(question);
  EXPECT_TRUE(result.hops.empty());
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->code, Errc::absent);
  EXPECT_NE(to_text(*result.error).find("no-such-link"), std::string::npos);
}

TEST(TraceHops, EndsInTheMidstOfIt) {
  Loop loop(start_plain_thread, std::make_shared<test::KeptLog>());
  HopsQuestion question;
  question.path.to = address("192.0.2.1");
  question.path.device = "lo";  // where nobody has that address, and nobody says so
  question.timeout = 60s;
  std::atomic<int> told = 0;
  for (int i = 0; i < 10; ++i) trace_hops(loop, question, [&](const HopsResult&) { ++told; });
  std::this_thread::sleep_for(50ms);
  const auto start = Loop::Clock::now();
  loop.stop();
  EXPECT_LT(Loop::Clock::now() - start, 2s);
  EXPECT_EQ(told, 0);
}

}  // namespace
}  // namespace wgvitals::probe
