// The filter runs in the kernel at any socket: here at one without privilege.

#include "common/trace/tap.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/support/handshake_packets.h"

namespace wgvitals::trace {
namespace {

using test::cookie_reply;
using test::end_v4;
using test::end_v6;
using test::initiation;
using test::Packet;
using test::response;
using test::udp_packet;

class TapFilterTest : public testing::Test {
 protected:
  TapFilterTest() {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    near_ = Fd(pair[0]);
    far_ = Fd(pair[1]);
    EXPECT_TRUE(attach_filter(far_.get()));
  }

  // What comes through is whole.
  bool passes(const Packet& packet) {
    EXPECT_EQ(::send(near_.get(), packet.data(), packet.size(), 0),
              static_cast<ssize_t>(packet.size()));
    auto sighting = receive(far_.get(), buffer_);
    EXPECT_TRUE(sighting);
    if (!*sighting) return false;
    EXPECT_EQ((*sighting)->packet.size(), packet.size());
    return true;
  }

  Fd near_, far_;
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(largest_packet);
};

TEST_F(TapFilterTest, PassesHandshakeMessagesOfBothFamilies) {
  for (const auto& message :
       {initiation(1), response(1, 2), cookie_reply(1), test::data(1), test::data(1, 0, 1452)}) {
    EXPECT_TRUE(passes(udp_packet(end_v4(1, 7), end_v4(2, 8), message)));
    EXPECT_TRUE(passes(udp_packet(end_v6(1, 7), end_v6(2, 8), message)));
  }
  Packet many;
  for (std::uint32_t i = 0; i < 400; ++i) many = test::joined({many, initiation(i)});
  EXPECT_TRUE(passes(udp_packet(end_v6(1, 7), end_v6(2, 8), many)));
}

TEST_F(TapFilterTest, PassesBehindIpOptions) {
  auto packet = udp_packet(end_v4(1, 7), end_v4(2, 8), initiation(1));
  packet[0] = 0x46;
  packet.insert(packet.begin() + 20, {0x94, 4, 0, 0});
  packet[3] = static_cast<std::uint8_t>(packet[3] + 4);
  EXPECT_TRUE(passes(packet));
  EXPECT_TRUE(parse_udp(packet));
}

TEST_F(TapFilterTest, PassesNothingElse) {
  auto unknown = initiation(1);
  unknown[0] = 5;
  auto far_on = test::data(1);
  far_on[15] = 1;  // the counter's last byte
  auto reserved = initiation(1);
  reserved[1] = 1;
  for (const auto& payload :
       {unknown, reserved, far_on, test::data(1, 1), test::data(1, 0, 31), Packet(), Packet(148)}) {
    EXPECT_FALSE(passes(udp_packet(end_v4(1, 7), end_v4(2, 8), payload)));
    EXPECT_FALSE(passes(udp_packet(end_v6(1, 7), end_v6(2, 8), payload)));
  }
  for (const auto& [at, value] : {std::pair{0, 0x15}, {6, 0x20}, {7, 0x01}, {9, 6}}) {
    auto packet = udp_packet(end_v4(1, 7), end_v4(2, 8), initiation(1));
    packet[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(value);
    EXPECT_FALSE(passes(packet)) << at;
  }
  auto packet = udp_packet(end_v6(1, 7), end_v6(2, 8), initiation(1));
  packet[6] = 58;
  EXPECT_FALSE(passes(packet));
  EXPECT_FALSE(passes(Packet(1)));
  EXPECT_FALSE(passes(Packet{0x45}));
}

TEST(Tap, IsDeniedWithTheRemedyOrOpen) {
  const auto tap = open_tap();
  if (tap) {
    EXPECT_EQ(take_drops(tap.value().get()), 0u);
    return;
  }
  EXPECT_EQ(tap.error().code, Errc::denied);
  EXPECT_NE(tap.error().where.find("CAP_NET_RAW"), std::string::npos);
}

}  // namespace
}  // namespace wgvitals::trace
