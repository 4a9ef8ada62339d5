#include "common/model/peers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/support/allocations.h"
#include "tests/support/keys.h"

namespace wgvitals {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

SeenDevice seen(const char* name, DeviceIdentity identity, const char* netns = "") {
  SeenDevice device;
  device.name = name;
  device.netns = netns;
  device.identity = identity;
  return device;
}

class PeersTest : public testing::Test {
 protected:
  // A whole reading of one device; slots in the order of the keys.
  std::vector<Slot> read(const SeenDevice& device, const std::vector<std::uint32_t>& keys) {
    peers_.begin_reading();
    return read_more(device, keys);
  }
  std::vector<Slot> read_more(const SeenDevice& device, const std::vector<std::uint32_t>& keys) {
    const auto id = peers_.device(device);
    std::vector<Slot> slots;
    Slot hint = 0;
    new_ = 0;
    for (const auto key : keys) {
      bool is_new = false;
      slots.push_back(peers_.pair(id, test::key(key), hint, is_new));
      hint = slots.back() + 1;
      new_ += is_new ? 1 : 0;
    }
    return slots;
  }
  std::vector<Slot> sweep() {
    std::vector<Slot> gone;
    peers_.sweep([&](Slot slot) {
      EXPECT_TRUE(peers_.row(slot).live) << "is still there while it is told of";
      gone.push_back(slot);
    });
    return gone;
  }

