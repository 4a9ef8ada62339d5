#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/section.h"

namespace wgvitals::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string show(const Item& item) {
  std::string text = item.name + '@' + std::to_string(item.line);
  for (const auto& value : item.values) {
    text += ' ';
    if (const auto* truth = std::get_if<bool>(&value)) text += *truth ? "true" : "false";
    if (const auto* number = std::get_if<double>(&value)) text += std::to_string(*number);
    if (const auto* string = std::get_if<std::string>(&value)) text += '\'' + *string + '\'';
  }
  return text;
}

std::vector<std::string> show(const Section& section) {
  std::vector<std::string> items;
  for (const auto& item : section.items) items.push_back(show(item));
  return items;
}

std::vector<std::string> show_blocks(const Section& section) {
  std::vector<std::string> blocks;
  for (const auto& block : section.blocks) {
    auto& text = blocks.emplace_back(block.name + '@' + std::to_string(block.line));
    if (!block.title.empty()) text += " '" + block.title + '\'';
    text += ':';
    for (const auto& item : block.items) text += ' ' + show(item);
  }
  return blocks;
}

std::vector<std::string> items_of(std::string_view text) {
  const auto section = parse_collectd(text, "collectd.conf");
  if (!section) return {section.error().where};
  EXPECT_EQ(section->file, "collectd.conf");
  return show(*section);
}

std::vector<std::string> items_in_block(const std::string& lines) {
  return items_of("<Plugin wireguard>\n" + lines + "\n</Plugin>\n");
}

TEST(CollectdText, GivesTheOptionsOfOurBlocksMerged) {
  EXPECT_THAT(items_of("Interval 10\n"
                       "LoadPlugin wireguard\n"
                       "<LoadPlugin wireguard>\n"
                       "  Interval 5\n"
                       "</LoadPlugin>\n"
                       "<Plugin \"wireguard\">\n"
                       "  Interface \"wg0\"\n"
                       "</Plugin>\n"
                       "<Plugin ping>\n"
                       "  Host \"example.org\"\n"
                       "</Plugin>\n"
                       "<plugin WireGuard >\n"
                       "\tInterface \"wg1\"\n"
                       "</plugin>\n"),
              ElementsAre("Interface@7 'wg0'", "Interface@13 'wg1'"));
  EXPECT_THAT(items_of(""), IsEmpty());
  EXPECT_THAT(items_of("<Plugin wireguardx>\nInterface \"wg0\"\n</Plugin>\n"), IsEmpty());
}

TEST(CollectdText, KnowsTextsNumbersAndTruths) {
  EXPECT_THAT(items_in_block("A \"wg0\" wg1 64 -1.5 true Off \"true\" \"64\" 10.0.0.1"),
              ElementsAre("A@2 'wg0' 'wg1' 64.000000 -1.500000 true false 'true' '64' '10.0.0.1'"));
  EXPECT_THAT(items_in_block("A"), ElementsAre("A@2"));
}

