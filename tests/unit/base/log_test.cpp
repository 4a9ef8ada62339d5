#include "common/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/kept_log.h"

namespace wgvitals {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

// Rounds of ten seconds; each complains or does not.
class ComplaintsTest : public testing::Test {
 protected:
  void round(std::initializer_list<const char*> texts, seconds later = seconds(10)) {
    now_ += later;
    for (const auto* text : texts) complaints_.complain(log_, Level::warning, text, now_);
    complaints_.settle(log_, now_);
  }
  std::vector<std::string> said() { return std::exchange(log_.lines, {}); }

  test::KeptLog log_;
  Complaints complaints_;
  Complaints::Clock::time_point now_{std::chrono::hours(100)};
};

TEST_F(ComplaintsTest, AreSaidOnceAndOnceMoreWhenOver) {
  round({"wg0: denied"});
  EXPECT_THAT(said(), ElementsAre("warning: wg0: denied"));
  for (int i = 0; i < 100; ++i) round({"wg0: denied"});
  EXPECT_THAT(said(), IsEmpty());
  round({});
  EXPECT_THAT(said(), ElementsAre("info: well again: wg0: denied"));
  for (int i = 0; i < 100; ++i) round({});
  EXPECT_THAT(said(), IsEmpty());
}

TEST_F(ComplaintsTest, AreSaidOnceThoughMadeTwiceInARound) {
  round({"torn", "torn"});
  EXPECT_THAT(said(), ElementsAre("warning: torn"));
}

TEST_F(ComplaintsTest, KeepTheirLevel) {
  complaints_.complain(log_, Level::error, "broken", now_);
  EXPECT_THAT(said(), ElementsAre("error: broken"));
}

TEST_F(ComplaintsTest, AreToldApartByTheirText) {
  round({"wg0: denied", "wg1: denied"});
  EXPECT_THAT(said(), ElementsAre("warning: wg0: denied", "warning: wg1: denied"));
  round({"wg1: denied"});
  EXPECT_THAT(said(), ElementsAre("info: well again: wg0: denied"));
}

TEST_F(ComplaintsTest, ThatStayAreRepeatedEveryHour) {
  round({"denied"});
  said();
  for (int i = 0; i < 359; ++i) round({"denied"});
  EXPECT_THAT(said(), IsEmpty());
  round({"denied"});
  EXPECT_THAT(said(), ElementsAre("warning: denied"));
}

TEST_F(ComplaintsTest, ThatComeAndGoAreSaidEveryTenMinutesAtMost) {
  int complaints = 0;
  int recoveries = 0;
  for (int i = 0; i < 360; ++i)
    round(i % 2 == 0 ? std::initializer_list<const char*>{"torn"}
                     : std::initializer_list<const char*>{});
  for (const auto& line : said()) {
    if (line == "warning: torn") ++complaints;
    if (line == "info: well again: torn") ++recoveries;
  }
  EXPECT_EQ(complaints, 6);  // in an hour
  EXPECT_EQ(recoveries, 6);
}

TEST_F(ComplaintsTest, ThatWereHeldBackAreSaidWhenTheyStay) {
  round({"torn"});
  round({});
  said();
  round({"torn"}, minutes(1));
  EXPECT_THAT(said(), IsEmpty());
  round({"torn"}, minutes(10));
  EXPECT_THAT(said(), ElementsAre("warning: torn"));
  round({});
  EXPECT_THAT(said(), ElementsAre("info: well again: torn"));
}

TEST_F(ComplaintsTest, ThatWereHeldBackHaveNoRecovery) {
  round({"torn"});
  round({});
  said();
  round({"torn"});
  round({});
  EXPECT_THAT(said(), IsEmpty());
}

TEST_F(ComplaintsTest, AreBounded) {
  for (int i = 0; i < 1000; ++i) {
    complaints_.complain(log_, Level::warning, "failure " + std::to_string(i), now_);
  }
  const auto lines = said();
  ASSERT_EQ(lines.size(), 257u);
  EXPECT_EQ(lines.back(), "warning: more failures than can be told apart; count them by errors=");
  complaints_.complain(log_, Level::warning, "one more", now_);
  EXPECT_THAT(said(), IsEmpty());
}

TEST_F(ComplaintsTest, HaveRoomAgainWhenTheOldOnesAreForgotten) {
  for (int i = 0; i < 1000; ++i) {
    complaints_.complain(log_, Level::warning, "failure " + std::to_string(i), now_);
  }
  complaints_.settle(log_, now_);
  round({}, minutes(11));
  said();
  round({"a new one"});
  EXPECT_THAT(said(), ElementsAre("warning: a new one"));
}

}  // namespace
}  // namespace wgvitals
