// /proc/net/snmp, snmp6 and softnet_stat: any bytes, and tables written from the fuzzer's numbers,
// in any order and among others, which must give these numbers back.

#include "common/kernel/protocols.h"

#include <array>
#include <string>

#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"

namespace wgvitals::fuzz {
namespace {

using kernel::ProtocolCounters;

struct Column {
  const char* name;
  ProtocolCounters::Counter ProtocolCounters::*member;  // nullptr: not wanted
};

constexpr Column udp[] = {{"InErrors", &ProtocolCounters::udp_in_errors},
                          {"NoPorts", nullptr},
                          {"RcvbufErrors", &ProtocolCounters::udp_rcvbuf_errors},
                          {"SndbufErrors", &ProtocolCounters::udp_sndbuf_errors},
                          {"MemErrors", nullptr}};

void parse_what_was_built(Bytes& in) {
  std::string names = "Udp:", values = "Udp:", lines;
  ProtocolCounters expected;
  for (const auto& column : udp) {
    if (in.flag()) continue;
    const auto value = in.number<std::uint64_t>();
    ((names += ' ') += column.name);
    (values += ' ') += std::to_string(value);
    ((((lines += "Udp6") += column.name) += '\t') += std::to_string(value)) += '\n';
    if (column.member != nullptr) expected.*column.member = value;
  }
  const std::string other = "UdpLite: InErrors\nUdpLite: 7\n";
  const auto snmp = kernel::parse_snmp((in.flag() ? other : "") + names + '\n' + values + '\n');
  check(snmp && *snmp == expected, "snmp gives what was written");
  const auto snmp6 = kernel::parse_snmp6(lines);
  check(snmp6 && *snmp6 == expected, "snmp6 gives what was written");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto snmp = kernel::parse_snmp(text);
  const auto snmp6 = kernel::parse_snmp6(text);
  if (snmp && snmp6) (void)kernel::sum(*snmp, *snmp6);
  (void)kernel::parse_softnet_stat(text, {});
  fuzz::Bytes in(data, size);
  fuzz::parse_what_was_built(in);
  return 0;
}
