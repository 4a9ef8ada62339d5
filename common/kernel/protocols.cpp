#include "common/kernel/protocols.h"

#include <array>
#include <string>

#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

using Member = ProtocolCounters::Counter ProtocolCounters::*;

struct Wanted {
  std::string_view protocol, column;  // of snmp6: prefix and name, written as one
  Member member;
};

constexpr Wanted in_snmp[] = {
    {"Udp", "RcvbufErrors", &ProtocolCounters::udp_rcvbuf_errors},
    {"Udp", "SndbufErrors", &ProtocolCounters::udp_sndbuf_errors},
    {"Udp", "InErrors", &ProtocolCounters::udp_in_errors},
    {"Ip", "FragFails", &ProtocolCounters::ip_frag_fails},
    {"Ip", "FragCreates", &ProtocolCounters::ip_frag_creates},
    {"Ip", "ReasmFails", &ProtocolCounters::ip_reasm_fails},
    {"Tcp", "RetransSegs", &ProtocolCounters::tcp_retrans_segs},
};
constexpr Wanted in_snmp6[] = {
    {"Udp6", "RcvbufErrors", &ProtocolCounters::udp_rcvbuf_errors},
    {"Udp6", "SndbufErrors", &ProtocolCounters::udp_sndbuf_errors},
    {"Udp6", "InErrors", &ProtocolCounters::udp_in_errors},
    {"Ip6", "FragFails", &ProtocolCounters::ip_frag_fails},
    {"Ip6", "FragCreates", &ProtocolCounters::ip_frag_creates},
    {"Ip6", "ReasmFails", &ProtocolCounters::ip_reasm_fails},
    {"Icmp6", "InPktTooBigs", &ProtocolCounters::icmp6_in_too_big},
};

Error malformed(std::string where) { return {Errc::malformed, 0, std::move(where)}; }

}  // namespace

ProtocolCounters sum(const ProtocolCounters& left, const ProtocolCounters& right) {
  auto total = left;
  const auto add = [&](Member member) {
    if (right.*member) total.*member = (total.*member).value_or(0) + *(right.*member);
  };
  for (const auto& wanted : in_snmp) add(wanted.member);
  add(&ProtocolCounters::icmp6_in_too_big);
  return total;
}

Result<Done> parse_two_line_tables(std::string_view text, const TakeColumn& take) {
  while (auto names = text::next_line(text)) {
    const auto protocol = text::next_word(*names);
    if (!protocol) continue;  // an empty line
    auto values = text::next_line(text);
    const auto again = values ? text::next_word(*values) : std::nullopt;
    if (again != protocol || !protocol->ends_with(':')) {
      return malformed("line \"" + text::to_printable(text::cut(*protocol, 32)) +
                       "\" has no line of values behind it");
    }
    const auto name = protocol->substr(0, protocol->size() - 1);
    while (const auto column = text::next_word(*names)) {
      const auto value = text::next_word(*values);
      if (!value) return malformed(text::to_printable(text::cut(name, 32)) + " has too few values");
      take(name, *column, *value);
    }
    if (text::next_word(*values)) {
      return malformed(text::to_printable(text::cut(name, 32)) + " has more values than names");
    }
  }
  return Done{};
}

Result<ProtocolCounters> parse_snmp(std::string_view text) {
  ProtocolCounters counters;
  const Wanted* wrong = nullptr;
  const auto parsed = parse_two_line_tables(
      text, [&](std::string_view protocol, std::string_view column, std::string_view value) {
        for (const auto& wanted : in_snmp) {
          if (wanted.column != column || wanted.protocol != protocol) continue;
          counters.*wanted.member = text::to_number<std::uint64_t>(value);
          if (!(counters.*wanted.member)) wrong = &wanted;
        }
      });
  if (!parsed) return parsed.error();
  if (wrong != nullptr) {
    return malformed(std::string(wrong->protocol) + std::string(wrong->column) + " is no number");
  }
  return counters;
}

Result<ProtocolCounters> parse_snmp6(std::string_view text) {
  ProtocolCounters counters;
  while (auto line = text::next_line(text)) {
    const auto name = text::next_word(*line);
    if (!name) continue;
    const auto value = text::next_word(*line);
    if (!value) return malformed(text::to_printable(text::cut(*name, 32)) + " has no value");
    for (const auto& [protocol, column, member] : in_snmp6) {
      if (!name->starts_with(protocol) || name->substr(protocol.size()) != column) continue;
      counters.*member = text::to_number<std::uint64_t>(*value);
      if (!(counters.*member)) return malformed(std::string(*name) + " is no number");
    }
  }
  return counters;
}

Result<std::vector<CpuSoftnet>> parse_softnet_stat(std::string_view text,
                                                   std::span<const CpuTimes> on) {
  constexpr std::size_t dropped = 1, time_squeezed = 2, needed = 3, cpu = 12;
  std::vector<CpuSoftnet> cpus;
  while (auto line = text::next_line(text)) {
    std::array<std::uint32_t, cpu + 1> numbers{};
    std::size_t columns = 0;
    while (columns < numbers.size()) {
      const auto word = text::next_word(*line);
      const auto number = text::to_number<std::uint32_t>(word.value_or(""), 16);
      if (!number) break;
      numbers[columns++] = *number;
    }
    if (columns < needed) return malformed("a line without three hexadecimal numbers");
    const auto place = cpus.size();
    const auto number = columns > cpu       ? numbers[cpu]
                        : place < on.size() ? on[place].cpu
                                            : static_cast<unsigned>(place);
    cpus.push_back({number, numbers[dropped], numbers[time_squeezed]});
  }
  if (cpus.empty()) return malformed("it is empty");
  return cpus;
}

}  // namespace wgvitals::kernel