TEST(CollectdText, TakesQuotesAndEscapes) {
  EXPECT_THAT(items_in_block(R"(A "two words" "a\"b" "c\\d" "/^wg\\.0$/" "" "#no comment" "a>b")"),
              ElementsAre(R"(A@2 'two words' 'a"b' 'c\d' '/^wg\.0$/' '' '#no comment' 'a>b')"));
}

TEST(CollectdText, EndsAtAnOpenQuote) {
  EXPECT_THAT(items_in_block("A \"open"), ElementsAre("A@2 'open'"));
  EXPECT_THAT(items_in_block("A \"open\\"), ElementsAre("A@2 'open\\'"));
}

TEST(CollectdText, PassesOverComments) {
  EXPECT_THAT(items_in_block("# A 1\n  # B 2\nC 3 # 4\nD \"x\"#y"),
              ElementsAre("C@4 3.000000", "D@5 'x'"));
  EXPECT_THAT(items_of("#<Plugin wireguard>\n#A 1\n#</Plugin>"), IsEmpty());
}

TEST(CollectdText, TakesLinesThatEndAsInDos) {
  EXPECT_THAT(items_of("<Plugin wireguard>\r\nA 1\r\n</Plugin>\r\n"), ElementsAre("A@2 1.000000"));
}

TEST(CollectdText, ComesToAnEndWhateverStandsOnALine) {
  for (const auto* line : {"A >", "A wg0>", "A wg0 > wg1", "A >>>", "A \"x\">"}) {
    const auto items = items_in_block(line);
    EXPECT_EQ(items.size(), 1u) << line;
  }
}

TEST(CollectdText, GivesTheBlocksWithinOurs) {
  const auto section = parse_collectd(
      "<Plugin ping>\n"
      "  <Ping>\n"
      "    Host \"elsewhere\"\n"
      "  </Ping>\n"
      "</Plugin>\n"
      "<Plugin wireguard>\n"
      "  Ping false\n"
      "  <Ping>\n"
      "    Host \"a\" \"b\"\n"
      "    TTL 5\n"
      "  </Ping>\n"
      "  Size 1\n"
      "  <Probe \"a > b\" x>\n"
      "  </Probe>\n"
      "  < Probe web>\n"
      "  </Probe>\n"
      "</Plugin>\n"
      "<Plugin wireguard>\n"
      "  <ping 5 >\n"
      "    Host \"c\"\n"
      "  </ping>\n"
      "</Plugin>\n",
      "collectd.conf");
  ASSERT_TRUE(section.has_value()) << section.error().where;
  EXPECT_THAT(show(*section), ElementsAre("Ping@7 false", "Size@12 1.000000"));
  EXPECT_THAT(show_blocks(*section),
              ElementsAre("Ping@8: Host@9 'a' 'b' TTL@10 5.000000",
                          "Probe@13 'a > b':", "Probe@15 'web':", "ping@19 '5': Host@20 'c'"));
}

TEST(CollectdText, NamesABlockWithinABlockAndPassesOverWhatIsInIt) {
  const auto section = parse_collectd(
      "<Plugin wireguard>\n"
      "  <Ping>\n"
      "    A 1\n"
      "    <Hosts x>\n"
      "      B 2\n"
      "      <Deeper>\n"
      "        C 3\n"
      "      </Deeper>\n"
      "    </Hosts>\n"
      "    D 4\n"
      "  </Ping>\n"
      "</Plugin>\n",
      "collectd.conf");
  ASSERT_TRUE(section.has_value()) << section.error().where;
  EXPECT_THAT(section->items, IsEmpty());
  EXPECT_THAT(show_blocks(*section),
              ElementsAre("Ping@2: A@3 1.000000 <Hosts>@4 <Deeper>@6 D@10 4.000000"));
}

TEST(CollectdText, NamesTheLineWhereBlocksDoNotMatch) {
  EXPECT_THAT(items_of("<Plugin wireguard>\nA 1\n"),
              ElementsAre("collectd.conf:1: a block does not end"));
  EXPECT_THAT(items_of("<Plugin ping>\n</Plugin>\n<Plugin wireguard>\n<Target x>\n</Target>\n"),
              ElementsAre("collectd.conf:3: a block does not end"));
  EXPECT_THAT(items_of("A 1\n</Plugin>\n"),
              ElementsAre("collectd.conf:2: a block ends that did not begin"));
  EXPECT_THAT(items_of("<Plugin wireguard\nA 1\n</Plugin>\n"),
              ElementsAre("collectd.conf:1: '>' is missing"));
  EXPECT_THAT(items_of("<Plugin wireguard>\nA 1\n</Plugins>\n"),
              ElementsAre("collectd.conf:3: </Plugins> does not end <Plugin> of line 1"));
  EXPECT_THAT(items_of("<Plugin a>\n<Target x>\n</Plugin>\n</Target>\n"),
              ElementsAre("collectd.conf:3: </Plugin> does not end <Target> of line 2"));
}

}  // namespace
}  // namespace wgvitals::config
