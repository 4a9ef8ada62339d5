// Packets, written out byte by byte from the figures of RFC 8762, RFC 5357 and RFC 4656.

#include "common/probe/stamp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace wgvitals::probe {
namespace {

std::vector<std::byte> bytes(std::initializer_list<unsigned> list, std::size_t size) {
  std::vector<std::byte> all;
  for (const auto byte : list) all.push_back(static_cast<std::byte>(byte));
  all.resize(size);
  return all;
}

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t ntp_1970 = 2'208'988'800 * second;  // since 1900
constexpr std::int64_t now = 1'795'210'380 * second;       // 2026-11-20 21:33:00 UTC

// RFC 8762 figure 2. 1795210380 s since 1970 are 4004199180 = 0xeeab3b0c since 1900.
const auto figure_2 = bytes(
    {
        0x00, 0x00, 0x01, 0x02,  // Sequence Number: 258
        0xee, 0xab, 0x3b, 0x0c,  // Timestamp: seconds,
        0x80, 0x00, 0x00, 0x00,  //   and a half
        0x8d, 0x53,              // Error Estimate: S=1 Z=0 Scale=13 Multiplier=83
        0x00, 0x00,              // MBZ; RFC 8972 figure 1: SSID
    },
    44);

TEST(StampPacket, SenderFigure) {
  const StampRequest request{258, to_ntp(now + second / 2), {true, false, 13, 83}, 0};
  std::vector<std::byte> packet(44, std::byte{0xff});
  write_stamp(request, packet);
  EXPECT_EQ(packet, figure_2);
  EXPECT_EQ(parse_stamp_request(figure_2), request);
}

TEST(StampPacket, SenderPaddingIsZero) {
  std::vector<std::byte> packet(200, std::byte{0xff});
  write_stamp(StampRequest{258, to_ntp(now + second / 2), {true, false, 13, 83}, 0}, packet);
  EXPECT_TRUE(std::equal(figure_2.begin(), figure_2.end(), packet.begin()));
  EXPECT_EQ(std::count(packet.begin() + 44, packet.end(), std::byte{0}), 156);
}

// RFC 8762 figure 5.
const auto figure_5 = bytes(
    {
        0x00, 0x00, 0x00, 0x07,  // Sequence Number: the reflector's
        0xee, 0xab, 0x3b, 0x0d,  // Timestamp: T3
        0x40, 0x00, 0x00, 0x00,  //   and a quarter
        0xc0, 0x01,              // Error Estimate: S=1 Z=1 Scale=0 Multiplier=1
        0x12, 0x34,              // MBZ; RFC 8972 figure 2: SSID
        0xee, 0xab, 0x3b, 0x0c,  // Receive Timestamp: T2
        0xc0, 0x00, 0x00, 0x00,  //   and three quarters
        0x00, 0x00, 0x01, 0x02,  // Session-Sender Sequence Number
        0xee, 0xab, 0x3b, 0x0c,  // Session-Sender Timestamp: T1
        0x80, 0x00, 0x00, 0x00,  //
        0x8d, 0x53,              // Session-Sender Error Estimate
        0x00, 0x00,              // MBZ
        0xfe,                    // Session-Sender TTL
        0x00, 0x00, 0x00,        // MBZ
    },
    44);

StampReply reply_of_figure_5() {
  StampReply reply;
  reply.number = 7;
  reply.sent = to_ntp(now + second + second / 4);
  reply.error = {true, true, 0, 1};
  reply.session = 0x1234;
  reply.received = to_ntp(now + 3 * second / 4);
  reply.request = {258, to_ntp(now + second / 2), {true, false, 13, 83}, 0};
  reply.ttl = 254;
  return reply;
}

TEST(StampPacket, ReflectorFigure) {
  auto packet = figure_2;
  write_stamp(reply_of_figure_5(), packet);
  EXPECT_EQ(packet, figure_5);
  EXPECT_EQ(parse_stamp_reply(figure_5), reply_of_figure_5());
}

// RFC 8762 section 4.3: what lies beyond the base packet is copied; RFC 8972 section 4: an Extra
// Padding TLV, whose U flag the sender has set.
TEST(StampPacket, TlvsGoBackAsTheyCame) {
  auto packet = figure_2;
  const auto tlv = bytes({0x80, 0x01, 0x00, 0x04, 0xde, 0xad, 0xbe, 0xef}, 8);
  packet.insert(packet.end(), tlv.begin(), tlv.end());
  write_stamp(reply_of_figure_5(), packet);
  ASSERT_EQ(packet.size(), 52u);
  EXPECT_TRUE(std::equal(figure_5.begin(), figure_5.end(), packet.begin()));
  EXPECT_TRUE(std::equal(tlv.begin(), tlv.end(), packet.begin() + 44));
}

// RFC 5357 section 4.1.2 (as RFC 4656's): 14 bytes and padding, here random and of 27 bytes. Its
// reply is section 4.2.1's, which ends with Sender TTL.
TEST(StampPacket, ShortestOfTwampLight) {
  std::vector<std::byte> packet(figure_2.begin(), figure_2.begin() + 14);
  for (unsigned i = 0; i < 27; ++i) packet.push_back(static_cast<std::byte>(17 + 31 * i));
  auto request = parse_stamp_request(packet);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->number, 258u);
  EXPECT_EQ(request->session, 0);  // padding, not an identifier
  auto reply = reply_of_figure_5();
  write_stamp(reply, packet);
  ASSERT_EQ(packet.size(), 41u);
  EXPECT_TRUE(std::equal(packet.begin(), packet.end(), figure_5.begin()));
  EXPECT_EQ(parse_stamp_reply(packet), reply);
}

