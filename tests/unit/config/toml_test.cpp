#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/config/option.h"

namespace wgvitals::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

std::string show(const Item& item) {
  std::string text = item.name + '@' + std::to_string(item.line);
  for (const auto& value : item.values) {
    text += ' ';
    if (const auto* truth = std::get_if<bool>(&value)) text += *truth ? "true" : "false";
    if (const auto* whole = std::get_if<std::int64_t>(&value)) text += std::to_string(*whole);
    if (const auto* number = std::get_if<double>(&value)) text += std::to_string(*number);
    if (const auto* string = std::get_if<std::string>(&value)) text += '\'' + *string + '\'';
  }
  return text;
}

constexpr BlockKind ping{"ping", "x", {}};

struct Parsed {
  std::vector<std::string> items, blocks, problems;
  std::string broken;
};

Parsed parse(std::string_view text) {
  std::vector<Problem> problems;
  const auto section = parse_toml(text, "x.toml", {{}, {&ping}}, problems);
  Parsed parsed;
  if (section) {
    EXPECT_EQ(section->file, "x.toml");
    for (const auto& item : section->items) parsed.items.push_back(show(item));
    for (const auto& block : section->blocks) {
      auto& shown = parsed.blocks.emplace_back(block.name + '@' + std::to_string(block.line) + ':');
      for (const auto& item : block.items) shown += ' ' + show(item);
      EXPECT_EQ(block.title, "");
    }
  } else {
    EXPECT_EQ(section.error().code, Errc::malformed);
    parsed.broken = section.error().where;
  }
  for (const auto& problem : problems) parsed.problems.push_back(to_text("x.toml", problem));
  return parsed;
}

TEST(Toml, GivesTheOptionsOfTheFirstPlugin) {
  const auto parsed = parse(
      "# a comment\n"
      "[[inputs.wgvitals]]\n"
      "  gather_wait = \"1s\"\n"
      "  ignore_selected = true\n"
      "  allowed_ips_field_max = 64\n"
      "  sample_interval = 1.5\n"
      "[[inputs.other]]\n"
      "  gather_wait = \"9s\"\n");
  EXPECT_THAT(parsed.items, testing::UnorderedElementsAre(
                                "gather_wait@3 '1s'", "ignore_selected@4 true",
                                "allowed_ips_field_max@5 64", "sample_interval@6 1.500000"));
  EXPECT_THAT(parsed.problems, IsEmpty());
}

TEST(Toml, GivesArraysAsValuesAndTablesAsRows) {
  const auto parsed = parse(
      "[[inputs.wgvitals]]\n"
      "devices = [\"wg0\", \"/^x/\"]\n"
      "netns = []\n"
      "[inputs.wgvitals.labels.\"KEY1=\"]\n"
      "site = \"berlin\"\n"
      "[inputs.wgvitals.names]\n"
      "\"KEY1=\" = \"laptop\"\n"
      "\"KEY2=\" = \"phone\"\n");
  EXPECT_THAT(parsed.items,
              ElementsAre("devices@2 'wg0' '/^x/'", "labels@5 'KEY1=' 'site' 'berlin'",
                          "names@7 'KEY1=' 'laptop'", "names@8 'KEY2=' 'phone'", "netns@3"));
  EXPECT_THAT(parsed.problems, IsEmpty());
}

TEST(Toml, MayHaveItsOptionsAtTheTopOrInOneTable) {
  EXPECT_THAT(parse("gather_wait = \"1s\"\n").items, ElementsAre("gather_wait@1 '1s'"));
  EXPECT_THAT(parse("[inputs.wgvitals]\ngather_wait = \"1s\"\n").items,
              ElementsAre("gather_wait@2 '1s'"));
  EXPECT_THAT(parse("").items, IsEmpty());
  EXPECT_THAT(parse("").problems, IsEmpty());
}

