#include "common/model/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/keys.h"

namespace wgvitals {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr auto key_a = "aaaa+/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
constexpr auto key_b = "bbbbbbAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

struct Two {
  std::string a, b;
  friend bool operator==(const Two&, const Two&) = default;
  friend void PrintTo(const Two& pair, std::ostream* out) {
    *out << "'" << pair.a << "', '" << pair.b << "'";
  }
};

Two distinct(const std::string& a, const std::string& b, std::size_t limit = 100) {
  PeerNames names{{key_a, {a, {}}}, {key_b, {b, {}}}};
  make_distinct(names, limit);
  return {names[key_a].friendly_name, names[key_b].friendly_name};
}

TEST(MakeDistinct, LeavesNamesThatDiffer) {
  EXPECT_EQ(distinct("laptop", "phone"), (Two{"laptop", "phone"}));
  EXPECT_EQ(distinct("laptop", "Laptop"), (Two{"laptop", "Laptop"}));
}

TEST(MakeDistinct, MarksEqualOnesByTheUrlSafeKey) {
  EXPECT_EQ(distinct("laptop", "laptop"), (Two{"laptop~aaaa-_", "laptop~bbbbbb"}));
}

TEST(MakeDistinct, TakesTheWholeKeyWhereItsBeginningIsNotEnough) {
  const auto likeness = distinct("laptop~bbbbbb", "laptop~bbbbbb");
  EXPECT_NE(likeness.a, likeness.b);
  std::string alike = key_a;
  alike[20] = alike[20] == 'x' ? 'y' : 'x';
  PeerNames names{{key_a, {"laptop", {}}}, {alike, {"laptop", {}}}};
  make_distinct(names);
  EXPECT_NE(names[key_a].friendly_name, names[alike].friendly_name);
  EXPECT_EQ(names[alike].friendly_name.rfind("laptop~aaaa-_", 0), 0u);
}

TEST(MakeDistinct, MarksThoseThatBecomeEqualByEscaping) {
  EXPECT_EQ(distinct("my laptop", "my.laptop"), (Two{"my laptop~aaaa-_", "my.laptop~bbbbbb"}));
  EXPECT_EQ(distinct("a/b", "a_b"), (Two{"a/b~aaaa-_", "a_b~bbbbbb"}));
  EXPECT_EQ(distinct("\xc3\xa4", "\xc3\xb6"), (Two{"\xc3\xa4~aaaa-_", "\xc3\xb6~bbbbbb"}));
  EXPECT_EQ(distinct("a\x01", "a\x02"), (Two{"a_~aaaa-_", "a_~bbbbbb"}));
}

TEST(MakeDistinct, TakesBlanksAroundAndWhatNoHostCanShow) {
  EXPECT_EQ(distinct("  laptop\t", "pho\nne\xff"), (Two{"laptop", "pho_ne_"}));
  EXPECT_EQ(distinct("laptop ", "laptop"), (Two{"laptop~aaaa-_", "laptop~bbbbbb"}));
}

TEST(MakeDistinct, LeavesEmptyNamesEmpty) {
  EXPECT_EQ(distinct("", ""), (Two{"", ""}));
  EXPECT_EQ(distinct(" \t", "phone"), (Two{"", "phone"}));
}

TEST(MakeDistinct, CutsAndMarksNamesOverTheLimit) {
  EXPECT_EQ(distinct("0123456789", "x", 10).a, "0123456789");
  EXPECT_EQ(distinct("01234567890", "x", 10).a, "012~aaaa-_");
  const std::string common(200, 'n');
  EXPECT_EQ(distinct(common + "1", common + "2"),
            (Two{std::string(93, 'n') + "~aaaa-_", std::string(93, 'n') + "~bbbbbb"}));
}

TEST(MakeDistinct, CutsAtTheEndOfACharacter) {
  const std::string euro = "\xe2\x82\xac";  // three bytes
  // Room for 3, 4, 5 and 6 bytes before the mark.
  for (const auto& [limit, kept] : {std::pair{10, 1}, {11, 1}, {12, 1}, {13, 2}}) {
    std::string expected;
    for (int i = 0; i < kept; ++i) expected += euro;
    const auto cut =
        distinct(euro + euro + euro + euro + euro, "x", static_cast<unsigned>(limit)).a;
    EXPECT_EQ(cut, expected + "~aaaa-_") << limit;
  }
}

TEST(LabelSets, AreFoundByKey) {
  const LabelSets sets(PeerNames{{key_a, {"laptop", {{"site", "berlin"}, {"tenant", "x"}}}},
                                 {key_b, {"", {{"site", "paris"}}}}});
  const auto a = sets.find(key_a);
  EXPECT_EQ(sets.friendly_name(a), "laptop");
  std::vector<std::pair<std::string, std::string>> labels;
  for (const auto& label : sets.labels(a)) labels.emplace_back(label.name->tag.view(), label.value);
  EXPECT_THAT(labels, ElementsAre(Pair("site", "berlin"), Pair("tenant", "x")));
  const auto b = sets.find(key_b);
  EXPECT_EQ(sets.friendly_name(b), "");
  ASSERT_EQ(sets.labels(b).size(), 1u);
  EXPECT_EQ(sets.labels(b)[0].value, "paris");
}

TEST(LabelSets, GiveTheEmptySetToUnknownKeys) {
  const LabelSets sets(PeerNames{{key_a, {"laptop", {}}}, {key_b, {}}});
  EXPECT_EQ(sets.find(test::key_text(1)), 0u);
  EXPECT_EQ(sets.find(key_b), 0u);
  EXPECT_EQ(sets.friendly_name(0), "");
  EXPECT_TRUE(sets.labels(0).empty());
}

TEST(LabelSets, HoldNoMoreLabelsThanAPeerMayHave) {
  PeerNames names;
  for (int i = 0; i < 40; ++i) names[key_a].labels["label" + std::to_string(i)] = "x";
  const LabelSets sets(names);
  EXPECT_EQ(sets.labels(sets.find(key_a)).size(), most_peer_labels);
}

TEST(LabelSets, LeaveOutWhatCannotBeSaid) {
  const LabelSets sets(
      PeerNames{{key_a, {"", {{"bad name", "x"}, {"empty", ""}, {"site", "a\nb\xff"}}}}});
  const auto labels = sets.labels(sets.find(key_a));
  ASSERT_EQ(labels.size(), 1u);
  EXPECT_EQ(labels[0].name->tag.view(), "site");
  EXPECT_EQ(labels[0].value, "a_b_");
}

}  // namespace
}  // namespace wgvitals
