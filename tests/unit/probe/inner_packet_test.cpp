#include "common/probe/inner_packet.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/text.h"
#include "common/probe/icmp.h"

namespace wgvitals::probe {
namespace {

using Kind = InnerAnswer::Kind;
using Packet = std::vector<std::uint8_t>;

// "45 00 ..."; blanks may stand anywhere.
Packet bytes(std::string_view hex) {
  Packet packet;
  std::string pair;
  for (const char digit : hex) {
    if (digit == ' ') continue;
    pair += digit;
    if (pair.size() < 2) continue;
    packet.push_back(text::to_number<std::uint8_t>(pair, 16).value());
    pair.clear();
  }
  return packet;
}

Packet operator+(Packet left, const Packet& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Packet from(const Packet& packet, std::size_t at) {
  return {packet.begin() + static_cast<std::ptrdiff_t>(at), packet.end()};
}

constexpr std::uint16_t identifier = 0x1234;
constexpr std::uint64_t cookie = 0xa1b2c3d4e5f60718;
constexpr std::uint32_t tcp_sequence = 0x01020304;

InnerPath path(const char* source, const char* target) {
  InnerPath path{parse_address(source).value(), parse_address(target).value()};
  path.source.port = 40'000;
  path.target.port = 443;
  return path;
}
const InnerPath ipv4 = path("10.0.0.2", "10.9.0.1");
const InnerPath ipv6 = path("fd00::2", "fd00:9::1");

// Written by RFC 791, 792, 8200, 4443 and 9293, with another program's checksums.
const Packet echo_data = bytes(
    "12 34 00 07 a1 b2 c3 d4 e5 f6 07 18 00 00 00 00 00 00 00 07"
    "10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f");
const Packet echo4 =
    bytes("45 00 00 3c 00 00 40 00 40 01 26 b6 0a 00 00 02 0a 09 00 01  08 00 da 66") + echo_data;
const Packet reply4 =
    bytes("45 00 00 3c 00 00 40 00 40 01 26 b6 0a 09 00 01 0a 00 00 02  00 00 e2 66") + echo_data;
const Packet echo6 = bytes(
                         "60 00 00 00 00 28 3a 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02"
                         "fd 00 00 09 00 00 00 00 00 00 00 00 00 00 00 01  80 00 67 f6") +
                     echo_data;
const Packet reply6 = bytes(
                          "60 00 00 00 00 28 3a 40 fd 00 00 09 00 00 00 00 00 00 00 00 00 00 00 01"
                          "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02  81 00 66 f6") +
                      echo_data;
const Packet syn4 = bytes(
    "45 00 00 2c 00 00 40 00 40 06 26 c1 0a 00 00 02 0a 09 00 01"
    "9c 40 01 bb 01 02 03 04 00 00 00 00 60 02 fa f0 e8 18 00 00 02 04 04 c4");
const Packet rst4 = bytes(
    "45 00 00 28 00 00 40 00 40 06 26 c5 0a 00 00 02 0a 09 00 01"
    "9c 40 01 bb 01 02 03 05 00 00 00 00 50 04 00 00 f9 d2 00 00");
const Packet syn_ack4 = bytes(
    "45 00 00 2c 00 00 40 00 40 06 26 c1 0a 09 00 01 0a 00 00 02"
    "01 bb 9c 40 ca fe ba be 01 02 03 05 60 12 fe 88 5d c2 00 00 02 04 05 b4");
const Packet reset4 = bytes(
    "45 00 00 28 00 00 40 00 40 06 26 c5 0a 09 00 01 0a 00 00 02"
    "01 bb 9c 40 00 00 00 00 01 02 03 05 50 14 00 00 f9 c2 00 00");
const Packet syn6 = bytes(
    "60 00 00 00 00 18 06 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02"
    "fd 00 00 09 00 00 00 00 00 00 00 00 00 00 00 01"
    "9c 40 01 bb 01 02 03 04 00 00 00 00 60 02 fa f0 02 17 00 00 02 04 04 c4");
const Packet rst6 = bytes(
    "60 00 00 00 00 14 06 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02"
    "fd 00 00 09 00 00 00 00 00 00 00 00 00 00 00 01"
    "9c 40 01 bb 01 02 03 05 00 00 00 00 50 04 00 00 13 d1 00 00");
const Packet syn_ack6 = bytes(
    "60 00 00 00 00 18 06 40 fd 00 00 09 00 00 00 00 00 00 00 00 00 00 00 01"
    "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02"
    "01 bb 9c 40 ca fe ba be 01 02 03 05 60 12 fe 88 77 c0 00 00 02 04 05 b4");
const Packet reset6 = bytes(
    "60 00 00 00 00 14 06 40 fd 00 00 09 00 00 00 00 00 00 00 00 00 00 00 01"
    "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02"
    "01 bb 9c 40 00 00 00 00 01 02 03 05 50 14 00 00 13 c1 00 00");
// Host unreachable from 192.0.2.9, which quotes the least.
const Packet error4 = bytes(
    "45 00 00 38 00 00 40 00 40 01 6e ba c0 00 02 09 0a 00 00 02 03 01 08 5d 00 00 00 00"
    "45 00 00 3c 00 00 40 00 40 01 26 b6 0a 00 00 02 0a 09 00 01 08 00 da 66 12 34 00 07");
// Address unreachable from 2001:db8::9, which quotes all.
const Packet error6 = bytes(
                          "60 00 00 00 00 58 3a 40 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 09"
                          "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02"
                          "01 03 39 9f 00 00 00 00") +
                      echo6;

std::optional<InnerAnswer> parse(const Packet& packet) {
  const auto& asked = !packet.empty() && packet[0] >> 4 == 6 ? ipv6 : ipv4;
  return parse_inner(packet, asked, identifier, cookie, tcp_sequence);
}

// Its lengths and checksums made right again.
Packet mended(Packet packet) {
  const bool is_ipv4 = packet[0] >> 4 == 4;
  const std::size_t header = is_ipv4 ? (packet[0] & 15) * 4u : 40u;
  const auto put = [&](std::size_t at, std::size_t number) {
    packet[at] = static_cast<std::uint8_t>(number >> 8);
    packet[at + 1] = static_cast<std::uint8_t>(number);
  };
  const auto protocol = packet[is_ipv4 ? 9 : 6];
  if (is_ipv4) {
    put(2, packet.size());
    put(10, 0);
    put(10, static_cast<std::uint16_t>(~to_sum({packet.data(), header})));
  } else {
    put(4, packet.size() - header);
  }
  const auto at = header + (protocol == 6 ? 16 : 2);
  if (packet.size() < at + 2) return packet;
  put(at, 0);
  Packet summed = from(packet, header);
  if (protocol != 1) {
    const auto length = summed.size();
    if (length % 2 != 0) summed.push_back(0);
    summed = summed + Packet(packet.begin() + (is_ipv4 ? 12 : 8),
                             packet.begin() + static_cast<std::ptrdiff_t>(is_ipv4 ? 20 : 40));
    summed = summed + Packet{0, protocol, static_cast<std::uint8_t>(length >> 8),
                             static_cast<std::uint8_t>(length)};
  }
  put(at, static_cast<std::uint16_t>(~to_sum(summed)));
  return packet;
}

TEST(InnerPacket, BuildsWhatTheRfcsSay) {
  Packet room(128, 0xee);
  const auto built = [&](std::size_t size) {
    Packet packet(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(from(room, size), Packet(128 - size, 0xee));
    room.assign(128, 0xee);
    return packet;
  };
  EXPECT_EQ(built(build_echo(ipv4, identifier, 7, cookie, room)), echo4);
  EXPECT_EQ(built(build_echo(ipv6, identifier, 7, cookie, room)), echo6);
  EXPECT_EQ(built(build_syn(ipv4, tcp_sequence, room)), syn4);
  EXPECT_EQ(built(build_syn(ipv6, tcp_sequence, room)), syn6);
  EXPECT_EQ(built(build_rst(ipv4, tcp_sequence + 1, room)), rst4);
  EXPECT_EQ(built(build_rst(ipv6, tcp_sequence + 1, room)), rst6);
}

TEST(InnerPacket, ReadsAnswers) {
  struct Case {
    const Packet& packet;
    Kind kind;
    std::uint16_t sequence;
    std::uint8_t type, code;
    const char* from;
  };
  for (const auto& [packet, kind, sequence, type, code, from] :
       {Case{reply4, Kind::echo_reply, 7, 0, 0, "10.9.0.1"},
        Case{reply6, Kind::echo_reply, 7, 0, 0, "fd00:9::1"},
        Case{syn_ack4, Kind::syn_ack, 0, 0, 0, "10.9.0.1"},
        Case{syn_ack6, Kind::syn_ack, 0, 0, 0, "fd00:9::1"},
        Case{reset4, Kind::tcp_reset, 0, 0, 0, "10.9.0.1"},
        Case{reset6, Kind::tcp_reset, 0, 0, 0, "fd00:9::1"},
        Case{error4, Kind::icmp_error, 7, 3, 1, "192.0.2.9"},
        Case{error6, Kind::icmp_error, 7, 1, 3, "2001:db8::9"}}) {
    for (const std::size_t padding : {0u, 1u, 15u}) {
      const auto answer = parse(packet + Packet(padding, 0));
      ASSERT_TRUE(answer) << from << ' ' << padding;
      EXPECT_EQ(answer->kind, kind);
      EXPECT_EQ(answer->sequence, sequence);
      EXPECT_EQ(answer->type, type);
      EXPECT_EQ(answer->code, code);
      EXPECT_FALSE(answer->of_tcp);
      EXPECT_EQ(answer->from, parse_address(from).value());
    }
    ASSERT_EQ(mended(packet), packet);  // what the tests below rely on
  }
}

TEST(InnerPacket, AnyBitThatIsWrongIsSeen) {
  for (const auto& whole : {reply4, reply6, syn_ack4, syn_ack6, reset4, reset6, error4, error6}) {
    const bool is_ipv6 = whole[0] >> 4 == 6;
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      // Traffic class, flow label and hop limit of IPv6 are in no checksum.
      const auto at = bit / 8;
      const bool in_none = is_ipv6 && ((at == 0 && bit % 8 < 4) || (at >= 1 && at <= 3) || at == 7);
      auto packet = whole;
      packet[at] = static_cast<std::uint8_t>(packet[at] ^ 1u << bit % 8);
      EXPECT_EQ(
          parse_inner(packet, is_ipv6 ? ipv6 : ipv4, identifier, cookie, tcp_sequence).has_value(),
          in_none)
          << "bit " << bit % 8 << " of byte " << at << " of " << whole.size();
    }
    for (std::size_t size = 0; size < whole.size(); ++size)
      EXPECT_FALSE(parse({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}))
          << size << " of " << whole.size();
  }
}

TEST(InnerPacket, ASoundPacketOfAnotherIsNone) {
  struct Case {
    const char* what;
    const Packet& packet;
    std::size_t at;
    std::uint8_t value;
  };
  for (const auto& [what, packet, at, value] :
       {Case{"fragment to come", reply4, 6, 0x20},
        Case{"a later fragment", reply4, 7, 1},
        Case{"UDP", reply4, 9, 17},
        Case{"another host", reply4, 15, 2},
        Case{"to another", reply4, 19, 3},
        Case{"a request", reply4, 20, 8},
        Case{"its code", reply4, 21, 1},
        Case{"another identifier", reply4, 25, 0x35},
        Case{"another sequence than within", reply4, 27, 8},
        Case{"another cookie", reply4, 28, 0xa0},
        Case{"another filler", reply4, 59, 0},
        Case{"ICMP of IPv4", reply6, 6, 1},
        Case{"another host", reply6, 23, 2},
        Case{"to another", reply6, 39, 3},
        Case{"a request", reply6, 40, 128},
        Case{"another cookie", reply6, 48, 0xa0},
        Case{"another host", syn_ack4, 15, 2},
        Case{"from another port", syn_ack4, 21, 0xbc},
        Case{"to another port", syn_ack4, 23, 0x41},
        Case{"another acknowledgement", syn_ack4, 31, 4},
        Case{"half a header", syn_ack4, 32, 0x40},
        Case{"header behind the end", syn_ack4, 32, 0x70},
        Case{"only ACK", syn_ack4, 33, 0x10},
        Case{"only SYN", syn_ack4, 33, 0x02},
        Case{"SYN and FIN", syn_ack4, 33, 0x13},
        Case{"SYN and RST", syn_ack4, 33, 0x16},
        Case{"RST without ACK", reset4, 33, 0x04},
        Case{"another acknowledgement", reset6, 51, 4},
        Case{"redirect", error4, 20, 5},
        Case{"to another", error4, 19, 3},
        Case{"quotes IPv6", error4, 28, 0x65},
        Case{"quotes a long header", error4, 28, 0x4f},
        Case{"quotes a short header", error4, 28, 0x44},
        Case{"quotes a fragment", error4, 35, 1},
        Case{"quotes UDP", error4, 37, 17},
        Case{"quotes another source", error4, 43, 3},
        Case{"quotes another target", error4, 47, 2},
        Case{"quotes an answer", error4, 48, 0},
        Case{"quotes another identifier", error4, 53, 0x35},
        Case{"information", error6, 40, 5},
        Case{"nothing", error6, 40, 0},
        Case{"quotes another source", error6, 48 + 23, 3},
        Case{"quotes another target", error6, 48 + 39, 2},
        Case{"quotes another identifier", error6, 48 + 45, 0x35},
        Case{"quotes another cookie", error6, 48 + 48, 0xa0}}) {
    auto changed = packet;
    ASSERT_NE(changed[at], value) << what;
    changed[at] = value;
    EXPECT_FALSE(parse(mended(changed))) << what << " at " << at << " of " << packet.size();
  }
  EXPECT_FALSE(parse(echo4));
  EXPECT_FALSE(parse(echo6));
  EXPECT_FALSE(parse(syn4));
  EXPECT_FALSE(parse_inner(reply4, ipv6, identifier, cookie, tcp_sequence));
  EXPECT_FALSE(parse_inner(reply6, ipv4, identifier, cookie, tcp_sequence));
  EXPECT_FALSE(parse_inner(reply4, InnerPath{}, identifier, cookie, tcp_sequence));
  EXPECT_FALSE(parse({}));
}

TEST(InnerPacket, AnEchoComesBackWhole) {
  EXPECT_FALSE(parse(mended({reply4.begin(), reply4.end() - 1})));
  EXPECT_FALSE(parse(mended({reply4.begin(), reply4.end() - 16})));
  EXPECT_FALSE(parse(mended({reply4.begin(), reply4.begin() + 28})));
  EXPECT_FALSE(parse(mended(reply4 + Packet{0x20, 0x21})));
  EXPECT_FALSE(parse(mended(reply6 + Packet{0x20})));
}

TEST(InnerPacket, NoLengthReachesBeyondAPacket) {
  // The header's own checksum is right each time: two bytes that no reader looks at make it so.
  const auto with_header = [](std::uint8_t first, std::size_t total) {
    auto packet = reply4;
    packet[0] = first;
    packet[2] = static_cast<std::uint8_t>(total >> 8);
    packet[3] = static_cast<std::uint8_t>(total);
    packet[10] = packet[11] = 0;
    const std::size_t size = std::min<std::size_t>((first & 15) * 4u, packet.size());
    const auto sum = static_cast<std::uint16_t>(~to_sum({packet.data(), size}));
    packet[10] = static_cast<std::uint8_t>(sum >> 8);
    packet[11] = static_cast<std::uint8_t>(sum);
    packet.shrink_to_fit();
    return packet;
  };
  EXPECT_TRUE(parse(with_header(0x45, 60)));
  for (const std::size_t total : {0u, 1u, 19u, 20u, 21u, 27u, 28u, 59u, 61u, 65'535u})
    EXPECT_FALSE(parse(with_header(0x45, total))) << total;
  for (const int first : {0x40, 0x41, 0x44, 0x46, 0x4f})
    EXPECT_FALSE(parse(with_header(static_cast<std::uint8_t>(first), 60))) << first;
  for (std::size_t length = 0; length < 300; ++length) {
    auto packet = reply6;
    packet[4] = static_cast<std::uint8_t>(length >> 8);
    packet[5] = static_cast<std::uint8_t>(length);
    EXPECT_EQ(parse(packet).has_value(), length == 40) << length;
  }
}

TEST(InnerPacket, Ipv4MayHaveOptions) {
  auto packet = Packet(reply4.begin(), reply4.begin() + 20) + bytes("94 04 00 00 01 01 01 00") +
                from(reply4, 20);
  packet[0] = 0x47;
  EXPECT_TRUE(parse(mended(packet)));
  packet[0] = 0x46;  // less than there are
  EXPECT_FALSE(parse(mended(packet)));
}

TEST(InnerPacket, Ipv6WithExtensionHeadersIsPassedOver) {
  auto packet = Packet(reply6.begin(), reply6.begin() + 40) + bytes("3a 00 01 04 00 00 00 00") +
                from(reply6, 40);
  packet[6] = 0;
  packet[5] = static_cast<std::uint8_t>(packet.size() - 40);
  EXPECT_FALSE(parse(packet));
}

TEST(InnerPacket, AnErrorQuotesEightBytesAtLeast) {
  for (std::size_t size = 28; size <= error4.size(); ++size) {
    const Packet packet(error4.begin(), error4.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(parse(mended(packet)).has_value(), size >= 56) << size;
  }
  for (std::size_t size = 48; size <= error6.size(); ++size) {
    const Packet packet(error6.begin(), error6.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(parse(mended(packet)).has_value(), size >= 48 + 48) << size;
  }
}

TEST(InnerPacket, ReadsAnErrorForTheSyn) {
  const auto head = Packet(error4.begin(), error4.begin() + 20) + bytes("03 0a 00 00 00 00 00 00");
  for (const std::size_t quoted : {28u, 44u}) {
    const Packet part(syn4.begin(), syn4.begin() + static_cast<std::ptrdiff_t>(quoted));
    const auto answer = parse(mended(head + part));
    ASSERT_TRUE(answer) << quoted;
    EXPECT_EQ(answer->kind, Kind::icmp_error);
    EXPECT_TRUE(answer->of_tcp);
    EXPECT_EQ(answer->code, 10);
    EXPECT_EQ(answer->from, parse_address("192.0.2.9").value());
    for (const std::size_t at : {12u, 16u, 20u, 22u, 24u}) {
      auto other = part;
      other[at] ^= 1;
      EXPECT_FALSE(parse(mended(head + other))) << at;
    }
  }
  EXPECT_FALSE(parse(mended(head + Packet(syn4.begin(), syn4.begin() + 27))));
}

TEST(InnerPacket, EveryErrorHasWords) {
  constexpr auto v4 = AddressFamily::ipv4, v6 = AddressFamily::ipv6;
  EXPECT_STREQ(to_text_of_icmp(v4, 3, 1), "host unreachable");
  EXPECT_STREQ(to_text_of_icmp(v4, 3, 3), "port unreachable");
  EXPECT_STREQ(to_text_of_icmp(v4, 3, 13), "administratively prohibited");
  EXPECT_STREQ(to_text_of_icmp(v4, 3, 16), "destination unreachable");
  EXPECT_STREQ(to_text_of_icmp(v4, 11, 0), "time to live exceeded");
  EXPECT_STREQ(to_text_of_icmp(v6, 1, 0), "no route to destination");
  EXPECT_STREQ(to_text_of_icmp(v6, 1, 4), "port unreachable");
  EXPECT_STREQ(to_text_of_icmp(v6, 1, 7), "destination unreachable");
  EXPECT_STREQ(to_text_of_icmp(v6, 3, 0), "hop limit exceeded");
  for (unsigned number = 0; number < 65'536; ++number) {
    const auto type = static_cast<std::uint8_t>(number >> 8);
    const auto code = static_cast<std::uint8_t>(number);
    EXPECT_NE(to_text_of_icmp(v4, type, code), nullptr);
    EXPECT_NE(to_text_of_icmp(v6, type, code), nullptr);
  }
}

}  // namespace
}  // namespace wgvitals::probe
