#include "common/kernel/process.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <ctime>
#include <string>
#include <thread>

#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string stat_line(int user, int system, int threads, int started, int pages) {
  return "41 (wireguard-go) S 1 1 1 0 -1 4194560 2451 0 7 0 " + std::to_string(user) + " " +
         std::to_string(system) + " 3 4 20 0 " + std::to_string(threads) + " 0 " +
         std::to_string(started) + " 1272725504 " + std::to_string(pages) +
         " 18446744073709551615 1 2 3 4 5 0 6 7 2143420159 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
}

TEST(ReadProcess, TakesTheProcessAndItsThreads) {
  test::TempRoot top;
  top.with("proc/41/stat", stat_line(118, 94, 2, 81234, 2218));
  top.with("proc/41/task/41/schedstat", "1000000 1 2\n");
  top.with("proc/41/task/43/stat", stat_line(1, 2, 2, 81234, 2218));  // no schedstat
  top.with("proc/41/task/44/comm", "has just ended");
  const auto root = top.root();
  const auto use = read_process(root, 41);
  ASSERT_TRUE(use);
  const auto tick = 1'000'000'000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  EXPECT_EQ(use->cpu_ns, 212 * tick);
  EXPECT_EQ(use->started, 81234u);
  EXPECT_EQ(use->rss_bytes, 2218 * ::sysconf(_SC_PAGESIZE));
  EXPECT_EQ(use->threads, 2);
  EXPECT_THAT(use->thread_times, ElementsAre(ThreadTime{41, 1'000'000}, ThreadTime{43, 3 * tick}));
}

TEST(ReadProcess, LooksAtNoThreadOfTooMany) {
  test::TempRoot top;
  top.with("proc/41/stat", stat_line(1, 1, 513, 1, 1));
  top.with("proc/41/task/41/schedstat", "1000000 1 2\n");
  const auto root = top.root();
  const auto use = read_process(root, 41);
  ASSERT_TRUE(use);
  EXPECT_EQ(use->threads, 513);
  EXPECT_THAT(use->thread_times, IsEmpty());
}

// Passed over once, it would bring all its time the next time.
TEST(ReadProcess, TellsNoThreadsWhereOneCannotBeRead) {
  test::TempRoot top;
  top.with("proc/41/stat", stat_line(118, 94, 2, 81234, 2218));
  top.with("proc/41/task/41/schedstat", "1000000 1 2\n");
  top.with("proc/41/task/43/stat", "odd");
  const auto root = top.root();
  const auto use = read_process(root, 41);
  ASSERT_TRUE(use);
  EXPECT_THAT(use->thread_times, IsEmpty());
}

TEST(ReadProcess, TellsWhatIsAbsentFromWhatIsDamaged) {
  test::TempRoot top;
  top.with("proc/41/stat", "odd");
  const auto root = top.root();
  EXPECT_EQ(read_process(root, 40).error().code, Errc::absent);
  EXPECT_EQ(read_process(root, 41).error().code, Errc::malformed);
  EXPECT_THAT(read_process(root, 41).error().where, testing::EndsWith("no name in parentheses"));
}

TEST(ReadProcess, AgreesWithOurOwnClock) {
  const Root root;
  const auto clock = [] {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(time.tv_nsec);
  };
  const auto begun = clock();
  std::thread([&] {
    while (clock() < begun + 200'000'000) {
    }
  }).join();  // its time stays with the process
  const auto before = clock();
  const auto use = read_process(root, static_cast<std::uint32_t>(::getpid()));
  const auto after = clock();
  ASSERT_TRUE(use);
  const std::uint64_t two_ticks = 20'000'000;
  EXPECT_GE(use->cpu_ns + two_ticks, before);
  EXPECT_LE(use->cpu_ns, after + two_ticks);
  EXPECT_THAT(use->thread_times, testing::Contains(testing::Field(
                                     &ThreadTime::id, static_cast<std::uint32_t>(::getpid()))));
}

TEST(DeriveBusiestThread, ComparesThreadByThread) {
  const ThreadTime before[] = {{1, 100}, {2, 1000}, {3, 50}};
  const ThreadTime now[] = {{1, 130}, {2, 1010}, {3, 40}, {4, 25}};
  EXPECT_EQ(derive_busiest_thread(before, now), 30u);
  const ThreadTime later[] = {{1, 130}, {2, 1010}, {4, 45}};  // 4 is new: all of its time
  EXPECT_EQ(derive_busiest_thread(before, later), 45u);
  EXPECT_EQ(derive_busiest_thread(before, before), 0u);
  EXPECT_FALSE(derive_busiest_thread({}, now));
  EXPECT_FALSE(derive_busiest_thread(before, {}));
}

}  // namespace
}  // namespace wgvitals::kernel
