#include "common/kernel/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <string>

#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

using Counter = ConntrackCpu::Counter;

struct Column {
  std::string_view name;
  Counter ConntrackCpu::*counter;
};

// net/netfilter/nf_conntrack_standalone.c, ct_cpu_seq_show(). "chainlength" is the heading over the
// count of chains that were too long.
constexpr Column columns[] = {{"searched", &ConntrackCpu::searched},
                              {"clashres", &ConntrackCpu::clash_resolve},
                              {"found", &ConntrackCpu::found},
                              {"new", &ConntrackCpu::new_flows},
                              {"invalid", &ConntrackCpu::invalid},
                              {"ignore", &ConntrackCpu::ignore},
                              {"delete", &ConntrackCpu::deleted},
                              {"delete_list", &ConntrackCpu::delete_list},
                              {"chainlength", &ConntrackCpu::chain_toolong},
                              {"chaintoolong", &ConntrackCpu::chain_toolong},
                              {"insert", &ConntrackCpu::insert},
                              {"insert_failed", &ConntrackCpu::insert_failed},
                              {"drop", &ConntrackCpu::drop},
                              {"early_drop", &ConntrackCpu::early_drop},
                              {"icmp_error", &ConntrackCpu::error},
                              {"expect_new", &ConntrackCpu::expect_new},
                              {"expect_create", &ConntrackCpu::expect_create},
                              {"expect_delete", &ConntrackCpu::expect_delete},
                              {"search_restart", &ConntrackCpu::search_restart}};

struct Attribute {
  int type;
  Counter ConntrackCpu::*counter;
};

constexpr Attribute cpu_attributes[] = {{CTA_STATS_SEARCHED, &ConntrackCpu::searched},
                                        {CTA_STATS_FOUND, &ConntrackCpu::found},
                                        {CTA_STATS_NEW, &ConntrackCpu::new_flows},
                                        {CTA_STATS_INVALID, &ConntrackCpu::invalid},
                                        {CTA_STATS_IGNORE, &ConntrackCpu::ignore},
                                        {CTA_STATS_DELETE, &ConntrackCpu::deleted},
                                        {CTA_STATS_DELETE_LIST, &ConntrackCpu::delete_list},
                                        {CTA_STATS_INSERT, &ConntrackCpu::insert},
                                        {CTA_STATS_INSERT_FAILED, &ConntrackCpu::insert_failed},
                                        {CTA_STATS_DROP, &ConntrackCpu::drop},
                                        {CTA_STATS_EARLY_DROP, &ConntrackCpu::early_drop},
                                        {CTA_STATS_ERROR, &ConntrackCpu::error},
                                        {CTA_STATS_SEARCH_RESTART, &ConntrackCpu::search_restart},
                                        {CTA_STATS_CLASH_RESOLVE, &ConntrackCpu::clash_resolve},
                                        {CTA_STATS_CHAIN_TOOLONG, &ConntrackCpu::chain_toolong}};

constexpr Attribute expectation_attributes[] = {
    {CTA_STATS_EXP_NEW, &ConntrackCpu::expect_new},
    {CTA_STATS_EXP_CREATE, &ConntrackCpu::expect_create},
    {CTA_STATS_EXP_DELETE, &ConntrackCpu::expect_delete}};

Error malformed(std::string_view what) {
  return {Errc::malformed, 0, "conntrack: " + std::string(what)};
}

// Hands every attribute to `take`: false where one that it knows has a wrong size.
template <class Take>
Result<Done> parse_numbers(const nlmsghdr& message, nfgenmsg& fixed, Take&& take) {
  if (::mnl_nlmsg_get_payload_len(&message) < sizeof fixed) return malformed("a message too short");
  fixed = *static_cast<const nfgenmsg*>(::mnl_nlmsg_get_payload(&message));
  bool sized = true;
  const bool whole =
      for_each_attribute(::mnl_nlmsg_get_payload_offset(&message, sizeof fixed),
                         ::mnl_nlmsg_get_payload_len(&message) - MNL_ALIGN(sizeof fixed),
                         [&](const nlattr& one) { return sized = take(one); });
  if (!sized) return malformed("a counter of a wrong size");
  if (!whole) return malformed("damaged attributes");
  return Done{};
}

// 32 bits in the network's order.
template <class Number>
bool get_number(const nlattr& attribute, Number& into) {
  std::uint32_t number = 0;
  if (!get_attribute(attribute, number)) return false;
  into = ntohl(number);
  return true;
}

Result<Done> parse_counters(const nlmsghdr& message, std::span<const Attribute> known,
                            ConntrackCpu& cpu) {
  nfgenmsg fixed{};
  auto parsed = parse_numbers(message, fixed, [&](const nlattr& one) {
    const auto found = std::ranges::find(known, type_of(one), &Attribute::type);
    return found == known.end() || get_number(one, cpu.*found->counter);
  });
  cpu.number = ntohs(fixed.res_id);
  return parsed;
}

ConntrackCpu& cpu_of(std::vector<ConntrackCpu>& cpus, unsigned number) {
  const auto known =
      std::find_if(cpus.begin(), cpus.end(), [&](const auto& cpu) { return cpu.number == number; });
  if (known != cpus.end()) return *known;
  cpus.emplace_back().number = number;
  return cpus.back();
}

