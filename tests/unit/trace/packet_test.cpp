#include "common/trace/packet.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/handshake_packets.h"
#include "tests/support/hex.h"

namespace wgvitals::trace {
namespace {

using test::cookie_reply;
using test::end_v4;
using test::end_v6;
using test::initiation;
using test::response;
using test::udp_packet;

TEST(TracePacket, IsReadFromAnIpv4Header) {
  const auto bytes = test::from_hex(
      "46000020"
      "00004000"
      "4011abcd"
      "c0000201"
      "cb007102"
      "94040000"  // with an option
      "ca6c0035"
      "00080000");
  const auto packet = parse_udp(bytes);
  ASSERT_TRUE(packet);
  char text[longest_endpoint];
  EXPECT_EQ(to_text(packet->from, text), "192.0.2.1:51820");
  EXPECT_EQ(to_text(packet->to, text), "203.0.113.2:53");
  EXPECT_TRUE(packet->payload.empty());
}

TEST(TracePacket, IsReadFromAnIpv6Header) {
  const auto bytes = test::from_hex(
      "60abcdef"
      "000a1140"  // flow, length, UDP, hop limit
      "20010db8000000000000000000000001"
      "20010db80000000000000000000000ff"
      "ca6cca6d"
      "000a0000"
      "1234"
      "5678");  // and something behind its end
  const auto packet = parse_udp(bytes);
  ASSERT_TRUE(packet);
  char text[longest_endpoint];
  EXPECT_EQ(to_text(packet->from, text), "[2001:db8::1]:51820");
  EXPECT_EQ(to_text(packet->to, text), "[2001:db8::ff]:51821");
  ASSERT_EQ(packet->payload.size(), 2u);
  EXPECT_EQ(packet->payload[0], 0x12);
}

TEST(TracePacket, IsNoneWhereAHeaderLies) {
  for (const auto& whole : {udp_packet(end_v4(1, 7), end_v4(2, 8), initiation(1)),
                            udp_packet(end_v6(1, 7), end_v6(2, 8), initiation(1))}) {
    ASSERT_TRUE(parse_udp(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_FALSE(parse_udp(std::span(whole).first(size))) << size;
    }
    auto other = whole;
    other[0] = static_cast<std::uint8_t>(0x50 | (whole[0] & 0x0fu));  // version 5
    EXPECT_FALSE(parse_udp(other));
    const bool ipv4 = whole[0] == 0x45;
    other = whole;
    other[ipv4 ? 9 : 6] = 6;  // TCP
    EXPECT_FALSE(parse_udp(other));
    const std::size_t udp = ipv4 ? 20 : 40;
    for (const int length : {7, 157}) {  // of UDP: too short, and beyond IP's
      other = whole;
      other[udp + 5] = static_cast<std::uint8_t>(length);
      EXPECT_FALSE(parse_udp(other)) << length;
    }
  }
  const auto whole = udp_packet(end_v4(1, 7), end_v4(2, 8), initiation(1));
  for (const auto& [at, value] : {std::pair{0, 0x44}, {6, 0x20}, {6, 0x01}, {7, 0x01}, {3, 19}}) {
    auto other = whole;  // header too short, more fragments, offsets, total too short
    other[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(value);
    EXPECT_FALSE(parse_udp(other)) << at << ' ' << value;
  }
}

TEST(TracePacket, HoldsMessages) {
  auto packet = initiation(0x04030201, 9);
  std::fill_n(packet.begin() + 116, 16, std::uint8_t{0xaa});
  Bytes rest = packet;
  const auto first = next_message(rest);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->type, MessageType::initiation);
  EXPECT_EQ(first->sender, 0x04030201u);
  EXPECT_EQ(first->receiver, 0u);
  EXPECT_EQ(first->signed_part.size(), 116u);
  EXPECT_TRUE(std::ranges::equal(first->mac1, std::vector<std::uint8_t>(16, 0xaa)));
  EXPECT_TRUE(rest.empty());

  packet = response(5, 6, 1);
  std::fill_n(packet.begin() + 60, 16, std::uint8_t{0xbb});
  rest = packet;
  const auto second = next_message(rest);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->type, MessageType::response);
  EXPECT_EQ(second->sender, 5u);
  EXPECT_EQ(second->receiver, 6u);
  EXPECT_EQ(second->signed_part.size(), 60u);
  EXPECT_TRUE(std::ranges::equal(second->mac1, std::vector<std::uint8_t>(16, 0xbb)));

  packet = cookie_reply(7);
  rest = packet;
  const auto third = next_message(rest);
  ASSERT_TRUE(third);
  EXPECT_EQ(third->type, MessageType::cookie_reply);
  EXPECT_EQ(third->receiver, 7u);
  EXPECT_TRUE(third->mac1.empty());
}

TEST(TracePacket, HoldsTheFirstDataOfASession) {
  EXPECT_EQ(first_data(test::data(0x04030201)), 0x04030201u);
  EXPECT_EQ(first_data(test::data(7, 0, 1452)), 7u);
  EXPECT_FALSE(first_data(test::data(7, 1)));
  EXPECT_FALSE(first_data(test::data(7, 0, 31)));
  EXPECT_FALSE(first_data(cookie_reply(7)));
  auto later = test::data(7);
  later[15] = 1;  // the counter's last byte
  EXPECT_FALSE(first_data(later));
  EXPECT_FALSE(first_data({}));
}

TEST(TracePacket, HoldsSeveralWhereTheSystemJoinedThem) {
  const auto joined = test::joined({initiation(1), initiation(2), response(3, 4)});
  EXPECT_TRUE(holds_messages(joined));
  Bytes rest = joined;
  for (const std::uint32_t sender : {1u, 2u, 3u}) EXPECT_EQ(next_message(rest)->sender, sender);
  EXPECT_FALSE(next_message(rest));
}

TEST(TracePacket, HoldsNoneOfAnotherLengthOrType) {
  EXPECT_FALSE(holds_messages({}));
  EXPECT_FALSE(holds_messages(test::joined({initiation(1), {0}})));
  auto data = initiation(1);
  for (const int type : {0, 4, 5, 255}) {
    data[0] = static_cast<std::uint8_t>(type);
    EXPECT_FALSE(holds_messages(data)) << type;
  }
  auto reserved = initiation(1);
  reserved[3] = 1;
  EXPECT_FALSE(holds_messages(reserved));
  for (const auto& message : {initiation(1), response(1, 2), cookie_reply(1)}) {
    for (std::size_t size = 0; size < message.size(); ++size) {
      EXPECT_FALSE(holds_messages(std::span(message).first(size))) << size;
    }
  }
}

}  // namespace
}  // namespace wgvitals::trace
