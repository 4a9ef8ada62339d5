#include "plugins/telegraf/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wgvitals::telegraf {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

Arguments parse(const std::vector<const char*>& arguments) { return parse_arguments(arguments); }

TEST(Arguments, MayBeNone) {
  const auto parsed = parse({});
  EXPECT_EQ(parsed.config, std::nullopt);
  EXPECT_EQ(parsed.poll_interval, std::nullopt);
  EXPECT_FALSE(parsed.help);
  EXPECT_FALSE(parsed.version);
  EXPECT_THAT(parsed.problems, IsEmpty());
}

TEST(Arguments, HaveOneDashOrTwoAndTheirValueBehindAnEqualsSignOrNext) {
  const std::vector<const char*> forms[] = {
      {"-config", "/x"}, {"--config", "/x"}, {"-config=/x"}, {"--config=/x"}};
  for (const auto& form : forms) {
    const auto parsed = parse(form);
    EXPECT_EQ(parsed.config, "/x");
    EXPECT_THAT(parsed.problems, IsEmpty());
  }
}

TEST(Arguments, KeepEqualsSignsAndDashesOfValues) {
  EXPECT_EQ(parse({"-config=/a=b"}).config, "/a=b");
  EXPECT_EQ(parse({"-config", "-x"}).config, "-x");
}

TEST(Arguments, TakeThePollInterval) {
  EXPECT_EQ(parse({"-poll_interval", "1s"}).poll_interval, milliseconds(1000));
  EXPECT_EQ(parse({"-poll_interval=1m30s"}).poll_interval, milliseconds(90'000));
  EXPECT_EQ(parse({"--poll_interval", "250ms"}).poll_interval, milliseconds(250));
  EXPECT_EQ(parse({"-poll_interval", "1s", "-poll_interval", "2s"}).poll_interval,
            milliseconds(2000));
}

TEST(Arguments, SayThatThePollIntervalIsWrongAndRunNoTicker) {
  for (const auto* wrong : {"0", "99ms", "-1s", "soon", "", "25h"}) {
    const auto parsed = parse({"-poll_interval", wrong});
    EXPECT_EQ(parsed.poll_interval, std::nullopt) << wrong;
    EXPECT_THAT(parsed.problems,
                ElementsAre("-poll_interval: expected a time from 100ms to 24h such as \"10s\", "
                            "found '" +
                            std::string(wrong) + "'; no ticker runs"));
  }
}

TEST(Arguments, DisableTheTickerWhereverTheyStand) {
  EXPECT_EQ(parse({"-poll_interval_disabled", "-poll_interval", "1s"}).poll_interval, std::nullopt);
  EXPECT_EQ(parse({"-poll_interval", "1s", "--poll_interval_disabled"}).poll_interval,
            std::nullopt);
  EXPECT_EQ(parse({"-poll_interval=1s", "-poll_interval_disabled=true"}).poll_interval,
            std::nullopt);
  EXPECT_EQ(parse({"-poll_interval=1s", "-poll_interval_disabled=false"}).poll_interval,
            milliseconds(1000));
}

TEST(Arguments, AskForHelpAndVersion) {
  for (const auto* help : {"-h", "--h", "-help", "--help"}) EXPECT_TRUE(parse({help}).help);
  EXPECT_TRUE(parse({"--version"}).version);
}

TEST(Arguments, SayWhatIsNotUnderstoodAndGoOn) {
  const auto parsed = parse({"stray", "-unknown", "--also=1", "-", "-config", "/x"});
  EXPECT_THAT(parsed.problems, ElementsAre("argument 'stray' is passed over",
                                           "argument '-unknown' is unknown and passed over",
                                           "argument '--also=1' is unknown and passed over",
                                           "argument '-' is unknown and passed over"));
  EXPECT_EQ(parsed.config, "/x");
}

TEST(Arguments, SayThatAValueIsMissing) {
  for (const auto* name : {"-config", "--poll_interval"}) {
    const auto parsed = parse({name});
    EXPECT_THAT(parsed.problems, ElementsAre("argument '" + std::string(name) + "' needs a value"));
    EXPECT_EQ(parsed.config, std::nullopt);
    EXPECT_EQ(parsed.poll_interval, std::nullopt);
  }
}

}  // namespace
}  // namespace wgvitals::telegraf
