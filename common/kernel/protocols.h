// The network's own counters: /proc/net/snmp, snmp6 and softnet_stat (net/ipv4/proc.c,
// net/ipv6/proc.c, net/core/net-procfs.c). By the columns' names, which every kernel keeps while
// their places move.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/kernel/cpu.h"

namespace wgvitals::kernel {

// Absent: this kernel does not count it, or its protocol is switched off.
struct ProtocolCounters {
  using Counter = std::optional<std::uint64_t>;
  Counter udp_rcvbuf_errors, udp_sndbuf_errors, udp_in_errors;
  Counter ip_frag_fails, ip_frag_creates, ip_reasm_fails;
  Counter icmp6_in_too_big;
  Counter tcp_retrans_segs;  // of both families
  friend bool operator==(const ProtocolCounters&, const ProtocolCounters&) = default;
};

// What both have is added; what one of them has stays.
ProtocolCounters sum(const ProtocolCounters& left, const ProtocolCounters& right);

// A table of two lines for each protocol, as snmp and netstat are:
//   Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors
//   Udp: 26024 1835 0 27890 7
// Calls take("Udp", "RcvbufErrors", "7"). malformed where the lines do not match.
using TakeColumn =
    std::function<void(std::string_view protocol, std::string_view column, std::string_view value)>;
Result<Done> parse_two_line_tables(std::string_view text, const TakeColumn& take);

// malformed where the text, or one of these values, is.
Result<ProtocolCounters> parse_snmp(std::string_view text);

// "Udp6RcvbufErrors                	0", a line each.
Result<ProtocolCounters> parse_snmp6(std::string_view text);

struct CpuSoftnet {
  unsigned cpu = 0;
  std::uint32_t dropped = 0;        // its queue was full (net.core.netdev_max_backlog)
  std::uint32_t time_squeezed = 0;  // work was left when the budget was used up
  friend bool operator==(const CpuSoftnet&, const CpuSoftnet&) = default;
};

// A line for each CPU that is on, in hexadecimal: packets, dropped, time_squeeze, and as many more
// as the kernel has: 9 columns, 10, 11, 13 and 15 have been seen; new ones are put behind.
//   0098af30 00000000 00000001 00000000 00000000 ...
// Since Linux 5.10 the 13th is the CPU's number. Before, its place among those that are on tells
// which it is: the lines of /proc/stat.
Result<std::vector<CpuSoftnet>> parse_softnet_stat(std::string_view text,
                                                   std::span<const CpuTimes> on);

}  // namespace wgvitals::kernel