TEST(StampPacket, SessionIdentifier) {
  auto packet = figure_2;
  packet[14] = std::byte{0x12};
  packet[15] = std::byte{0x34};
  EXPECT_EQ(parse_stamp_request(packet)->session, 0x1234);
  packet[43] = std::byte{1};
  EXPECT_EQ(parse_stamp_request(packet)->session, 0);
}

TEST(StampPacket, TooShort) {
  const std::vector<std::byte> packet(40);
  EXPECT_FALSE(parse_stamp_request(packet));
  EXPECT_FALSE(parse_stamp_reply(packet));
  EXPECT_FALSE(parse_stamp_request({}));
}

TEST(StampTime, NtpThereAndBack) {
  EXPECT_EQ(to_ntp(0), 2'208'988'800ull << 32u);  // RFC 5905 figure 4: first day UNIX
  EXPECT_EQ(to_ntp(-ntp_1970), 0u);
  for (const std::int64_t time : {now, now + 1, now + 999'999'999, now - 1, std::int64_t{0},
                                  std::int64_t{-1}, -second, -second - 1}) {
    EXPECT_EQ(from_ntp(to_ntp(time), now), time);
  }
  EXPECT_EQ(from_ntp(~0ull >> 32u, -ntp_1970), -ntp_1970 + second);  // rounds up
}

TEST(StampTime, TheNextEra) {
  constexpr std::int64_t turn = 2'085'978'496 * second;  // 2036-02-07 06:28:16 UTC
  EXPECT_EQ(to_ntp(turn), 0u);
  EXPECT_EQ(from_ntp(to_ntp(turn - second), turn + second), turn - second);
  EXPECT_EQ(from_ntp(to_ntp(turn + second), turn - second), turn + second);
}

TEST(StampTime, Ptp) {
  const auto stamp = 1'795'210'380ull << 32u | 999'999'999u;
  EXPECT_EQ(from_ptp(stamp, now), now + 999'999'999);
  EXPECT_FALSE(from_ptp(stamp + 1, now));
}

TEST(StampTime, AnyStampIsSomeTime) {
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  for (const auto near : {least, std::int64_t{0}, most}) {
    for (const auto stamp : {0ull, ~0ull, 1ull << 63u}) {
      (void)from_ntp(stamp, near);
      (void)from_ptp(stamp, near);
    }
  }
}

TEST(StampErrorEstimate, UnitsOfTheRfc) {
  // Multiplier * 2^-32 * 2^Scale seconds.
  EXPECT_EQ(to_nanoseconds({true, false, 32, 1}), second);
  EXPECT_EQ(to_nanoseconds({true, false, 31, 3}), 3 * second / 2);
  EXPECT_EQ(to_nanoseconds({true, false, 0, 1}), 1);  // a quarter, rounded up
  EXPECT_EQ(to_nanoseconds({true, false, 63, 255}), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(to_nanoseconds({true, false, 20, 0}), 0);
}

TEST(StampErrorEstimate, NeverBelowAndNearby) {
  for (std::int64_t error = 1; error < 100 * second; error += error / 3 + 1) {
    const auto estimate = to_stamp_error(true, error);
    EXPECT_TRUE(estimate.synchronised);
    EXPECT_GE(to_nanoseconds(estimate), error);
    EXPECT_LE(to_nanoseconds(estimate), error + error / 100 + 1);
  }
  EXPECT_EQ(to_stamp_error(false, 0), (StampError{false, false, 0, 1}));  // 0 is against the RFC
  EXPECT_EQ(to_stamp_error(false, -5), (StampError{false, false, 0, 1}));
  const auto most = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(to_nanoseconds(to_stamp_error(true, most)), most);
}

}  // namespace
}  // namespace wgvitals::probe