Result<Done> ask_cpus(Netlink& netfilter, unsigned subsystem, unsigned command,
                      std::vector<ConntrackCpu>& cpus) {
  auto request = conntrack_request(subsystem, command, NLM_F_DUMP);
  const auto parse = subsystem == NFNL_SUBSYS_CTNETLINK ? parse_conntrack_cpu : parse_expectations;
  const auto asked = netfilter.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
    ConntrackCpu seen;
    if (auto parsed = parse(message, seen); !parsed) return parsed;
    return parse(message, cpu_of(cpus, seen.number));
  });
  if (!asked) return conntrack_error(asked.error());
  return Done{};
}

constexpr std::string_view sysctl = "proc/sys/net/netfilter/nf_conntrack_";

Result<std::uint64_t> read_number(KeptFile& file, std::string_view name) {
  const auto text = file.read();
  if (!text) return text.error();
  const auto number = text::to_number<std::uint64_t>(text::trim(*text));
  if (!number) return malformed(std::string(sysctl) + std::string(name) + " is no number");
  return *number;
}

}  // namespace

NetlinkRequest conntrack_request(unsigned subsystem, unsigned command, std::uint16_t flags,
                                 std::uint8_t family) {
  NetlinkRequest request(static_cast<std::uint16_t>(subsystem << 8 | command), flags);
  request.extra_header<nfgenmsg>().nfgen_family = family;
  return request;
}

Error conntrack_error(const Error& error) {
  const bool missing = error.number == EINVAL || error.number == EPROTONOSUPPORT;
  if (missing) return {Errc::absent, error.number, "ctnetlink"};
  if (error.code == Errc::denied) {
    return {Errc::denied, error.number, "conntrack: asking the kernel needs CAP_NET_ADMIN"};
  }
  return {error.code, error.number, "conntrack: " + error.where};
}

ConntrackFiles::ConntrackFiles(const Root& root)
    : count_(root, std::string(sysctl) + "count"),
      max_(root, std::string(sysctl) + "max"),
      buckets_(root, std::string(sysctl) + "buckets"),
      cpus_(root, "proc/thread-self/net/stat/nf_conntrack") {}

Result<ConntrackTable> ConntrackFiles::read_table() {
  const auto count = read_number(count_, "count");
  if (!count) return count.error();
  ConntrackTable table;
  table.count = *count;
  if (const auto max = read_number(max_, "max")) table.max = *max;
  if (const auto buckets = read_number(buckets_, "buckets")) table.buckets = *buckets;
  return table;
}

Result<std::vector<ConntrackCpu>> ConntrackFiles::read_cpus() {
  const auto text = cpus_.read();
  if (!text) return text.error();
  return parse_conntrack_cpus(*text);
}

Result<ConntrackTable> read_conntrack_table(Netlink& netfilter) {
  auto request = conntrack_request(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET_STATS, 0);
  Result<ConntrackTable> table = malformed("no answer");
  const auto asked = netfilter.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
    table = parse_conntrack_table(message);
    return Done{};
  });
  if (!asked) return conntrack_error(asked.error());
  return table;
}

Result<std::vector<ConntrackCpu>> read_conntrack_cpus(Netlink& netfilter) {
  std::vector<ConntrackCpu> cpus;
  auto asked = ask_cpus(netfilter, NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET_STATS_CPU, cpus);
  if (asked) {
    asked = ask_cpus(netfilter, NFNL_SUBSYS_CTNETLINK_EXP, IPCTNL_MSG_EXP_GET_STATS_CPU, cpus);
  }
  if (!asked) return asked.error();
  return cpus;
}

Result<ConntrackTable> parse_conntrack_table(const nlmsghdr& message) {
  ConntrackTable table;
  bool counted = false;
  nfgenmsg fixed{};
  const auto parsed = parse_numbers(message, fixed, [&](const nlattr& one) {
    if (type_of(one) == CTA_STATS_GLOBAL_MAX_ENTRIES) return get_number(one, table.max);
    if (type_of(one) != CTA_STATS_GLOBAL_ENTRIES) return true;
    return counted = get_number(one, table.count);
  });
  if (!parsed) return parsed.error();
  if (!counted) return malformed("the kernel tells no count");
  return table;
}

Result<Done> parse_conntrack_cpu(const nlmsghdr& message, ConntrackCpu& cpu) {
  return parse_counters(message, cpu_attributes, cpu);
}

Result<Done> parse_expectations(const nlmsghdr& message, ConntrackCpu& cpu) {
  return parse_counters(message, expectation_attributes, cpu);
}

Result<std::vector<ConntrackCpu>> parse_conntrack_cpus(std::string_view text) {
  const auto heading = text::next_line(text);
  if (!heading) return malformed("statistics without a heading");
  std::vector<ConntrackCpu> cpus;
  while (auto row = text::next_line(text)) {
    auto names = *heading;
    auto& cpu = cpus.emplace_back();
    cpu.number = static_cast<unsigned>(cpus.size() - 1);
    while (const auto name = text::next_word(names)) {
      const auto digits = text::next_word(*row);
      const auto number = digits ? text::to_number<std::uint32_t>(*digits, 16) : std::nullopt;
      if (!number) return malformed("statistics: no number under \"" + std::string(*name) + '"');
      for (const auto& column : columns) {
        if (column.name == *name) cpu.*column.counter = *number;
      }
    }
    if (text::next_word(*row)) return malformed("statistics: a row longer than its heading");
  }
  return cpus;
}

}  // namespace wgvitals::kernel
