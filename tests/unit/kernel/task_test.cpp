#include "common/kernel/task.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <string>

namespace wgvitals::kernel {
namespace {

using Work = WorkLabel::Work;

// wireguard-go on Linux 6.18; the columns behind rss differ, so that a shift is seen.
constexpr char process[] =
    "4170 (wireguard-go) S 4169 4170 4171 0 -1 4194560 2451 0 7 0 118 94 3 4 20 0 9 0 81234 "
    "1272725504 2218 18446744073709551615 1 2 3 4 5 0 6 7 2143420159 0 0 0 17 1 0 0 11 12 13 14 15 "
    "16 18 19 21 22 0\n";

std::uint64_t ticks(std::uint64_t number) {
  return number * (1'000'000'000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
}

TEST(ParseTaskStat, TakesAProcess) {
  const auto stat = parse_task_stat(process);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->name, "wireguard-go");
  EXPECT_EQ(stat->cpu_ns, ticks(118 + 94));  // not what its children took
  EXPECT_EQ(stat->threads, 9);
  EXPECT_EQ(stat->started, 81234u);
  EXPECT_EQ(stat->rss_pages, 2218u);
  EXPECT_EQ(stat->cpu, 1u);
  EXPECT_FALSE(is_kernel_thread(*stat));
}

TEST(ParseTaskStat, TakesAWorkerOfTheKernel) {
  const auto stat = parse_task_stat(
      "57 (kworker/1:2-wg-crypt-wg0) I 2 0 0 0 -1 69238880 0 0 0 0 0 31 0 0 20 0 1 0 4211 0 0 "
      "18446744073709551615 0 0 0 0 0 0 0 2147483647 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->name, "kworker/1:2-wg-crypt-wg0");
  EXPECT_EQ(stat->cpu_ns, ticks(31));
  EXPECT_TRUE(is_kernel_thread(*stat));
}

TEST(ParseTaskStat, TakesNamesWithAnythingInThem) {
  const auto text = std::string("7 (a) b (c\n d)") + std::string(process + 19);
  const auto stat = parse_task_stat(text);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->name, "a) b (c\n d");
  EXPECT_EQ(stat->threads, 9);
}

TEST(ParseTaskStat, RefusesWhatIsDamaged) {
  EXPECT_FALSE(parse_task_stat(""));
  EXPECT_FALSE(parse_task_stat("4170 wireguard-go S"));
  EXPECT_FALSE(parse_task_stat(")4170 (wireguard-go S 1"));
  EXPECT_FALSE(parse_task_stat("4170 (wireguard-go) S 4169 4170 4171 0 -1 4194560 2451"));
  std::string odd = process;
  odd.replace(odd.find(" 118 "), 5, " 1x8 ");
  EXPECT_FALSE(parse_task_stat(odd));
  odd.replace(odd.find(" 1x8 "), 5, " 18446744073709551615 ");
  EXPECT_FALSE(parse_task_stat(odd));
}

TEST(ParseSchedstat, TakesTheTimeOnACpu) {
  const auto time = parse_schedstat("390218812 1702312 208\n");
  ASSERT_TRUE(time);
  EXPECT_EQ(*time, 390218812u);
  for (const auto* odd : {"", "\n", "x 1 2\n", "-1 1 2\n", "99999999999999999999 1 2\n"}) {
    EXPECT_FALSE(parse_schedstat(odd)) << odd;
  }
}

WorkLabel label(Work work, std::string_view device, std::optional<unsigned> cpu = {}) {
  return {work, device, cpu};
}

TEST(ParseWorkLabel, TakesWorkers) {
  EXPECT_EQ(parse_work_label("kworker/1:2-wg-crypt-wg0"), label(Work::crypt, "wg0", 1));
  EXPECT_EQ(parse_work_label("kworker/12:0+wg-crypt-wg-home"), label(Work::crypt, "wg-home", 12));
  EXPECT_EQ(parse_work_label("kworker/0:3-wg-kex-a+b"), label(Work::handshake, "a+b", 0));
  EXPECT_EQ(parse_work_label("kworker/u8:3+wg-kex-wg0"), label(Work::handshake, "wg0"));
  EXPECT_EQ(parse_work_label("kworker/1:2-wg-crypt-wireguard%d"),
            label(Work::crypt, "wireguard%d", 1));
}

TEST(ParseWorkLabel, TakesRescuersThatCanBeTold) {
  EXPECT_EQ(parse_work_label("kworker/R-wg-cr+wg-crypt-wg0"), label(Work::crypt, "wg0"));
  EXPECT_EQ(parse_work_label("wg-crypt-wg0"), label(Work::crypt, "wg0"));
  EXPECT_EQ(parse_work_label("wg-crypt-wghome+wg-crypt-wghome1"), label(Work::crypt, "wghome1"));
  EXPECT_FALSE(parse_work_label("kworker/R-wg-cr"));
  EXPECT_FALSE(parse_work_label("wg-crypt-wghome"));  // perhaps wghome1
}

TEST(ParseWorkLabel, TakesThreadsOfNapi) {
  EXPECT_EQ(parse_work_label("napi/wg0-0"), label(Work::receive, "wg0"));
  EXPECT_EQ(parse_work_label("napi/my-wg-8193"), label(Work::receive, "my-wg"));
  EXPECT_FALSE(parse_work_label("napi/wireguard0"));
  EXPECT_FALSE(parse_work_label("napi/wireguard-"));
  EXPECT_FALSE(parse_work_label("napi/-1"));
}

TEST(ParseWorkLabel, PassesOverOthers) {
  for (const auto* name :
       {"", "kworker", "kworker/", "kworker/1:2", "kworker/1:2-", "kworker/1:2-events",
        "kworker/1:2-wg-crypt-", "kworker/1:2-wg-kex-", "kworker/u8:2-flush-254:0", "wg-quick",
        "kworker/R-xfsalloc", "ksoftirqd/0", "wireguard-go"}) {
    EXPECT_FALSE(parse_work_label(name)) << name;
  }
}

TEST(IsWorker, TellsWhoMayWorkForWireGuard) {
  for (const auto* name : {"kworker/1:2", "kworker/1:2-events", "kworker/u8:0+flush-254:0",
                           "kworker/R-wg-cr", "kworker/0:1-wg-crypt-H"}) {
    EXPECT_TRUE(is_worker(name)) << name;
  }
  for (const auto* name : {"kworker/1:2H", "kworker/1:0H-kblockd", "kworker/u9:0H",
                           "kworker/R-xfsalloc", "ksoftirqd/0", "napi/wg0-1", "kthreadd"}) {
    EXPECT_FALSE(is_worker(name)) << name;
  }
}

TEST(IsNameOf, KnowsThatTheLongestNamesLoseAByte) {
  EXPECT_TRUE(is_name_of("wg0", "wg0"));
  EXPECT_FALSE(is_name_of("wg", "wg0"));
  EXPECT_TRUE(is_name_of("a23456789012345", "a23456789012345"));
  EXPECT_TRUE(is_name_of("a2345678901234", "a23456789012345"));
  EXPECT_TRUE(is_name_of("a2345678901234", "a2345678901234"));
  EXPECT_FALSE(is_name_of("a234567890123", "a23456789012345"));
  EXPECT_FALSE(is_name_of("b2345678901234", "a23456789012345"));
}

}  // namespace
}  // namespace wgvitals::kernel
