#include "common/kernel/conntrack.h"

#include <gtest/gtest.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/answering_netlink.h"
#include "tests/support/hex.h"
#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using Counter = ConntrackCpu::Counter;
using test::Message;
using test::MessageBuilder;

// What a kernel tells, in the order of the oldest one's columns, then what was added.
std::vector<Counter> numbers(const ConntrackCpu& cpu) {
  return {cpu.searched,      cpu.found,         cpu.new_flows,     cpu.invalid,
          cpu.ignore,        cpu.deleted,       cpu.delete_list,   cpu.insert,
          cpu.insert_failed, cpu.drop,          cpu.early_drop,    cpu.error,
          cpu.expect_new,    cpu.expect_create, cpu.expect_delete, cpu.search_restart,
          cpu.clash_resolve, cpu.chain_toolong};
}
constexpr auto none = std::nullopt;

// tests/fixtures/conntrack: /proc/net/stat/nf_conntrack, ctnetlink's answers in hexadecimal digits
// (a CPU each) and what conntrack(8) said, at the same moment after some traffic with losses, NAT,
// ICMP errors and FTP's expectations. 4.4.0-210 is Ubuntu 16.04's kernel, which has no such file in
// procfs; 5.10.0-32, 6.1.0-56 and 6.12.117 are Debian's.
std::string fixture(const std::string& name) {
  auto text = Root(WGVITALS_SOURCE_DIR).read("tests/fixtures/conntrack/linux-" + name);
  if (!text) throw std::runtime_error(to_text(text.error()));
  return *text;
}

Result<std::vector<ConntrackCpu>> recorded(const std::string& kernel) {
  return parse_conntrack_cpus(fixture(kernel + ".txt"));
}

// `payload`: all behind the header.
Message answer_of(const std::vector<std::uint8_t>& payload) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(sizeof header + payload.size());
  header.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS_CPU;
  Message message(header.nlmsg_len);
  std::memcpy(message.data(), &header, sizeof header);
  std::ranges::copy(std::as_bytes(std::span(payload)), message.begin() + sizeof header);
  return message;
}

std::vector<ConntrackCpu> answered(const std::string& kernel) {
  std::vector<ConntrackCpu> cpus;
  std::istringstream lines(fixture(kernel + ".ctnetlink"));
  for (std::string line; std::getline(lines, line);) {
    const auto message = answer_of(test::from_hex(line));
    EXPECT_TRUE(parse_conntrack_cpu(test::header_of(message), cpus.emplace_back()));
  }
  return cpus;
}

struct Named {
  const char* name;  // conntrack(8)'s
  Counter ConntrackCpu::*counter;
};
constexpr Named by_name[] = {{"searched", &ConntrackCpu::searched},
                             {"found", &ConntrackCpu::found},
                             {"new", &ConntrackCpu::new_flows},
                             {"invalid", &ConntrackCpu::invalid},
                             {"ignore", &ConntrackCpu::ignore},
                             {"delete", &ConntrackCpu::deleted},
                             {"delete_list", &ConntrackCpu::delete_list},
                             {"insert", &ConntrackCpu::insert},
                             {"insert_failed", &ConntrackCpu::insert_failed},
                             {"drop", &ConntrackCpu::drop},
                             {"early_drop", &ConntrackCpu::early_drop},
                             {"error", &ConntrackCpu::error},
                             {"search_restart", &ConntrackCpu::search_restart},
                             {"clash_resolve", &ConntrackCpu::clash_resolve},
                             {"chaintoolong", &ConntrackCpu::chain_toolong}};

// As conntrack(8) says it: "cpu=0 found=2 ..."; what is not told is not there.
std::string said(const ConntrackCpu& cpu) {
  std::string text = "cpu=" + std::to_string(cpu.number);
  for (const auto& [name, counter] : by_name) {
    const auto& value = cpu.*counter;
    if (value) text += std::string(" ") + name + '=' + std::to_string(*value);
  }
  return text;
}

