#include "common/collect/select.h"

#include <gmock/gmock.h>

#include "tests/support/keys.h"
#include "tests/support/settings.h"

namespace wgvitals::collect {
namespace {

using test::key_text;
using testing::ElementsAre;
using testing::IsEmpty;

// Five peers; the n-th has gained n * 10 bytes since the last reading. The last has a name.
class SelectTest : public testing::Test {
 protected:
  SelectTest() {
    peers_.set_names({{key_text(4), {"laptop", {}}}});
    read({0, 1, 2, 3, 4});
  }

  void read(const std::vector<std::uint32_t>& numbers) {
    peers_.begin_reading();
    SeenDevice seen;
    seen.name = "wg0";
    const auto device = peers_.device(seen);
    for (const auto number : numbers) {
      bool is_new = false;
      auto& row = peers_.row(peers_.pair(device, test::key(number), 0, is_new));
      row.rx_gained = number * 4;
      row.tx_gained = number * 6;
    }
  }

  // Numbers of the peers that are shown.
  std::vector<std::uint32_t> shown(const std::string& toml) {
    const auto settings = test::settings(toml);
    peers_.set_selection(to_peer_selection(settings));
    cut_ = select(to_limit(settings), peers_, scratch_);
    std::vector<std::uint32_t> numbers;
    for (std::uint32_t number = 0; number < 5; ++number) {
      for (const auto& row : peers_.rows()) {
        if (row.key == test::key(number) && row.shown) numbers.push_back(number);
      }
    }
    return numbers;
  }

  Peers peers_;
  std::vector<Slot> scratch_;
  std::size_t cut_ = 0;
};

TEST_F(SelectTest, ShowsAllWithoutOptions) {
  EXPECT_THAT(shown(""), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(cut_, 0u);
}

TEST_F(SelectTest, ShowsNoneAndCountsThem) {
  EXPECT_THAT(shown("peers_shown = \"none\""), IsEmpty());
  EXPECT_EQ(cut_, 5u);
}

TEST_F(SelectTest, ShowsTheBusiest) {
  EXPECT_THAT(shown("peers_shown = \"top:2\""), ElementsAre(3, 4));
  EXPECT_EQ(cut_, 3u);
  EXPECT_THAT(shown("peers_shown = \"top:5\""), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(cut_, 0u);
  EXPECT_THAT(shown("peers_shown = \"top:100\""), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(shown("peers_shown = \"top:0\""), IsEmpty());
}

TEST_F(SelectTest, SelectsByKeyOrName) {
  EXPECT_THAT(shown("peer_include = [\"" + key_text(1) + "\", \"laptop\"]"), ElementsAre(1, 4));
  EXPECT_THAT(shown("peer_exclude = [\"" + key_text(1) + "\", \"/^lap/\"]"), ElementsAre(0, 2, 3));
  EXPECT_THAT(shown("peer_include = [\"laptop\"]\npeer_exclude = [\"" + key_text(4) + "\"]"),
              IsEmpty());
  EXPECT_THAT(shown("peer = [\"laptop\"]"), ElementsAre(4));
  EXPECT_THAT(shown("peer = [\"laptop\"]\nignore_selected_peer = true"), ElementsAre(0, 1, 2, 3));
}

TEST_F(SelectTest, CountsAsCutOnlyWhatWasSelected) {
  EXPECT_THAT(shown("peers_shown = \"top:1\"\npeer_exclude = [\"laptop\"]"), ElementsAre(3));
  EXPECT_EQ(cut_, 3u);
}

TEST_F(SelectTest, ShowsNoPeerThatWasNotReadThisTime) {
  read({0, 1});
  EXPECT_THAT(shown(""), ElementsAre(0, 1));
  EXPECT_THAT(shown("peers_shown = \"top:1\""), ElementsAre(1));
  EXPECT_EQ(cut_, 1u);
}

}  // namespace
}  // namespace wgvitals::collect
