#include "common/config/option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wgvitals::config {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Option truth{"use_names", Takes::truth, "true", "x"};
constexpr Option whole{"field_max", Takes::whole, "64", "x", 0, 1024};
constexpr Option duration{"gather_wait", Takes::duration, "1s", "x", 100, 60'000};
constexpr Option text{"uapi_dir", Takes::text, "/run", "x"};
constexpr Option choice{"peers_shown", Takes::choice, "all", "x", 0, 0, "all|top:N|none"};
constexpr Option list{"names_files", Takes::texts, "/a|/b", "x"};
constexpr Option patterns{"interface_include", Takes::patterns, "", "x", 0, 0, "", "devices only"};
constexpr Option pairs{"names", Takes::pairs, "", "x", 0, 0, "", "name"};
constexpr Option triples{"labels", Takes::triples, "", "x", 0, 0, "", "label"};

struct Read {
  Settings settings{
      Schema{{&truth, &whole, &duration, &text, &choice, &list, &patterns, &pairs, &triples}}};
  std::vector<std::string> problems;
};

Read read(const std::vector<Item>& items) {
  Read read;
  std::vector<Problem> problems;
  read.settings.read({"file", items}, problems);
  for (const auto& problem : problems) read.problems.push_back(to_text("file", problem));
  return read;
}

Read read_one(const char* name, std::vector<Value> values) {
  return read({{name, std::move(values), 3}});
}

Value string(const char* content) { return std::string(content); }
Value integer(std::int64_t number) { return number; }

TEST(Settings, BeginWithTheFallbacks) {
  const auto [settings, problems] = read({});
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_TRUE(settings.truth(truth));
  EXPECT_EQ(settings.whole(whole), 64);
  EXPECT_EQ(settings.duration(duration), milliseconds(1000));
  EXPECT_EQ(settings.text(text), "/run");
  EXPECT_EQ(settings.text(choice), "all");
  EXPECT_THAT(settings.texts(list), ElementsAre("/a", "/b"));
  EXPECT_THAT(settings.texts(patterns), IsEmpty());
  EXPECT_THAT(settings.rows(pairs), IsEmpty());
}

TEST(Settings, TakeTruths) {
  for (const auto& yes : {Value(true), string("true"), string("Yes"), string("ON")}) {
    EXPECT_TRUE(read_one("use_names", {yes}).settings.truth(truth));
  }
  for (const auto& no : {Value(false), string("false"), string("No"), string("off")}) {
    const auto [settings, problems] = read_one("use_names", {no});
    EXPECT_THAT(problems, IsEmpty());
    EXPECT_FALSE(settings.truth(truth));
  }
}

TEST(Settings, TakeWholeNumbersWithinTheirRange) {
  const struct {
    Value value;
    std::int64_t taken;
  } cases[] = {{integer(0), 0},
               {integer(1024), 1024},
               {Value(10.0), 10},
               {string("10"), 10}};  // as collectd's own plugins take it
  for (const auto& test : cases) {
    const auto [settings, problems] = read_one("field_max", {test.value});
    EXPECT_THAT(problems, IsEmpty());
    EXPECT_EQ(settings.whole(whole), test.taken);
  }
}

TEST(Settings, TakeDurationsAsTelegrafAndCollectdWriteThem) {
  const struct {
    Value value;
    std::int64_t ms;
  } cases[] = {{string("1s"), 1000},   {string("500ms"), 500},       {string("1m"), 60'000},
               {string("0.5s"), 500},  {string("30s500ms"), 30'500}, {string("10"), 10'000},
               {integer(2), 2000},     {Value(1.5), 1500},           {string("100ms"), 100},
               {string("60s"), 60'000}};
  for (const auto& test : cases) {
    const auto [settings, problems] = read_one("gather_wait", {test.value});
    EXPECT_THAT(problems, IsEmpty());
    EXPECT_EQ(settings.duration(duration), milliseconds(test.ms));
  }
}

TEST(Settings, TakeChoicesInAnyCase) {
  EXPECT_EQ(read_one("peers_shown", {string("NONE")}).settings.text(choice), "none");
  EXPECT_EQ(read_one("peers_shown", {string("top:10")}).settings.text(choice), "top:10");
}

TEST(Settings, TakeSeveralTexts) {
  const auto [settings, problems] = read_one("names_files", {string("/x"), string("/y")});
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_THAT(settings.texts(list), ElementsAre("/x", "/y"));
  EXPECT_THAT(read_one("names_files", {}).settings.texts(list), IsEmpty()) << "[] is none";
}

TEST(Settings, AddUpSeveralLinesInPlaceOfTheFallback) {
  const auto [settings, problems] =
      read({{"NamesFiles", {string("/x")}, 1}, {"NamesFiles", {string("/y"), string("/z")}, 2}});
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_THAT(settings.texts(list), ElementsAre("/x", "/y", "/z"));
}

TEST(Settings, DropTheFallbackThoughTheFirstLineIsWrong) {
  const auto [settings, problems] =
      read({{"NamesFiles", {integer(5)}, 1}, {"NamesFiles", {string("/x")}, 2}});
  EXPECT_EQ(problems.size(), 1u);
  EXPECT_THAT(settings.texts(list), ElementsAre("/x"));
}

TEST(Settings, TakeTheLastOfSeveralSingleValues) {
  EXPECT_EQ(
      read({{"field_max", {integer(1)}, 1}, {"field_max", {integer(2)}, 2}}).settings.whole(whole),
      2);
}

TEST(Settings, CollectRows) {
  const auto [settings, problems] =
      read({{"names", {string("KEY1"), string("laptop")}, 1},
            {"Name", {string("KEY2"), string("phone")}, 2},
            {"Label", {string("KEY1"), string("site"), string("berlin")}, 3}});
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_THAT(settings.rows(pairs),
              ElementsAre(ElementsAre("KEY1", "laptop"), ElementsAre("KEY2", "phone")));
  EXPECT_THAT(settings.rows(triples), ElementsAre(ElementsAre("KEY1", "site", "berlin")));
}

TEST(Settings, KnowOptionsInBothHostsFormsAndByTheirAliases) {
  for (const auto* name : {"interface_include", "InterfaceInclude", "interfaceinclude",
                           "INTERFACE_INCLUDE", "devices", "Devices", "only"}) {
    const auto [settings, problems] = read_one(name, {string("wg0")});
    EXPECT_THAT(problems, IsEmpty()) << name;
    EXPECT_THAT(settings.texts(patterns), ElementsAre("wg0")) << name;
  }
}

TEST(Settings, SayWhatIsWrongWhereAndWhatHoldsInstead) {
  const struct {
    const char* name;
    std::vector<Value> values;
    const char* problem;
  } cases[] = {
      {"use_names",
       {string("perhaps")},
       "file:3: use_names: expected true or false, found \"perhaps\"; using true"},
      {"UseNames", {integer(1)}, "file:3: UseNames: expected true or false, found 1; using true"},
      {"field_max",
       {integer(1025)},
       "file:3: field_max: expected a whole number from 0 to 1024, found 1025; using 64"},
      {"field_max",
       {integer(-1)},
       "file:3: field_max: expected a whole number from 0 to 1024, found -1; using 64"},
      {"field_max",
       {Value(1.5)},
       "file:3: field_max: expected a whole number from 0 to 1024, found 1.5; using 64"},
      {"field_max",
       {string("10x")},
       "file:3: field_max: expected a whole number from 0 to 1024, found \"10x\"; using 64"},
      {"field_max",
       {},
       "file:3: field_max: expected a whole number from 0 to 1024, found nothing; using 64"},
      {"field_max",
       {integer(1), integer(2)},
       "file:3: field_max: expected a whole number from 0 to 1024, found 1 2; using 64"},
      {"gather_wait",
       {string("soon")},
       "file:3: gather_wait: expected a time from 100ms to 1m such as \"1s\", found \"soon\"; "
       "using \"1s\""},
      {"uapi_dir",
       {integer(5)},
       "file:3: uapi_dir: expected a text in quotes, found 5; using \"/run\""},
      {"peers_shown",
       {string("some")},
       "file:3: peers_shown: expected one of \"all\", \"top:N\", \"none\", found \"some\"; using "
       "\"all\""},
      {"names_files",
       {integer(5)},
       "file:3: names_files: expected texts in quotes, found 5; using [\"/a\", \"/b\"]"},
      {"devices",
       {integer(5)},
       "file:3: devices: expected names or /regular expressions/ in quotes, found 5; using []"},
      {"names",
       {string("KEY")},
       "file:3: names: expected a key and a text; this line is passed over"},
      {"labels",
       {string("KEY"), string("site"), integer(5)},
       "file:3: labels: expected a public key, a label and a text; this line is passed over"},
      {"nonsense",
       {integer(5)},
       "file:3: nonsense: unknown option, passed over ('wgvitals check --options' lists all)"},
  };
  const Settings fallbacks = Read().settings;
  for (const auto& test : cases) {
    const auto [settings, problems] = read_one(test.name, test.values);
    EXPECT_THAT(problems, ElementsAre(test.problem));
    EXPECT_EQ(settings.truth(truth), fallbacks.truth(truth));
    EXPECT_EQ(settings.whole(whole), fallbacks.whole(whole));
    EXPECT_EQ(settings.duration(duration), fallbacks.duration(duration));
    EXPECT_EQ(settings.text(text), fallbacks.text(text));
    EXPECT_EQ(settings.text(choice), fallbacks.text(choice));
    EXPECT_EQ(settings.texts(list), fallbacks.texts(list));
    EXPECT_EQ(settings.texts(patterns), fallbacks.texts(patterns));
    EXPECT_THAT(settings.rows(pairs), IsEmpty());
    EXPECT_THAT(settings.rows(triples), IsEmpty());
  }
}

TEST(Settings, RefuseTimesThatAreNone) {
  for (const auto* wrong : {"", "s", "99ms", "61s", "-1s", "1x", "1 s", "1s ", "1..5s", ".", "1d",
                            "inf", "nan", "1e300", "999999999999999999999999s", "1m1", "0x10"}) {
    const auto [settings, problems] = read_one("gather_wait", {string(wrong)});
    EXPECT_EQ(problems.size(), 1u) << wrong;
    EXPECT_EQ(settings.duration(duration), milliseconds(1000)) << wrong;
  }
  for (const double wrong : {-1.0, 1e300, 0.0, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(read_one("gather_wait", {Value(wrong)}).problems.size(), 1u) << wrong;
    EXPECT_EQ(read_one("field_max", {Value(wrong + 0.5)}).problems.size(), 1u) << wrong;
  }
}

TEST(Settings, RefuseTopWithoutItsNumber) {
  for (const auto* wrong :
       {"top:", "top:N", "TOP:n", "top:-1", "top:1.5", "top:ten", "top", "top:4294967296"}) {
    const auto [settings, problems] = read_one("peers_shown", {string(wrong)});
    EXPECT_EQ(problems.size(), 1u) << wrong;
    EXPECT_EQ(settings.text(choice), "all") << wrong;
  }
}

TEST(Settings, PassOverTheExpressionThatDoesNotCompileAlone) {
  const auto [settings, problems] =
      read_one("interface_include", {string("wg0"), string("/(/"), string("/^x/")});
  EXPECT_THAT(settings.texts(patterns), ElementsAre("wg0", "/^x/"));
  EXPECT_THAT(problems, ElementsAre(HasSubstr("file:3: interface_include: a regular expression "
                                              "does not compile, passed over: /(/: ")));
}

TEST(Settings, ShowNothingUnprintableOrEndless) {
  const auto [settings, problems] =
      read_one("gather_wait", {std::string("a\n\x1b[31m") + std::string(1000, 'x')});
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_LT(problems[0].size(), 200u);
  EXPECT_EQ(problems[0].find('\n'), std::string::npos);
  EXPECT_EQ(problems[0].find('\x1b'), std::string::npos);
}

TEST(Settings, GoOnBehindWhatIsWrong) {
  const auto [settings, problems] = read({{"nonsense", {}, 1},
                                          {"field_max", {string("x")}, 2},
                                          {"uapi_dir", {string("/elsewhere")}, 3}});
  EXPECT_EQ(problems.size(), 2u);
  EXPECT_EQ(settings.text(text), "/elsewhere");
}

constexpr const Option* of_probe[] = {&text, &pairs, &list, &patterns};
constexpr BlockKind ping_peers{"ping_peers", "x", of_probe};
constexpr BlockKind use_names{"use_names", "x", of_probe};  // as an option is named

struct ReadBlocks {
  Settings settings{Schema{{&truth, &text}, {&ping_peers, &use_names}}};
  std::vector<std::string> problems;
};

ReadBlocks read_blocks(const std::vector<Section>& sections) {
  ReadBlocks read;
  std::vector<Problem> problems;
  for (const auto& section : sections) read.settings.read(section, problems);
  for (const auto& problem : problems) read.problems.push_back(to_text("file", problem));
  return read;
}

TEST(Settings, HoldTheBlocksOfEachKind) {
  const auto [settings, problems] =
      read_blocks({{"file",
                    {{"uapi_dir", {string("/outside")}, 1}, {"use_names", {Value(false)}, 2}},
                    {{"ping_peers", "one", {{"UapiDir", {string("/inside")}, 4}}, 3},
                     {"UseNames", "", {{"Name", {string("site"), string("x")}, 6}}, 5}}},
                   {"other", {}, {{"PINGPEERS", "two", {}, 0}}}});
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(settings.text(text), "/outside");
  EXPECT_FALSE(settings.truth(truth)) << "the option, not the block of its name";
  const auto pings = settings.blocks(ping_peers);
  ASSERT_EQ(pings.size(), 2u);
  EXPECT_EQ(pings[0]->title(), "one");
  EXPECT_EQ(pings[0]->line(), 3);
  EXPECT_EQ(pings[0]->text(text), "/inside");
  EXPECT_EQ(pings[1]->title(), "two");
  EXPECT_EQ(pings[1]->line(), 0);
  EXPECT_EQ(pings[1]->text(text), "/run") << "the fallback, not what stands outside";
  EXPECT_THAT(pings[1]->texts(list), ElementsAre("/a", "/b"));
  const auto names = settings.blocks(use_names);
  ASSERT_EQ(names.size(), 1u);
  EXPECT_THAT(names[0]->rows(pairs), ElementsAre(ElementsAre("site", "x")));
}

TEST(Settings, AreCopiedWithTheirBlocks) {
  const auto copy = read_blocks({{"file", {}, {{"ping_peers", "one", {}, 3}}}}).settings;
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): it is what is tested
  const auto again = copy;
  ASSERT_EQ(again.blocks(ping_peers).size(), 1u);
  EXPECT_EQ(again.blocks(ping_peers)[0]->title(), "one");
  EXPECT_NE(again.blocks(ping_peers)[0], copy.blocks(ping_peers)[0]);
}

TEST(Settings, AddUpTheLinesOfABlockButNotThoseOfTwo) {
  const auto [settings, problems] = read_blocks(
      {{"file",
        {},
        {{"ping_peers", "", {{"NamesFiles", {string("/x")}, 2}, {"NamesFiles", {string("/y")}, 3}}},
         {"ping_peers", "", {{"NamesFiles", {string("/z")}, 5}}}}}});
  EXPECT_THAT(problems, IsEmpty());
  const auto pings = settings.blocks(ping_peers);
  ASSERT_EQ(pings.size(), 2u);
  EXPECT_THAT(pings[0]->texts(list), ElementsAre("/x", "/y"));
  EXPECT_THAT(pings[1]->texts(list), ElementsAre("/z"));
}

TEST(Settings, SayWhatIsWrongInABlock) {
  const auto [settings, problems] = read_blocks({{"file",
                                                  {{"ping_peers", {Value(true)}, 1}},
                                                  {{"PingPeers",
                                                    "",
                                                    {{"hots", {string("x")}, 3},
                                                     {"uapi_dir", {integer(5)}, 4},
                                                     {"<UapiDir>", {}, 5},
                                                     {"use_names", {Value(true)}, 6},
                                                     {"names_files", {string("/x")}, 7}},
                                                    2},
                                                   {"uapi_dir", "", {{"hots", {}, 9}}, 8},
                                                   {"traceroute", "", {{"hots", {}, 11}}, 10}}}});
  EXPECT_THAT(
      problems,
      ElementsAre(
          "file:1: ping_peers: unknown option, passed over ('wgvitals check --options' lists all)",
          "file:3: PingPeers: hots: unknown option, passed over ('wgvitals check --options' lists "
          "all)",
          "file:4: PingPeers: uapi_dir: expected a text in quotes, found 5; using \"/run\"",
          "file:5: PingPeers: <UapiDir>: unknown option, passed over ('wgvitals check --options' "
          "lists all)",
          "file:6: PingPeers: use_names: unknown option, passed over ('wgvitals check --options' "
          "lists all)",
          "file:8: uapi_dir: unknown block, passed over ('wgvitals check --options' lists all)",
          "file:10: traceroute: unknown block, passed over ('wgvitals check --options' lists "
          "all)"));
  const auto pings = settings.blocks(ping_peers);
  ASSERT_EQ(pings.size(), 1u) << "the rest of the block holds";
  EXPECT_EQ(pings[0]->text(text), "/run");
  EXPECT_THAT(pings[0]->texts(list), ElementsAre("/x"));
}

TEST(Settings, RefuseAnOptionOutsideTheirSchema) {
  EXPECT_THROW((void)Settings(Schema{{&truth}}).whole(whole), std::logic_error);
}

TEST(Problem, IsToldWithItsLineWhereThatIsKnown) {
  EXPECT_EQ(to_text("wgvitals.toml", {12, "x"}), "wgvitals.toml:12: x");
  EXPECT_EQ(to_text("collectd.conf", {0, "x"}), "collectd.conf: x");
}

TEST(OptionName, IsCamelCaseInCollectd) {
  EXPECT_EQ(collectd_name("gather_wait"), "GatherWait");
  EXPECT_EQ(collectd_name("allowed_ips_field_max"), "AllowedIpsFieldMax");
  EXPECT_EQ(collectd_name("netns"), "Netns");
}

}  // namespace
}  // namespace wgvitals::config