TEST(Toml, SaysThatItHasNoPlugin) {
  for (const auto* text : {"[[inputs.other]]\nx = 1\n", "inputs.wgvitals = []",
                           "inputs.wgvitals = [1]", "inputs.wgvitals = 1"}) {
    const auto parsed = parse(text);
    EXPECT_THAT(parsed.items, IsEmpty()) << text;
    EXPECT_THAT(parsed.problems,
                ElementsAre("x.toml: no [[inputs.wgvitals]]: every option has its default"))
        << text;
  }
}

TEST(Toml, PassesOverASecondPlugin) {
  const auto parsed = parse(
      "[[inputs.wgvitals]]\n"
      "gather_wait = \"1s\"\n"
      "[[inputs.wgvitals]]\n"
      "gather_wait = \"2s\"\n");
  EXPECT_THAT(parsed.items, ElementsAre("gather_wait@2 '1s'"));
  EXPECT_THAT(parsed.problems, ElementsAre("x.toml:3: a second [[inputs.wgvitals]] is passed over: "
                                           "one process serves one"));
}

TEST(Toml, NamesTheLineWhereItIsBroken) {
  const struct {
    const char* text;
    const char* start;
  } cases[] = {
      {"[[inputs.wgvitals]]\ngather_wait = \n", "x.toml:2: not TOML: "},
      {"a = 1\nb = 2\na = 3\n", "x.toml:3: not TOML: "},
      {"\n\nwg0\n", "x.toml:3: not TOML: "},
      {"a = \"\xff\"\n", "x.toml:1: not TOML: "},
      {"a = [1, 2\n", "x.toml:"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(parse(test.text).broken, StartsWith(test.start)) << test.text;
  }
}

TEST(Toml, RefusesAKeyOfEndlessParts) {
  std::string key = "a";
  for (int i = 0; i < 100'000; ++i) key += ".a";
  EXPECT_EQ(parse("b = 1\n" + key + " = 1\n").broken, "x.toml:2: not TOML: a key of endless parts");
  const auto dotted =
      parse("# " + std::string(1000, '.') + "\n[[inputs.wgvitals]]\ngather_wait = \"2s\"\n");
  EXPECT_THAT(dotted.items, ElementsAre("gather_wait@3 '2s'"));
}

TEST(Toml, NamesValuesThatNoOptionTakes) {
  const auto parsed = parse(
      "[[inputs.wgvitals]]\n"
      "since = 2024-01-01\n"
      "names = [{ key = \"x\" }, 1]\n"
      "nested = [[1]]\n"
      "gather_wait = \"1s\"\n");
  EXPECT_THAT(parsed.items, ElementsAre("gather_wait@5 '1s'"));
  EXPECT_THAT(parsed.problems, testing::UnorderedElementsAre(
                                   "x.toml:2: since: a value of a kind that no option takes",
                                   "x.toml:3: names: a value of a kind that no option takes",
                                   "x.toml:4: nested: a value of a kind that no option takes"));
}

TEST(Toml, GivesArraysOfTablesAsBlocks) {
  const auto parsed = parse(
      "[[inputs.wgvitals]]\n"
      "pings = true\n"
      "[[inputs.wgvitals.http]]\n"
      "[[inputs.wgvitals.other]]\n"
      "b = 2\n"
      "\n"
      "a = [\"x\", \"y\"]\n"
      "labels.site = \"berlin\"\n"
      "[[inputs.wgvitals.other]]\n"
      "a = []\n"
      "[inputs.wgvitals.other.labels]\n"
      "site = \"rome\"\n");
  EXPECT_THAT(parsed.items, ElementsAre("pings@2 true"));
  EXPECT_THAT(parsed.blocks,
              ElementsAre("http@3:", "other@4: a@7 'x' 'y' b@5 2 labels@8 'site' 'berlin'",
                          "other@9: a@10 labels@12 'site' 'rome'"));
  EXPECT_THAT(parsed.problems, IsEmpty());
}

TEST(Toml, GivesATableThatIsNamedAsABlockAsOne) {
  for (const auto* name : {"ping", "Ping"}) {
    const auto parsed = parse("\n[inputs.wgvitals." + std::string(name) + "]\na = 1\n");
    EXPECT_THAT(parsed.items, IsEmpty());
    EXPECT_THAT(parsed.blocks, ElementsAre(name + std::string("@2: a@3 1")));
  }
  EXPECT_THAT(parse("ping = {}").blocks, ElementsAre("ping@1:"));
  EXPECT_THAT(parse("ping.a = 1").blocks, ElementsAre("ping@1: a@1 1"));
  EXPECT_THAT(parse("[[ping]]\na = 1\n[[ping]]\n").blocks, ElementsAre("ping@1: a@2 1", "ping@3:"));
  EXPECT_THAT(parse("[pong]\na = 1\n").items, ElementsAre("pong@2 'a' 1"));
}

TEST(Toml, NamesTheBlockOfAValueThatNoOptionTakes) {
  const auto parsed = parse("[[ping]]\na = 1\nsince = 2024-01-01\n[[ping.deeper]]\nb = 2\n");
  EXPECT_THAT(parsed.blocks, ElementsAre("ping@1: a@2 1"));
  EXPECT_THAT(parsed.problems,
              testing::UnorderedElementsAre(
                  "x.toml:3: ping: since: a value of a kind that no option takes",
                  "x.toml:4: ping: deeper: a value of a kind that no option takes"));
}

// Sets a variable of the environment for one test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

TEST(Toml, ExpandsTheEnvironment) {
  const Variable site("WGVITALS_TEST_SITE", "berlin");
  const Variable awkward("WGVITALS_TEST_AWKWARD", "a\"b\\c");
  const Variable empty("WGVITALS_TEST_EMPTY", "");
  const Variable number("WGVITALS_TEST_NUMBER", "64");
  const struct {
    const char* text;
    const char* item;
  } cases[] = {
      {"a = \"$WGVITALS_TEST_SITE\"", "a@1 'berlin'"},
      {"a = \"${WGVITALS_TEST_SITE}1\"", "a@1 'berlin1'"},
      {"a = \"$WGVITALS_TEST_SITE-1\"", "a@1 'berlin-1'"},
      {"a = \"$WGVITALS_TEST_SITE$WGVITALS_TEST_SITE\"", "a@1 'berlinberlin'"},
      {"a = \"$WGVITALS_TEST_AWKWARD\"", "a@1 'a\"b\\c'"},
      {"a = \"$WGVITALS_TEST_EMPTY\"", "a@1 ''"},
      {"a = $WGVITALS_TEST_NUMBER", "a@1 64"},
      {"a = \"$WGVITALS_TEST_UNKNOWN\"", "a@1 '$WGVITALS_TEST_UNKNOWN'"},
      {"a = \"$WGVITALS_TEST_SITE1\"", "a@1 '$WGVITALS_TEST_SITE1'"},
      {"a = \"${WGVITALS_TEST_SITE\"", "a@1 '${WGVITALS_TEST_SITE'"},
      {"a = \"${}\"", "a@1 '${}'"},
      {"a = \"/^wg$/\"", "a@1 '/^wg$/'"},
      {"a = \"$$\"", "a@1 '$$'"},
      {"a = \"$\"", "a@1 '$'"},
  };
  for (const auto& test : cases) EXPECT_THAT(parse(test.text).items, ElementsAre(test.item));
}

TEST(Toml, ExpandsNothingTwice) {
  const Variable outer("WGVITALS_TEST_OUTER", "$WGVITALS_TEST_INNER");
  const Variable inner("WGVITALS_TEST_INNER", "secret");
  EXPECT_THAT(parse("a = \"$WGVITALS_TEST_OUTER\"").items,
              ElementsAre("a@1 '$WGVITALS_TEST_INNER'"));
}

TEST(Toml, NamesTheMistakeWhereTheLibraryHoldsItForImpossible) {
  for (const auto* text : {"[ # comment", "\xc2\xaa = 1", "x = \xc2\xaa", "[\xe2\x82\xac]"}) {
    EXPECT_THAT(parse(text).broken, StartsWith("x.toml:1: not TOML: ")) << text;
  }
}

}  // namespace
}  // namespace wgvitals::config