std::vector<std::string> said_by_conntrack(const std::string& kernel) {
  std::vector<std::string> cpus;
  std::istringstream lines(fixture(kernel + ".conntrack-S"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    auto& cpu = cpus.emplace_back();
    for (std::string word; words >> word;) cpu += (cpu.empty() ? "" : " ") + word;
  }
  return cpus;
}

TEST(ParseConntrackCpu, SaysWhatConntrackSays) {
  for (const auto* kernel : {"4.4", "5.10", "6.1", "6.12"}) {
    const auto expected = said_by_conntrack(kernel);
    const auto cpus = answered(kernel);
    ASSERT_TRUE(cpus.size() == 2 && expected.size() == 2) << kernel;
    for (std::size_t n = 0; n < 2; ++n) EXPECT_EQ(said(cpus[n]), expected[n]) << kernel;
  }
}

// The columns say the same, and besides 0 for what the kernel counts no more.
TEST(ParseConntrackCpus, SaysWhatConntrackSays) {
  for (const auto* kernel : {"5.10", "6.1", "6.12"}) {
    const auto expected = answered(kernel);
    const auto cpus = recorded(kernel);
    ASSERT_TRUE(cpus && cpus->size() == expected.size()) << kernel;
    for (std::size_t n = 0; n < expected.size(); ++n) {
      EXPECT_EQ((*cpus)[n].number, expected[n].number);
      for (const auto& [name, counter] : by_name) {
        const auto& told = (*cpus)[n].*counter;
        const auto& wanted = expected[n].*counter;
        if (wanted || !told) {
          EXPECT_EQ(told, wanted) << kernel << ": " << name;
        } else {
          EXPECT_EQ(told, 0u) << kernel << ": " << name;
        }
      }
      EXPECT_FALSE((*cpus)[n].searched) << "its place has another column";
    }
    EXPECT_EQ(cpus->front().expect_new, 1u) << kernel;
    EXPECT_EQ(cpus->front().expect_create, 2u) << kernel;
    EXPECT_EQ(cpus->front().expect_delete, 1u) << kernel;
    EXPECT_EQ(cpus->back().expect_create, 1u) << kernel;
  }
}

// A kernel so old has not been at hand: composed from the format string of Linux 3.16, each column
// of another value.
TEST(ParseConntrackCpus, OfTheOldestColumns) {
  const auto cpus = parse_conntrack_cpus(
      "entries  searched found new invalid ignore delete delete_list insert insert_failed drop "
      "early_drop icmp_error  expect_new expect_create expect_delete search_restart\n"
      "00000021  00000101 00000102 00000103 00000104 00000105 00000106 00000107 00000108 00000109 "
      "0000010a 0000010b 0000010c  0000010d 0000010e 0000010f 00000110\n"
      "00000021  ffffffff 00000202 00000203 00000204 00000205 00000206 00000207 00000208 00000209 "
      "0000020a 0000020b 0000020c  0000020d 0000020e 0000020f 00000210\n");
  ASSERT_TRUE(cpus && cpus->size() == 2);
  std::vector<Counter> expected;
  for (unsigned number = 0x101; number <= 0x110; ++number) expected.emplace_back(number);
  expected.insert(expected.end(), {none, none});
  EXPECT_EQ(numbers((*cpus)[0]), expected);
  EXPECT_EQ((*cpus)[1].searched, 0xffffffffu);
  EXPECT_EQ((*cpus)[1].search_restart, 0x210u);
  EXPECT_EQ((*cpus)[0].number, 0u);
  EXPECT_EQ((*cpus)[1].number, 1u);
}

TEST(ParseConntrackCpus, OfLinux618) {
  const auto cpus = recorded("6.18");
  ASSERT_TRUE(cpus && cpus->size() == 2);
  EXPECT_EQ(numbers((*cpus)[1]), (std::vector<Counter>{none, 0u, 0u, 9u, 0u, 0u, none, 3u, 0u, 0u,
                                                       0u, 0xdu, 0u, 0u, 0u, 0u, 0u, 0u}));
}

TEST(ParseConntrackCpus, GoesByTheNameOfAColumn) {
  const auto cpus = parse_conntrack_cpus("drop unheard_of chainlength\n1 2 a\n");
  ASSERT_TRUE(cpus && cpus->size() == 1);
  EXPECT_EQ(cpus->front().drop, 1u);
  EXPECT_EQ(cpus->front().chain_toolong, 10u);
  EXPECT_FALSE(cpus->front().found);
}

TEST(ParseConntrackCpus, RefusesARowUnlikeItsHeading) {
  for (const auto* text : {"found drop\n1\n", "found drop\n1 2 3\n", "found\nx\n", "found\n-1\n",
                           "found\n100000000\n", ""}) {
    const auto cpus = parse_conntrack_cpus(text);
    ASSERT_FALSE(cpus) << text;
    EXPECT_EQ(cpus.error().code, Errc::malformed) << text;
  }
}

TEST(ConntrackFiles, TellTheTable) {
  test::TempRoot top;
  const Root root = top.root();
  ConntrackFiles files(root);
  EXPECT_EQ(files.read_table().error().code, Errc::absent);
  top.with("proc/sys/net/netfilter/nf_conntrack_count", "512\n");
  auto table = files.read_table();
  ASSERT_TRUE(table);
  EXPECT_EQ(table->count, 512u);
  EXPECT_FALSE(table->max || table->buckets);
  top.with("proc/sys/net/netfilter/nf_conntrack_max", "2048\n")
      .with("proc/sys/net/netfilter/nf_conntrack_buckets", "1024\n");
  table = files.read_table();
  EXPECT_EQ(table->max, 2048u);
  EXPECT_EQ(table->buckets, 1024u);
  top.with("proc/sys/net/netfilter/nf_conntrack_count", "many\n");
  EXPECT_EQ(files.read_table().error().code, Errc::malformed);
}

// An answer of ctnetlink: attributes from `first` on, of these values.
MessageBuilder answer(std::uint16_t cpu) {
  MessageBuilder builder(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS_CPU);
  builder.fixed(nfgenmsg{AF_UNSPEC, NFNETLINK_V0, htons(cpu)});
  return builder;
}
Message stats(std::uint16_t cpu, int first, int last, std::uint32_t value) {
  auto builder = answer(cpu);
  for (int type = first; type <= last; ++type) builder.put(type, htonl(value++));
  return builder.message();
}

TEST(ParseConntrackCpu, TakesEveryCounter) {
  ConntrackCpu cpu;
  const auto message = stats(3, CTA_STATS_SEARCHED, CTA_STATS_CHAIN_TOOLONG + 1, 0x101);
  ASSERT_TRUE(parse_conntrack_cpu(test::header_of(message), cpu));
  EXPECT_EQ(cpu.number, 3u);
  // CTA_STATS_SEARCHED, FOUND, NEW, INVALID, IGNORE, DELETE, DELETE_LIST, INSERT, INSERT_FAILED,
  // DROP, EARLY_DROP, ERROR, SEARCH_RESTART, CLASH_RESOLVE, CHAIN_TOOLONG
  EXPECT_EQ(numbers(cpu), (std::vector<Counter>{0x101u, 0x102u, 0x103u, 0x104u, 0x105u, 0x106u,
                                                0x107u, 0x108u, 0x109u, 0x10au, 0x10bu, 0x10cu,
                                                none, none, none, 0x10du, 0x10eu, 0x10fu}));
  const auto expected = stats(3, CTA_STATS_EXP_NEW, CTA_STATS_EXP_DELETE, 0x201);
  ASSERT_TRUE(parse_expectations(test::header_of(expected), cpu));
  EXPECT_EQ(cpu.expect_new, 0x201u);
  EXPECT_EQ(cpu.expect_create, 0x202u);
  EXPECT_EQ(cpu.expect_delete, 0x203u);
}

TEST(ParseConntrackCpu, PassesOverWhatIsNew) {
  ConntrackCpu cpu;
  const auto message = answer(0)
                           .put(CTA_STATS_CHAIN_TOOLONG + 1, std::uint64_t{1})
                           .put(CTA_STATS_DROP, htonl(7))
                           .message();
  ASSERT_TRUE(parse_conntrack_cpu(test::header_of(message), cpu));
  EXPECT_EQ(cpu.drop, 7u);
  const auto table = answer(0)
                         .put(CTA_STATS_GLOBAL_ENTRIES, htonl(7))
                         .put(CTA_STATS_GLOBAL_MAX_ENTRIES + 1, std::uint64_t{1})
                         .message();
  EXPECT_TRUE(parse_conntrack_table(test::header_of(table)));
}

TEST(ParseConntrackCpu, RefusesDamage) {
  ConntrackCpu cpu;
  const auto wrong_size = answer(0).put(CTA_STATS_DROP, std::uint16_t{1}).message();
  EXPECT_EQ(parse_conntrack_cpu(test::header_of(wrong_size), cpu).error().code, Errc::malformed);
  const auto empty = MessageBuilder(1).message();
  EXPECT_EQ(parse_conntrack_cpu(test::header_of(empty), cpu).error().code, Errc::malformed);
  auto cut = answer(0).put(CTA_STATS_DROP, std::uint32_t{1}).message();
  cut[sizeof(nlmsghdr) + sizeof(nfgenmsg)] = std::byte{3};  // an attribute shorter than its head
  EXPECT_EQ(parse_conntrack_cpu(test::header_of(cut), cpu).error().code, Errc::malformed);
}

TEST(ParseConntrackTable, WantsACount) {
  const auto whole = stats(0, CTA_STATS_GLOBAL_ENTRIES, CTA_STATS_GLOBAL_MAX_ENTRIES, 7);
  const auto table = parse_conntrack_table(test::header_of(whole));
  ASSERT_TRUE(table);
  EXPECT_EQ(table->count, 7u);
  EXPECT_EQ(table->max, 8u);
  const auto wrong_size = answer(0).put(CTA_STATS_GLOBAL_ENTRIES, std::uint16_t{1}).message();
  EXPECT_FALSE(parse_conntrack_table(test::header_of(wrong_size)));
  const auto none_told = answer(0).message();
  EXPECT_FALSE(parse_conntrack_table(test::header_of(none_told)));
}

// A machine may lack a CPU in the middle.
TEST(ReadConntrackCpus, JoinsFlowsAndExpectationsByCpu) {
  test::AnsweringNetlink kernel({test::dump({stats(0, CTA_STATS_FOUND, CTA_STATS_FOUND, 1),
                                             stats(2, CTA_STATS_FOUND, CTA_STATS_FOUND, 2)}),
                                 test::dump({stats(2, CTA_STATS_EXP_NEW, CTA_STATS_EXP_NEW, 4),
                                             stats(0, CTA_STATS_EXP_NEW, CTA_STATS_EXP_NEW, 3)})});
  Netlink netfilter(kernel.opener(), NETLINK_NETFILTER);
  const auto cpus = read_conntrack_cpus(netfilter);
  ASSERT_TRUE(cpus && cpus->size() == 2);
  EXPECT_EQ((*cpus)[0].found, 1u);
  EXPECT_EQ((*cpus)[0].expect_new, 3u);
  EXPECT_EQ((*cpus)[1].number, 2u);
  EXPECT_EQ((*cpus)[1].found, 2u);
  EXPECT_EQ((*cpus)[1].expect_new, 4u);
  EXPECT_EQ(test::header_of(kernel.asked.at(0)).nlmsg_type, 0x104);
  EXPECT_EQ(test::header_of(kernel.asked.at(1)).nlmsg_type, 0x203);
}

TEST(ReadConntrackCpus, NamesTheRightThatIsMissing) {
  test::AnsweringNetlink kernel({test::refusal(EPERM), test::refusal(EINVAL)});
  Netlink netfilter(kernel.opener(), NETLINK_NETFILTER);
  const auto denied = read_conntrack_cpus(netfilter);
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, Errc::denied);
  EXPECT_NE(to_text(denied.error()).find("CAP_NET_ADMIN"), std::string::npos);
  EXPECT_EQ(read_conntrack_cpus(netfilter).error().code, Errc::absent) << "no such subsystem";
}

}  // namespace
}  // namespace wgvitals::kernel
