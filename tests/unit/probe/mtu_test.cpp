#include "common/probe/mtu.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <random>
#include <thread>

#include "tests/support/kept_log.h"

namespace wgvitals::probe {
namespace {

using Found = MtuResult::Found;

Endpoint address(const char* text) { return *parse_address(text); }

// A way with one narrow link, as the search sees it.
struct Way {
  std::uint32_t own = 1500;     // what the own link takes
  std::uint32_t narrow = 1500;  // what all links take
  bool tells = true;            // its router sends ICMP errors
  bool answers = true;          // the target does
  std::function<bool()> lost = [] { return false; };
  AddressFamily family = AddressFamily::ipv4;
  std::uint32_t most = 65'535;
};

// The search on this way, and how many packets it sent.
std::pair<MtuResult, unsigned> search(const Way& way) {
  MtuSearch search(way.family, way.most);
  unsigned sent = 0;
  for (; search.size() != 0 && sent < 1000; ++sent) {
    const auto size = search.size();
    if (size > way.own) {
      search.refused(size, way.own, {});
    } else if (const bool lost = way.lost(); !lost && size > way.narrow && way.tells) {
      search.refused(size, way.narrow, address("192.0.2.1"));
    } else if (lost || size > way.narrow || !way.answers) {
      search.silent();
    } else {
      search.answered(size);
    }
  }
  EXPECT_LT(sent, 1000u);
  return {search.result(), sent};
}

TEST(MtuSearch, TakesTwoPacketsWhereTheOwnLinkIsTheNarrowest) {
  const auto [result, sent] = search({.most = 1500});
  EXPECT_EQ(result.found, Found::whole);
  EXPECT_EQ(result.mtu, 1500u);
  EXPECT_EQ(sent, 2u);
}

TEST(MtuSearch, LearnsTheOwnLinksMtuFromItsRefusal) {
  const auto [result, sent] = search({.own = 9000, .narrow = 9000});
  EXPECT_EQ(result.found, Found::whole);
  EXPECT_EQ(result.mtu, 9000u);
  EXPECT_EQ(result.told, 0u);
  EXPECT_EQ(sent, 3u);
}

TEST(MtuSearch, ProvesWhatARouterTells) {
  const auto [result, sent] = search({.narrow = 1300, .most = 1500});
  EXPECT_EQ(result.found, Found::told);
  EXPECT_EQ(result.mtu, 1300u);
  EXPECT_EQ(result.told, 1300u);
  EXPECT_EQ(result.told_by, address("192.0.2.1"));
  EXPECT_EQ(sent, 3u);
}

TEST(MtuSearch, FindsEverySizeInABlackHole) {
  for (std::uint32_t narrow = 68; narrow <= 1500; ++narrow) {
    const auto [result, sent] = search({.narrow = narrow, .tells = false});
    ASSERT_EQ(result.mtu, narrow);
    EXPECT_EQ(result.found, narrow == 1500 ? Found::whole : Found::searched);
    EXPECT_LE(sent, 48u) << narrow;
  }
  const auto [result, sent] =
      search({.narrow = 1400, .tells = false, .family = AddressFamily::ipv6, .most = 1500});
  EXPECT_EQ(result.mtu, 1400u);
  EXPECT_LE(sent, 30u);
}

TEST(MtuSearch, TakesALossForNoBlackHole) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    std::minstd_rand random(seed);
    unsigned in_a_row = 0;
    const auto lost = [&] {
      in_a_row = in_a_row < 2 && random() % 3 == 0 ? in_a_row + 1 : 0;
      return in_a_row > 0;
    };
    EXPECT_EQ(search({.narrow = 1300, .tells = false, .lost = lost}).first.mtu, 1300u);
    EXPECT_EQ(search({.narrow = 1372, .lost = lost}).first.mtu, 1372u);
  }
}

