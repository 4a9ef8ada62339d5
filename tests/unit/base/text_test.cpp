#include "common/base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/support/comma_locale.h"

namespace wgvitals::text {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (const auto line = next_line(text)) lines.push_back(*line);
  return lines;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (const auto word = next_word(text)) words.push_back(*word);
  return words;
}

TEST(TextLines, EndAtEachNewlineAndAtTheEnd) {
  EXPECT_THAT(lines_of(""), IsEmpty());
  EXPECT_THAT(lines_of("one"), ElementsAre("one"));
  EXPECT_THAT(lines_of("one\n"), ElementsAre("one"));
  EXPECT_THAT(lines_of("one\n\ntwo\r\nthree"), ElementsAre("one", "", "two\r", "three"));
  EXPECT_THAT(lines_of("\n\n"), ElementsAre("", ""));
}

TEST(TextWords, ArePartedByBlanksAndTabs) {
  EXPECT_THAT(words_of(""), IsEmpty());
  EXPECT_THAT(words_of(" \t "), IsEmpty());
  EXPECT_THAT(words_of("\tone  two\t\tthree "), ElementsAre("one", "two", "three"));
}

TEST(TextTrim, TakesBlanksAndLineEndsOffBothEndsOnly) {
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim(" \t\r\n"), "");
  EXPECT_EQ(trim("\t a b \r\n"), "a b");
}

TEST(TextEqualIgnoringCase, FoldsAsciiOnly) {
  EXPECT_TRUE(equal_ignoring_case("GatherWait", "gatherwait"));
  EXPECT_TRUE(equal_ignoring_case("", ""));
  EXPECT_FALSE(equal_ignoring_case("wg0", "wg01"));
  EXPECT_FALSE(equal_ignoring_case("[", "{"));
  EXPECT_FALSE(equal_ignoring_case("\xc3\x84", "\xc3\xa4"));
}

TEST(TextToNumber, TakesTheWholeTextOrNothing) {
  EXPECT_EQ(to_number<std::uint16_t>("65535"), 65535);
  EXPECT_EQ(to_number<std::uint16_t>("65536"), std::nullopt);
  EXPECT_EQ(to_number<std::uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(to_number<std::int64_t>("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(to_number<std::uint32_t>("ff", 16), 255u);
  for (const auto* wrong : {"", " 1", "1 ", "+1", "0x1", "1.0", "one", "-1"}) {
    EXPECT_EQ(to_number<std::uint32_t>(wrong), std::nullopt) << wrong;
  }
}

TEST(TextToDouble, HasAPointWhateverTheLocale) {
  const test::CommaLocale locale;
  EXPECT_EQ(to_double("1.5"), 1.5);
  EXPECT_EQ(to_double("-2e3"), -2000.0);
  for (const auto* wrong : {"", "1,5", "1.5s", " 1", "0x1p3", "1e999"}) {
    EXPECT_EQ(to_double(wrong), std::nullopt) << wrong;
  }
}

TEST(TextToPrintable, KeepsValidUtf8AndReplacesEachOtherByte) {
  struct Case {
    std::string_view what, text, printable;
  };
  const Case cases[] = {
      {"ASCII", "a b~", "a b~"},
      {"two to four bytes", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91",
       "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91"},
      {"the highest character", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
      {"controls", "a\tb\nc\x1f\x7f", "a_b_c__"},
      {"a zero byte", std::string_view("a\0b", 3), "a_b"},
      {"C1 controls", "a\xc2\x85z", "a_z"},
      {"the blank behind them", "a\xc2\xa0z", "a z"},
      {"the first behind that", "\xc2\xa1", "\xc2\xa1"},
      {"Unicode's blanks", "\u1680a\u2000b\u200ac\u2028d\u2029e\u202ff\u205fg\u3000",
       " a b c d e f g "},
      {"their neighbours", "\u200b\u2027\u3001", "\u200b\u2027\u3001"},
      {"a lone continuation", "a\x80z", "a_z"},
      {"a cut sequence at the end", "a\xe2\x82", "a__"},
      {"a cut sequence in the middle", "\xe2\x82z", "__z"},
      {"overlong in two bytes", "\xc0\xaf", "__"},
      {"overlong in three bytes", "\xe0\x80\xaf", "___"},
      {"overlong in four bytes", "\xf0\x80\x80\xaf", "____"},
      {"a surrogate", "\xed\xa0\x80", "___"},
      {"the last before the surrogates", "\xed\x9f\xbf", "\xed\x9f\xbf"},
      {"above the highest character", "\xf4\x90\x80\x80", "____"},
      {"a byte that never stands", "\xff", "_"},
  };
  for (const auto& test : cases) EXPECT_EQ(to_printable(test.text), test.printable) << test.what;
}

TEST(TextToMark, TellsTextsApart) {
  EXPECT_EQ(to_mark("a.b").size(), 6u);
  EXPECT_EQ(to_mark("a.b"), to_mark("a.b"));
  EXPECT_NE(to_mark("a.b"), to_mark("a_b"));
  EXPECT_EQ(to_mark("").size(), 6u);
}

TEST(TextToPrintable, TakesAnotherReplacement) { EXPECT_EQ(to_printable("a\nb", ' '), "a b"); }

}  // namespace
}  // namespace wgvitals::text
