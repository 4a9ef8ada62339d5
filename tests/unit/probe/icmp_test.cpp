#include "common/probe/icmp.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string_view>
#include <vector>

#include "common/base/text.h"

namespace wgvitals::probe {
namespace {

using Kind = IcmpMessage::Kind;
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

Packet with_checksum(Packet icmp) {
  icmp[2] = icmp[3] = 0;
  const auto sum = static_cast<std::uint16_t>(~to_sum(icmp));
  icmp[2] = static_cast<std::uint8_t>(sum >> 8);
  icmp[3] = static_cast<std::uint8_t>(sum);
  return icmp;
}

// From 192.0.2.1 to 10.0.0.2, with 64 hops left.
Packet in_ipv4(const Packet& body, const Packet& options = {}) {
  const auto header = 20 + options.size();
  auto packet =
      bytes("45 00 00 00 1a 2b 40 00 40 01 00 00 c0 00 02 01 0a 00 00 02") + options + body;
  packet[0] = static_cast<std::uint8_t>(0x40 | header / 4);
  packet[2] = static_cast<std::uint8_t>(packet.size() >> 8);
  packet[3] = static_cast<std::uint8_t>(packet.size());
  return packet;
}

const Echo sample{0xa1b2c3d4e5f60718, 42, 65'543, 0x1234, 7};
const Packet sample_reply =
    bytes("00 00 00 00 12 34 00 07  a1 b2 c3 d4 e5 f6 07 18  00 00 00 2a  00 01 00 07  10 11 12");
const Packet sample_request = bytes("08") + Packet(sample_reply.begin() + 1, sample_reply.end());
const Packet ipv6_header = bytes(
    "60 00 00 00 00 1b 3a 40 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 02 "
    "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01");

TEST(Icmp, ARequestIsWhatItsReaderSees) {
  std::vector<std::uint8_t> filler(41);
  fill(filler);
  const auto head = make_echo_head(AddressFamily::ipv4, sample, to_sum(filler));
  Packet packet(head.begin(), head.end());
  packet = packet + filler;
  EXPECT_EQ(packet[0], 8);
  EXPECT_EQ(to_sum(packet), 0xffff);  // an odd size, too
  const auto read = parse_quoted_request(AddressFamily::ipv4, packet);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->echo, sample);
  EXPECT_TRUE(read->marked);

  const auto ipv6 = make_echo_head(AddressFamily::ipv6, sample, 0);
  EXPECT_EQ(ipv6[0], 128);
  EXPECT_EQ(ipv6[2], 0);  // the kernel's to write
  EXPECT_EQ(ipv6[3], 0);
  EXPECT_EQ(parse_quoted_request(AddressFamily::ipv6, ipv6).value().echo, sample);
}

TEST(Icmp, SumsAsRfc1071Does) {
  EXPECT_EQ(to_sum(bytes("00 01 f2 03 f4 f5 f6 f7")), 0xddf2);  // its own example
  EXPECT_EQ(to_sum(bytes("00 01 f2")), 0xf201);
  EXPECT_EQ(to_sum({}), 0);
  EXPECT_EQ(to_sum(Packet(65'535, 0xff)), 0xff00);
}

TEST(Icmp, ReadsAnIpv4Answer) {
  const auto packet = in_ipv4(with_checksum(sample_reply));
  for (const auto& read : {parse_ipv4_packet(packet), parse_ipv4_packet(packet + bytes("00 00")),
                           parse_ipv4_packet(in_ipv4(with_checksum(sample_reply),
                                                     bytes("94 04 00 00 01 01 01 00")))}) {
    ASSERT_TRUE(read);
    EXPECT_EQ(read->kind, Kind::reply);
    EXPECT_EQ(read->echo, sample);
    EXPECT_TRUE(read->marked);
    EXPECT_EQ(read->ttl, 64);
    EXPECT_EQ(read->from.family, AddressFamily::ipv4);
    EXPECT_EQ(read->from.address[0], 192);
    EXPECT_EQ(read->from.address[3], 1);
  }
}

TEST(Icmp, AnAnswerThatIsDamagedIsNone) {
  const auto good = in_ipv4(with_checksum(sample_reply));
  struct Case {
    const char* what;
    std::size_t at;
    std::uint8_t value;
  };
  for (const auto& [what, at, value] :
       {Case{"version", 0, 0x65}, Case{"short header", 0, 0x44}, Case{"long header", 0, 0x4f},
        Case{"total length", 3, 19}, Case{"fragment", 7, 1}, Case{"protocol", 9, 17},
        Case{"type", 20, 8}, Case{"payload", 40, 0xff}}) {
    auto packet = good;
    packet[at] = value;
    EXPECT_FALSE(parse_ipv4_packet(packet)) << what;
  }
  for (std::size_t size = 0; size < 28; ++size)
    EXPECT_FALSE(parse_ipv4_packet({good.data(), size})) << size;
  // Cut by the reader's buffer: the sum cannot be had, what is there is read.
  for (std::size_t size = 28; size < good.size(); ++size) {
    const auto read = parse_ipv4_packet({good.data(), size});
    ASSERT_TRUE(read) << size;
    EXPECT_EQ(read->marked, size >= 44);
    EXPECT_EQ(read->echo.sequence, 7);
    EXPECT_EQ(read->echo.number, size >= 44 ? 65'543u : 0u);
  }
}

TEST(Icmp, ReadsAnIpv6Answer) {
  auto packet = sample_reply;
  packet[0] = 129;
  const auto read = parse_icmp(AddressFamily::ipv6, packet);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->kind, Kind::reply);
  EXPECT_EQ(read->echo, sample);
  EXPECT_FALSE(parse_icmp(AddressFamily::ipv4, packet));
  EXPECT_FALSE(parse_icmp(AddressFamily::none, packet));
}

TEST(Icmp, ReadsIpv4Errors) {
  struct Case {
    const char* head;
    std::uint32_t mtu;
    int error;
  };
  for (const auto& [head, mtu, error] :
       {Case{"03 00 00 00 00 00 00 00", 0, ENETUNREACH},
        Case{"03 01 00 00 00 00 00 00", 0, EHOSTUNREACH},
        Case{"03 02 00 00 00 00 00 00", 0, ENOPROTOOPT},
        Case{"03 03 00 00 00 00 00 00", 0, ECONNREFUSED},
        Case{"03 04 00 00 00 00 05 14", 1300, EMSGSIZE},
        Case{"03 05 00 00 00 00 00 00", 0, EOPNOTSUPP},
        Case{"03 06 00 00 00 00 00 00", 0, ENETUNREACH}, Case{"03 09 00 00 00 00 00 00", 0, EACCES},
        Case{"03 0a 00 00 00 00 00 00", 0, EACCES}, Case{"03 0b 00 00 00 00 00 00", 0, ENETUNREACH},
        Case{"03 0d 00 00 00 00 05 14", 0, EACCES},
        Case{"0b 00 00 00 00 00 00 00", 0, EHOSTUNREACH},
        Case{"0c 00 00 00 14 00 00 00", 0, EPROTO}}) {
    SCOPED_TRACE(head);
    auto quoted = in_ipv4(sample_request, bytes("94 04 00 00"));
    const auto read = parse_ipv4_packet(in_ipv4(with_checksum(bytes(head) + quoted)));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->kind, Kind::error);
    EXPECT_EQ(read->type, bytes(head)[0]);
    EXPECT_EQ(read->code, bytes(head)[1]);
    EXPECT_EQ(read->mtu, mtu);
    EXPECT_EQ(read->from.address[0], 192);
    EXPECT_EQ(read->destination.address[0], 10);
    EXPECT_EQ(read->destination.address[3], 2);
    EXPECT_EQ(read->echo, sample);
    EXPECT_EQ(to_errno(AddressFamily::ipv4, read->type, read->code), error);
  }
}

TEST(Icmp, AnErrorMayQuoteEightBytes) {
  const auto head = bytes("0b 00 00 00 00 00 00 00");
  const auto whole = head + in_ipv4(sample_request);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const auto read = parse_icmp(AddressFamily::ipv4, {whole.data(), size});
    ASSERT_EQ(read.has_value(), size >= 8 + 20 + 8) << size;
    if (!read) continue;
    EXPECT_EQ(read->echo.id, 0x1234);
    EXPECT_EQ(read->echo.sequence, 7);
    EXPECT_EQ(read->marked, size >= 8 + 20 + 24);
  }
}

TEST(Icmp, AnErrorForSomethingElseIsNone) {
  const auto head = bytes("03 01 00 00 00 00 00 00");
  auto quoted = in_ipv4(sample_request);
  quoted[9] = 17;
  EXPECT_FALSE(parse_icmp(AddressFamily::ipv4, head + quoted));
  EXPECT_FALSE(parse_icmp(AddressFamily::ipv4, head + in_ipv4(sample_reply)));
  EXPECT_FALSE(
      parse_icmp(AddressFamily::ipv4, bytes("05 01 00 00 00 00 00 00") + in_ipv4(sample_request)));
}

TEST(Icmp, ReadsIpv6Errors) {
  auto request = sample_request;
  request[0] = 128;
  struct Case {
    const char* head;
    std::uint32_t mtu;
    int error;
  };
  for (const auto& [head, mtu, error] :
       {Case{"01 00 00 00 00 00 00 00", 0, ENETUNREACH}, Case{"01 01 00 00 00 00 00 00", 0, EACCES},
        Case{"01 02 00 00 00 00 00 00", 0, EHOSTUNREACH},
        Case{"01 03 00 00 00 00 00 00", 0, EHOSTUNREACH},
        Case{"01 04 00 00 00 00 00 00", 0, ECONNREFUSED},
        Case{"01 05 00 00 00 00 00 00", 0, EACCES}, Case{"01 06 00 00 00 00 00 00", 0, EACCES},
        Case{"02 00 00 00 00 01 05 14", 66'836, EMSGSIZE},
        Case{"03 00 00 00 00 00 00 00", 0, EHOSTUNREACH},
        Case{"04 01 00 00 00 00 00 28", 0, EPROTO}}) {
    SCOPED_TRACE(head);
    const auto read = parse_icmp(AddressFamily::ipv6, bytes(head) + ipv6_header + request);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->kind, Kind::error);
    EXPECT_EQ(read->mtu, mtu);
    EXPECT_EQ(read->echo, sample);
    EXPECT_EQ(read->destination.family, AddressFamily::ipv6);
    EXPECT_EQ(read->destination.address[15], 1);
    EXPECT_EQ(to_errno(AddressFamily::ipv6, read->type, read->code), error);
  }
}

TEST(Icmp, AQuotedIpv6PacketMayHaveExtensionHeaders) {
  auto request = sample_request;
  request[0] = 128;
  const auto head = bytes("03 00 00 00 00 00 00 00");
  auto ip = ipv6_header;
  struct Case {
    const char* what;
    std::uint8_t next;
    const char* headers;
    bool read;
  };
  for (const auto& [what, next, headers, expected] :
       {Case{"hop by hop", 0, "3a 00 01 04 00 00 00 00", true},
        Case{"destination, 16 bytes", 60, "3a 01 01 0c 00 00 00 00 00 00 00 00 00 00 00 00", true},
        Case{"routing, then fragment", 43, "2c 00 04 00 00 00 00 00  3a 00 00 01 00 00 00 01",
             true},
        Case{"authentication", 51,
             "3a 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", true},
        Case{"a later fragment", 44, "3a 00 05 08 00 00 00 01", false},
        Case{"longer than what is there", 0, "3a ff 01 04 00 00 00 00", false},
        Case{"something else", 0, "11 00 01 04 00 00 00 00", false},
        Case{"encrypted", 50, "3a 00 00 00 00 00 00 00", false}}) {
    ip[6] = next;
    const auto read = parse_icmp(AddressFamily::ipv6, head + ip + bytes(headers) + request);
    ASSERT_EQ(read.has_value(), expected) << what;
    if (read) {
      EXPECT_EQ(read->echo, sample) << what;
    }
  }
  ip[6] = 0;
  const auto whole = head + ip + bytes("3a 00 01 04 00 00 00 00") + request;
  for (std::size_t size = 0; size <= whole.size(); ++size)
    EXPECT_EQ(parse_icmp(AddressFamily::ipv6, {whole.data(), size}).has_value(), size >= 64)
        << size;
}

}  // namespace
}  // namespace wgvitals::probe
