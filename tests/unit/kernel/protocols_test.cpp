#include "common/kernel/protocols.h"

#include <gmock/gmock.h>

#include <string>

namespace wgvitals::kernel {
namespace {

using testing::HasSubstr;

// Recorded from Linux 6.18, then given values that all differ.
const std::string snmp =
    "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos "
    "InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs "
    "ReasmFails FragOKs FragFails FragCreates OutTransmits\n"
    "Ip: 2 64 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118\n"
    "IcmpMsg: InType0 InType3 InType8 OutType0 OutType3 OutType8\n"
    "IcmpMsg: 418918 1841 419127 418908 1835 419137\n"
    "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets "
    "CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n"
    "Tcp: 1 200 120000 -1 201 202 203 204 205 206 207 208 209 210 211\n"
    "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors "
    "IgnoredMulti MemErrors\n"
    "Udp: 301 302 303 304 305 306 307 308 309\n"
    "UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors "
    "IgnoredMulti MemErrors\n"
    "UdpLite: 1 2 3 4 5 6 7 8 9\n";

const std::string snmp6 =
    "Ip6InReceives                   \t22990\n"
    "Ip6ReasmFails                   \t1\n"
    "Ip6FragOKs                      \t2\n"
    "Ip6FragFails                    \t3\n"
    "Ip6FragCreates                  \t4\n"
    "Icmp6InPktTooBigs               \t5\n"
    "Icmp6OutPktTooBigs              \t6\n"
    "Udp6InErrors                    \t7\n"
    "Udp6RcvbufErrors                \t8\n"
    "Udp6SndbufErrors                \t9\n"
    "UdpLite6RcvbufErrors            \t10\n";

ProtocolCounters expected() {
  ProtocolCounters counters;
  counters.udp_in_errors = 303;
  counters.udp_rcvbuf_errors = 305;
  counters.udp_sndbuf_errors = 306;
  counters.ip_reasm_fails = 114;
  counters.ip_frag_fails = 116;
  counters.ip_frag_creates = 117;
  counters.tcp_retrans_segs = 208;
  return counters;
}

TEST(ParseSnmp, TakesColumnsByTheirNames) {
  const auto parsed = parse_snmp(snmp);
  ASSERT_TRUE(parsed) << parsed.error().where;
  EXPECT_EQ(*parsed, expected());
}

// As Linux 2.6.32 has it: fewer columns, one of them at another place.
TEST(ParseSnmp, LeavesOutWhatAnOldKernelDoesNotCount) {
  const auto parsed = parse_snmp(
      "Udp: InDatagrams NoPorts InErrors OutDatagrams\n"
      "Udp: 1 2 3 4\n"
      "Tcp: RetransSegs InErrs\n"
      "Tcp: 5 6\n");
  ASSERT_TRUE(parsed);
  ProtocolCounters counters;
  counters.udp_in_errors = 3;
  counters.tcp_retrans_segs = 5;
  EXPECT_EQ(*parsed, counters);
}

TEST(ParseSnmp, RefusesWhatIsDamaged) {
  for (const auto* text : {
           "Udp: InErrors\n",                  // no values
           "Udp: InErrors\nIp: 1\n",           // another's values
           "Udp: InErrors NoPorts\nUdp: 1\n",  // too few
           "Udp: InErrors\nUdp: 1 2\n",        // too many
           "Udp: InErrors\nUdp: x\n",          // no number
           "Udp: InErrors\nUdp: -1\n",         // below zero
           "InErrors\nInErrors\n",             // no table
           "Udp: InErrors\nUdp: 99999999999999999999\n",
       }) {
    EXPECT_FALSE(parse_snmp(text)) << text;
  }
  EXPECT_THAT(parse_snmp("Udp: InErrors\nUdp: x\n").error().where, HasSubstr("UdpInErrors"));
}

TEST(ParseSnmp, WhatIsNotWantedMayBeAnything) {
  EXPECT_TRUE(parse_snmp("Tcp: MaxConn\nTcp: -1\n\nNew: A\nNew: odd\n"));
}

TEST(ParseTwoLineTables, HandsOverEveryColumn) {
  std::string said;
  const auto parsed = parse_two_line_tables(
      "TcpExt: SyncookiesSent TCPTimeouts\nTcpExt: 1 2\nIpExt: InNoRoutes\nIpExt: 3\n",
      [&](auto protocol, auto column, auto value) {
        said += std::string(protocol) + "." + std::string(column) + "=" + std::string(value) + " ";
      });
  EXPECT_TRUE(parsed);
  EXPECT_EQ(said, "TcpExt.SyncookiesSent=1 TcpExt.TCPTimeouts=2 IpExt.InNoRoutes=3 ");
}

TEST(ParseSnmp6, TakesLinesByTheirNames) {
  const auto parsed = parse_snmp6(snmp6);
  ASSERT_TRUE(parsed) << parsed.error().where;
  ProtocolCounters counters;
  counters.ip_reasm_fails = 1;
  counters.ip_frag_fails = 3;
  counters.ip_frag_creates = 4;
  counters.icmp6_in_too_big = 5;
  counters.udp_in_errors = 7;
  counters.udp_rcvbuf_errors = 8;
  counters.udp_sndbuf_errors = 9;
  EXPECT_EQ(*parsed, counters);
  EXPECT_FALSE(parse_snmp6("Udp6InErrors x\n"));
  EXPECT_FALSE(parse_snmp6("Udp6InErrors\n"));
}

TEST(ProtocolCounters, AddUp) {
  auto counters = expected();
  counters.udp_in_errors = 310;
  counters.udp_rcvbuf_errors = 313;
  counters.udp_sndbuf_errors = 315;
  counters.ip_reasm_fails = 115;
  counters.ip_frag_fails = 119;
  counters.ip_frag_creates = 121;
  counters.icmp6_in_too_big = 5;
  EXPECT_EQ(sum(*parse_snmp(snmp), *parse_snmp6(snmp6)), counters);
  EXPECT_EQ(sum({}, {}), ProtocolCounters{});  // absent stays absent
}

// Kernels with 9, 11, 13 and 15 columns.
TEST(ParseSoftnetStat, TellsTheCpusOfEveryKernel) {
  const std::string front = "0098af30 000000f0 00000001 ";
  const std::string other = "0088235f 00000001 0000000a ";
  const CpuTimes on[] = {{0, 0, 0, 0}, {5, 0, 0, 0}};
  for (const int more : {6, 8, 10, 12}) {
    std::string rest;
    for (int i = 0; i < more; ++i) rest += "00000007 ";
    const auto parsed = parse_softnet_stat(front + rest + "\n" + other + rest + "\n", on);
    ASSERT_TRUE(parsed);
    const unsigned first = more < 10 ? 0 : 7, second = more < 10 ? 5 : 7;
    EXPECT_EQ(*parsed, (std::vector<CpuSoftnet>{{first, 0xf0, 1}, {second, 1, 0xa}})) << more;
  }
  const auto parsed = parse_softnet_stat(front + "\n" + other + "\n", {});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, (std::vector<CpuSoftnet>{{0, 0xf0, 1}, {1, 1, 0xa}}));
}

TEST(ParseSoftnetStat, RefusesWhatIsDamaged) {
  for (const auto* text : {"", "1 2\n", "1 2 x\n", "1 2 100000000\n", "1 2 3\n\n"}) {
    EXPECT_FALSE(parse_softnet_stat(text, {})) << text;
  }
}

}  // namespace
}  // namespace wgvitals::kernel