TEST(MtuSearch, SaysNothingOfASilentTargetButKeepsWhatARouterTold) {
  const auto [silent, few] = search({.answers = false, .most = 1500});
  EXPECT_EQ(silent.found, Found::nothing);
  EXPECT_EQ(silent.mtu, 0u);
  EXPECT_EQ(silent.told, 0u);
  EXPECT_EQ(few, 6u);

  const auto [told, sent] = search({.narrow = 1300, .answers = false, .most = 1500});
  EXPECT_EQ(told.found, Found::nothing);
  EXPECT_EQ(told.told, 1300u);
  EXPECT_EQ(sent, 4u);
}

TEST(MtuSearch, GoesOnWhereARouterLiesOrTellsNoNumber) {
  const auto router = address("192.0.2.1");
  for (const std::uint32_t said : {0u, 20u, 1500u, 40'000u}) {  // an old router, nonsense, no less
    MtuSearch search(AddressFamily::ipv4, 1500);
    while (search.size() != 0) {
      if (search.size() > 1300) {
        search.refused(search.size(), said, router);
      } else {
        search.answered(search.size());
      }
    }
    EXPECT_EQ(search.result().mtu, 1300u) << said;
    EXPECT_EQ(search.result().found, Found::searched) << said;
  }
  // Told 1400 by one router, and behind it a hole of 1300.
  MtuSearch search(AddressFamily::ipv4, 1500);
  while (search.size() != 0) {
    if (search.size() > 1400) {
      search.refused(search.size(), 1400, router);
    } else if (search.size() > 1300) {
      search.silent();
    } else {
      search.answered(search.size());
    }
  }
  EXPECT_EQ(search.result().mtu, 1300u);
  EXPECT_EQ(search.result().told, 1400u);
  EXPECT_EQ(search.result().found, Found::searched);
}

TEST(MtuSearch, ALateAnswerProvesItsSize) {
  MtuSearch search(AddressFamily::ipv4, 1500);
  search.answered(68);
  for (int i = 0; i < 3; ++i) search.silent();
  EXPECT_LT(search.size(), 1500u);
  search.answered(1500);
  EXPECT_EQ(search.size(), 0u);
  EXPECT_EQ(search.result().mtu, 1500u);
  EXPECT_EQ(search.result().found, Found::whole);
}

// On loopback, by the loop; needs CAP_NET_RAW as all live probing does.
TEST(SearchMtu, FindsLoopbacksWhole) {
  const auto log = std::make_shared<test::KeptLog>();
  Loop loop(start_plain_thread, log);
  std::promise<MtuResult> told;
  MtuQuestion question;
  question.path.to = address("127.0.0.1");
  search_mtu(loop, question, [&](MtuResult result) { told.set_value(std::move(result)); });
  const auto result = told.get_future().get();
  EXPECT_FALSE(result.error);
  EXPECT_EQ(result.found, Found::whole);
  EXPECT_GE(result.mtu, 65'535u);
  loop.stop();
}

TEST(SearchMtu, SaysWhyItCouldNotBegin) {
  const auto log = std::make_shared<test::KeptLog>();
  Loop loop(start_plain_thread, log);
  std::promise<MtuResult> told;
  MtuQuestion question;
  question.path.to = address("127.0.0.1");
  question.path.device = "no-such-link";
  search_mtu(loop, question, [&](MtuResult result) { told.set_value(std::move(result)); });
  const auto result = told.get_future().get();
  EXPECT_EQ(result.found, Found::nothing);
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->code, Errc::absent);
  EXPECT_NE(to_text(*result.error).find("no-such-link"), std::string::npos);
  loop.stop();
}

TEST(SearchMtuOnLoop, EndsInTheMidstOfIt) {
  Loop loop(start_plain_thread, std::make_shared<test::KeptLog>());
  MtuQuestion question;
  question.path.to = address("192.0.2.1");
  question.path.device = "lo";  // where nobody has that address, and nobody says so
  question.timeout = std::chrono::seconds(60);
  std::atomic<int> told = 0;
  // More than have places at a time.
  for (std::size_t i = 0; i < Loop::most_places + 10; ++i) {
    search_mtu(loop, question, [&](const MtuResult&) { ++told; });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto start = Loop::Clock::now();
  loop.stop();
  EXPECT_LT(Loop::Clock::now() - start, std::chrono::seconds(2));
  EXPECT_EQ(told, 0);
}

}  // namespace
}  // namespace wgvitals::probe
