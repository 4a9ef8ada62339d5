#include "common/model/devices.h"

#include <gtest/gtest.h>

namespace wgvitals {
namespace {

TEST(Devices, KnowWhatCouldNotBeRead) {
  Devices devices;
  devices.unread = {{1, 7}, {2, 0}};
  EXPECT_TRUE(devices.is_unread({1, 7}));
  EXPECT_FALSE(devices.is_unread({1, 8}));
  EXPECT_TRUE(devices.is_unread({2, 9})) << "index 0 stands for the whole namespace";
  EXPECT_FALSE(devices.is_unread({3, 7}));
}

TEST(Devices, GiveEachItsOwnPeers) {
  Devices devices;
  devices.peers.resize(5);
  for (std::size_t i = 0; i < 5; ++i) devices.peers[i].rx_bytes = i;
  SeenDevice device;
  device.first_peer = 2;
  device.peer_count = 2;
  ASSERT_EQ(devices.peers_of(device).size(), 2u);
  EXPECT_EQ(devices.peers_of(device)[0].rx_bytes, 2u);
  device.peer_count = 0;
  EXPECT_TRUE(devices.peers_of(device).empty());
}

TEST(Devices, AreUnreadWhereTheReadingBrokeOff) {
  Devices devices;
  devices.unread.push_back({1, 7});
  EXPECT_TRUE(devices.is_unread({1, 7}));
  EXPECT_FALSE(devices.is_unread({1, 8}));
  devices.incomplete = true;
  EXPECT_TRUE(devices.is_unread({1, 8}));
  devices.clear();
  EXPECT_FALSE(devices.is_unread({1, 7}));
}

}  // namespace
}  // namespace wgvitals