  const SeenDevice wg0_ = seen("wg0", {1, 10});
  const SeenDevice wg1_ = seen("wg1", {1, 11});
  Peers peers_;
  int new_ = 0;  // in the last reading
};

TEST_F(PeersTest, AreNewOnceAndKeepTheirSlots) {
  const auto first = read(wg0_, {1, 2, 3});
  EXPECT_EQ(new_, 3);
  const auto second = read(wg0_, {1, 2, 3});
  EXPECT_EQ(new_, 0);
  EXPECT_EQ(first, second);
  EXPECT_EQ(peers_.size(), 3u);
}

TEST_F(PeersTest, ArePairedByKeyWhateverTheirOrder) {
  const auto first = read(wg0_, {1, 2, 3, 4});
  const auto turned = read(wg0_, {4, 2, 1, 3});
  EXPECT_THAT(turned, ElementsAre(first[3], first[1], first[0], first[2]));
  EXPECT_EQ(new_, 0);
}

TEST_F(PeersTest, ArePairedWhateverTheHint) {
  const auto slot = read(wg0_, {1}).front();
  const auto id = peers_.device(wg0_);
  for (const Slot hint : {Slot{0}, Slot{1}, Slot{1000}, ~Slot{0}}) {
    bool is_new = true;
    EXPECT_EQ(peers_.pair(id, test::key(1), hint, is_new), slot);
    EXPECT_FALSE(is_new);
  }
}

TEST_F(PeersTest, KeepTheirColumnsUntilTheyAreGone) {
  const auto slot = read(wg0_, {1}).front();
  peers_.row(slot).rx_bytes = 7;
  peers_.row(slot).handshakes = 3;
  read(wg0_, {1});
  EXPECT_EQ(peers_.row(slot).rx_bytes, 7u);
  EXPECT_EQ(peers_.row(slot).handshakes, 3u);
}

TEST_F(PeersTest, OfTwoDevicesWithTheSameKeyAreTwo) {
  const auto first = read(wg0_, {1});
  const auto other = read_more(wg1_, {1});
  EXPECT_NE(first, other);
  EXPECT_EQ(peers_.size(), 2u);
}

TEST_F(PeersTest, ThatWereNotSeenAreSwept) {
  const auto slots = read(wg0_, {1, 2, 3});
  read(wg0_, {1, 3});
  EXPECT_THAT(sweep(), ElementsAre(slots[1]));
  EXPECT_FALSE(peers_.row(slots[1]).live);
  EXPECT_EQ(peers_.size(), 2u);
  EXPECT_THAT(sweep(), IsEmpty());
}

TEST_F(PeersTest, OfADeviceThatWasNotReadAreKept) {
  read(wg0_, {1, 2});
  read_more(wg1_, {3});
  read(wg1_, {});
  EXPECT_EQ(sweep().size(), 1u);
  EXPECT_EQ(peers_.size(), 2u);
  EXPECT_FALSE(peers_.current(peers_.row(0)));
  EXPECT_TRUE(peers_.row(0).live);
}

TEST_F(PeersTest, ComeBackAsNewOnes) {
  const auto slot = read(wg0_, {1}).front();
  peers_.row(slot).handshakes = 9;
  peers_.row(slot).shown = true;
  read(wg0_, {});
  sweep();
  EXPECT_EQ(read(wg0_, {1}).front(), slot) << "the free slot is taken again";
  EXPECT_EQ(new_, 1);
  EXPECT_EQ(peers_.row(slot).handshakes, 0u);
  EXPECT_FALSE(peers_.row(slot).shown);
}

TEST_F(PeersTest, TakeFreeSlotsBeforeNewOnes) {
  read(wg0_, {1, 2, 3, 4});
  read(wg0_, {2, 4});
  sweep();
  read(wg0_, {2, 4, 5, 6});
  EXPECT_EQ(peers_.rows().size(), 4u);
  EXPECT_EQ(peers_.key_text(0).size(), 44u);
  std::set<std::string> keys;
  for (Slot slot = 0; slot < 4; ++slot) keys.emplace(peers_.key_text(slot));
  EXPECT_THAT(keys, UnorderedElementsAre(test::key_text(2), test::key_text(4), test::key_text(5),
                                         test::key_text(6)));
}

TEST_F(PeersTest, OfADeviceThatWasRecreatedAreOthers) {
  const auto old = read(wg0_, {1});
  peers_.row(old[0]).rx_bytes = 7;
  const auto again = read(seen("wg0", {1, 12}), {1});
  EXPECT_EQ(new_, 1);
  EXPECT_NE(again, old);
  EXPECT_EQ(peers_.row(again[0]).rx_bytes, 0u);
  peers_.remove_device(*peers_.find_device({1, 10}));
  EXPECT_EQ(peers_.size(), 1u);
  EXPECT_TRUE(peers_.row(again[0]).live);
}

TEST_F(PeersTest, StayWithARenamedDevice) {
  const auto slot = read(wg0_, {1}).front();
  EXPECT_THAT(read(seen("office", {1, 10}), {1}), ElementsAre(slot));
  const auto labels = peers_.labels(slot);
  EXPECT_EQ(std::span<const Label>(labels)[0].value, "office");
}

TEST_F(PeersTest, GoWithTheirDeviceWhosePlaceIsTakenAgain) {
  read(wg0_, {1, 2});
  read_more(wg1_, {3});
  const auto id = *peers_.find_device({1, 10});
  EXPECT_EQ(peers_.devices()[id].peers, 2u);
  peers_.remove_device(id);
  EXPECT_EQ(peers_.find_device({1, 10}), std::nullopt);
  EXPECT_EQ(peers_.size(), 1u);
  peers_.begin_reading();
  EXPECT_EQ(peers_.device(seen("wg2", {1, 13}, "blue")), id);
  EXPECT_EQ(peers_.devices()[id].peers, 0u);
  EXPECT_EQ(peers_.devices()[id].netns, "blue");
}

std::map<std::string, std::string> shown(std::span<const Label> labels) {
  std::map<std::string, std::string> shown;
  for (const auto& label : labels) {
    EXPECT_TRUE(shown.emplace(label.name->tag.view(), label.value).second) << "a label twice";
  }
  return shown;
}
using Labels = std::map<std::string, std::string>;

TEST_F(PeersTest, HaveTheLabelsOfDeviceKeyNameAndConfiguration) {
  const auto slot = read(seen("wg0", {1, 10}, "blue"), {1}).front();
  const Labels bare{{"device", "wg0"}, {"netns", "blue"}, {"public_key", test::key_text(1)}};
  EXPECT_EQ(shown(peers_.labels(slot)), bare);
  peers_.set_names({{test::key_text(1), {"laptop", {{"site", "berlin"}}}}});
  auto identity = bare;
  identity["friendly_name"] = "laptop";
  EXPECT_EQ(shown(peers_.identity_labels(slot)), identity);
  auto all = identity;
  all["site"] = "berlin";
  EXPECT_EQ(shown(peers_.labels(slot)), all);
  peers_.set_names({});
  EXPECT_EQ(shown(peers_.labels(slot)), bare);
}

TEST_F(PeersTest, ThatComeAfterTheNamesAreNamedToo) {
  peers_.set_names({{test::key_text(1), {"laptop", {}}}});
  const auto slot = read(wg0_, {1}).front();
  EXPECT_EQ(shown(peers_.labels(slot))["friendly_name"], "laptop");
}

TEST_F(PeersTest, HaveRoomForAllTheirLabels) {
  PeerNames names;
  names[test::key_text(1)].friendly_name = "laptop";
  for (int i = 0; i < 40; ++i) names[test::key_text(1)].labels["l" + std::to_string(i)] = "x";
  peers_.set_names(names);
  const auto slot = read(seen("wg0", {1, 10}, "blue"), {1}).front();
  EXPECT_EQ(shown(peers_.labels(slot)).size(), most_peer_labels + 4);
}

TEST_F(PeersTest, AreSelectedByKeyOrName) {
  peers_.set_names({{test::key_text(1), {"laptop", {}}}});
  const auto slots = read(wg0_, {1, 2, 3});
  const auto selected = [&] {
    std::string text;
    for (const auto slot : slots) text += peers_.row(slot).selected ? '1' : '0';
    return text;
  };
  EXPECT_EQ(selected(), "111");
  peers_.set_selection(Selection({"laptop", test::key_text(3)}, {}));
  EXPECT_EQ(selected(), "101");
  peers_.set_names({{test::key_text(2), {"laptop", {}}}});
  EXPECT_EQ(selected(), "011");
  peers_.set_selection(Selection({}, {"/^lap/"}));
  EXPECT_EQ(selected(), "101");
  EXPECT_TRUE(peers_.row(read(wg0_, {1, 2, 3, 4}).back()).selected);
}

TEST_F(PeersTest, AgreeWithAMapOverTenThousandRandomSteps) {
  std::mt19937 random(20240229);
  const SeenDevice devices[] = {wg0_, wg1_};
  std::set<std::uint32_t> configured[2];
  std::map<std::pair<int, std::uint32_t>, std::uint64_t> oracle;  // a column of each peer
  std::uint64_t stamp = 0;
  for (int step = 0; step < 10'000; ++step) {
    const int which = static_cast<int>(random() % 2);
    const auto key = static_cast<std::uint32_t>(random() % 300);
    if (random() % 2 == 0) {
      configured[which].insert(key);
    } else {
      configured[which].erase(key);
    }
    if (random() % 8 != 0) continue;

    const bool read_both = random() % 4 != 0;
    peers_.begin_reading();
    for (int device = 0; device < 2; ++device) {
      if (!read_both && device != which) continue;
      std::vector<std::uint32_t> keys(configured[device].begin(), configured[device].end());
      if (random() % 2 == 0) std::shuffle(keys.begin(), keys.end(), random);
      const auto id = peers_.device(devices[device]);
      Slot hint = 0;
      for (const auto one : keys) {
        bool is_new = false;
        const auto slot = peers_.pair(id, test::key(one), hint, is_new);
        hint = slot + 1;
        const auto [known, added] = oracle.try_emplace({device, one}, ++stamp);
        ASSERT_EQ(is_new, added);
        if (is_new) peers_.row(slot).rx_bytes = known->second;
        ASSERT_EQ(peers_.row(slot).rx_bytes, known->second);
        ASSERT_EQ(peers_.key_text(slot), test::key_text(one));
      }
    }
    sweep();
    std::erase_if(oracle, [&](const auto& entry) {
      const auto [device, one] = entry.first;
      return (read_both || device == which) && !configured[device].contains(one);
    });
    ASSERT_EQ(peers_.size(), oracle.size());
  }
  std::map<std::pair<int, std::uint32_t>, std::uint64_t> left;
  for (const auto& row : std::as_const(peers_).rows()) {
    if (!row.live) continue;
    for (const auto& [known, value] : oracle) {
      if (value == row.rx_bytes) left.emplace(known, value);
    }
  }
  EXPECT_EQ(left, oracle);
  EXPECT_LE(peers_.rows().size(), 600u) << "slots are used again";
}

TEST_F(PeersTest, AllocateNothingWhileTheyStay) {
  std::vector<PublicKey> keys;
  for (std::uint32_t i = 0; i < 1000; ++i) keys.push_back(test::key(i));
  const auto read_all = [&] {
    peers_.begin_reading();
    const auto id = peers_.device(wg0_);
    Slot hint = 0;
    for (const auto& key : keys) {
      bool is_new = false;
      hint = peers_.pair(id, key, hint, is_new) + 1;
      const auto labels = peers_.labels(hint - 1);
      ASSERT_EQ(std::span<const Label>(labels).size(), 2u);
    }
    peers_.sweep([](Slot) {});
  };
  read_all();
  std::reverse(keys.begin(), keys.end());  // no hint fits
  const auto before = test::allocations();
  read_all();
  EXPECT_EQ(test::allocations(), before);
  keys.pop_back();
  read_all();  // one leaves and comes back: its slot waits
  keys.push_back(test::key(0));
  const auto settled = test::allocations();
  read_all();
  EXPECT_EQ(test::allocations(), settled);
}

}  // namespace
}  // namespace wgvitals
