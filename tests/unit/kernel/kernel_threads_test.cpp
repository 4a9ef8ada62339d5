#include "common/kernel/kernel_threads.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <limits>
#include <string>

#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;

constexpr std::uint64_t ms = 1'000'000;
constexpr int kernel_thread = 2129984, other_process = 4194560;  // flags

// Threads of the kernel in a folder: each has a name, a time and a CPU.
class KernelThreadsTest : public testing::Test {
 protected:
  KernelThreadsTest() {
    set(2, "kthreadd", 0);
    top_.with("proc/2/task/2/children", "");
  }

  // A thread that was there before us, unless `young`.
  void set(int id, const std::string& name, std::uint64_t spent_ms, bool young = false,
           unsigned cpu = 0, int flags = kernel_thread) {
    const auto folder = "proc/" + std::to_string(id);
    top_.with(folder + "/stat",
              std::to_string(id) + " (" + name + ") I 2 0 0 0 -1 " + std::to_string(flags) +
                  " 0 0 0 0 0 31 0 0 20 0 1 0 " +
                  (young ? std::to_string(std::numeric_limits<std::int64_t>::max()) : "5") +
                  " 0 0 18446744073709551615 0 0 0 0 0 0 0 2147483647 0 0 0 0 17 " +
                  std::to_string(cpu) + " 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
    top_.with(folder + "/comm", name + "\n");
    top_.with(folder + "/schedstat", std::to_string(spent_ms * ms) + " 7 8\n");
    if (id == 2 || listed_.find(" " + std::to_string(id) + " ") != std::string::npos) return;
    listed_ += std::to_string(id) + " ";
    top_.with("proc/2/task/2/children", listed_.substr(1));
  }
  void end(int id) { std::filesystem::remove_all(root_.full_path("proc/" + std::to_string(id))); }

  void scan(seconds after = seconds(4)) {  // the list is read by then
    now_ += after;
    ASSERT_TRUE(threads_.scan(now_));
  }
  const WorkTimes& all(const std::string& device) const {
    return threads_.work().find(device)->second.all;
  }

  test::TempRoot top_;
  Root root_ = top_.root();
  std::string listed_ = " ";
  KernelThreads threads_{root_, false};
  KernelThreads::Clock::time_point now_{};
};

TEST_F(KernelThreadsTest, CountsForTheLastWork) {
  set(10, "kworker/0:1-wg-crypt-wg0", 500);
  set(11, "kworker/1:1-events", 700);
  set(12, "kworker/u8:1-wg-kex-wg1", 900);
  scan();
  // What was before is not ours to count.
  EXPECT_THAT(threads_.work(), ElementsAre(Key("wg0"), Key("wg1")));
  EXPECT_EQ(all("wg0").crypt_ns, 0u);
  set(10, "kworker/0:1+wg-crypt-wg0", 530);
  set(11, "kworker/1:1-wg-kex-wg0", 704);
  set(12, "kworker/u8:1-events_unbound", 999);  // all its time since goes to its last work
  scan();
  EXPECT_EQ(all("wg0").crypt_ns, 30 * ms);
  EXPECT_EQ(all("wg0").handshake_ns, 4 * ms);
  EXPECT_FALSE(all("wg0").receive_ns);
  EXPECT_EQ(all("wg1").handshake_ns, 0u);
  const auto changes = threads_.changes();
  scan();  // nothing moved
  EXPECT_EQ(all("wg0").crypt_ns, 30 * ms);
  EXPECT_EQ(threads_.changes(), changes);
  set(10, "kworker/0:1-wg-crypt-wg0", 531);
  scan();
  EXPECT_NE(threads_.changes(), changes);
}

TEST_F(KernelThreadsTest, AWorkerThatIsNewBroughtAllItsTime) {
  set(10, "kworker/0:1-wg-crypt-wg0", 500);
  scan();
  set(13, "kworker/0:2-wg-crypt-wg0", 20, true);
  set(14, "kworker/0:3-wg-crypt-wg0", 8000);  // the list missed it: it is older than we are
  scan();
  EXPECT_EQ(all("wg0").crypt_ns, 20 * ms);
  set(14, "kworker/0:3-wg-crypt-wg0", 8001);
  scan();
  EXPECT_EQ(all("wg0").crypt_ns, 21 * ms);
}

// An idle worker of others is left alone for some seconds; what it took meanwhile is not lost.
TEST_F(KernelThreadsTest, LooksSeldomAtIdleWorkersOfOthers) {
  set(10, "kworker/0:1-wg-crypt-wg0", 1);
  set(11, "kworker/0:2-events", 1);
  scan();
  scan();  // both were idle
  set(10, "kworker/0:1-wg-crypt-wg0", 2);
  set(11, "kworker/0:2-wg-crypt-wg0", 21);
  scan(seconds(1));
  EXPECT_EQ(all("wg0").crypt_ns, 1 * ms);
  scan(seconds(3));
  EXPECT_EQ(all("wg0").crypt_ns, 21 * ms);
  set(11, "kworker/0:2-wg-crypt-wg0", 22);  // from now on it is one of ours
  scan(seconds(1));
  EXPECT_EQ(all("wg0").crypt_ns, 22 * ms);
}

TEST_F(KernelThreadsTest, AWorkerThatTheListMissesIsNotNewAgain) {
  set(10, "kworker/0:1-wg-crypt-wg0", 0, true);
  set(11, "kworker/0:2", 0);
  scan();
  set(10, "kworker/0:1-wg-crypt-wg0", 50);
  scan();
  top_.with("proc/2/task/2/children", "11 ");
  scan();
  top_.with("proc/2/task/2/children", "10 11 ");
  scan();
  EXPECT_EQ(all("wg0").crypt_ns, 50 * ms);
}

TEST_F(KernelThreadsTest, NamelessAtFirst) {
  scan();
  set(10, "kthreadd", 0, true);  // was made, and not yet named
  scan();
  set(10, "kworker/0:1-wg-crypt-wg0", 3, true);
  scan();
  EXPECT_EQ(all("wg0").crypt_ns, 3 * ms);
}

TEST_F(KernelThreadsTest, AThreadOfNapiReceives) {
  set(20, "napi/wg0-0", 100);
  set(21, "napi/wg0-0", 200);
  set(22, "napi/eth0-8193", 300);
  scan();
  EXPECT_EQ(all("wg0").receive_ns, 0u);
  set(20, "napi/wg0-0", 101);
  set(21, "napi/wg0-0", 202);
  scan();
  EXPECT_EQ(all("wg0").receive_ns, 3 * ms);
  EXPECT_FALSE(threads_.work().find("eth0")->second.is_wireguards);
  end(20);
  set(21, "napi/wg0-0", 205);
  scan();
  EXPECT_EQ(all("wg0").receive_ns, 6 * ms);
  set(21, "scsi_eh_0", 305);  // another thread of this number
  scan();
  EXPECT_EQ(all("wg0").receive_ns, 6 * ms);
}

// A thread for each peer: a scan looks at some of them, and all come round.
TEST_F(KernelThreadsTest, AThousandThreadsOfNapiTakeTurns) {
  set(10, "kworker/0:1-wg-crypt-wg0", 0);
  for (int id = 1000; id < 2000; ++id) set(id, "napi/wg0-0", 100);
  for (int i = 0; i < 8; ++i) scan();  // meets them
  for (int id = 1000; id < 2000; ++id) {
    top_.with("proc/" + std::to_string(id) + "/schedstat", "101000000 7 8\n");
  }
  set(10, "kworker/0:1-wg-crypt-wg0", 9);
  scan();
  EXPECT_EQ(all("wg0").crypt_ns, 9 * ms);  // a worker waits for no turn
  EXPECT_EQ(all("wg0").receive_ns, 64 * ms);
  for (int i = 0; i < 15; ++i) scan();
  EXPECT_EQ(all("wg0").receive_ns, 1000 * ms);
}

TEST_F(KernelThreadsTest, ManyWorkersTakeTurns) {
  for (int id = 10; id < 310; ++id) set(id, "kworker/0:1-wg-crypt-wg0", 0);
  for (int i = 0; i < 5; ++i) scan();
  for (int id = 10; id < 310; ++id) set(id, "kworker/0:1-wg-crypt-wg0", 1);
  scan();
  EXPECT_EQ(all("wg0").crypt_ns, 256 * ms);
  scan();
  EXPECT_EQ(all("wg0").crypt_ns, 300 * ms);
}

TEST_F(KernelThreadsTest, TellsTheCpusWhereAskedTo) {
  KernelThreads threads(root_, true);
  set(10, "kworker/7:1-wg-crypt-wg0", 0);
  set(12, "kworker/u8:1-wg-kex-wg0", 0, false, 3);
  ASSERT_TRUE(threads.scan(now_));
  set(10, "kworker/7:1-wg-crypt-wg0", 5);
  set(12, "kworker/u8:1-wg-kex-wg0", 6, false, 4);
  ASSERT_TRUE(threads.scan(now_ + seconds(1)));
  const auto& work = threads.work().find("wg0")->second;
  EXPECT_THAT(work.cpus, ElementsAre(Key(4), Key(7)));
  EXPECT_EQ(work.cpus.at(7).crypt_ns, 5 * ms);
  EXPECT_EQ(work.cpus.at(4).handshake_ns, 6 * ms);
}

TEST_F(KernelThreadsTest, DoesWithoutSchedstat) {
  std::filesystem::remove(root_.full_path("proc/2/schedstat"));
  set(10, "kworker/0:1-wg-crypt-wg0", 0);
  scan();
  top_.with(
      "proc/10/stat",
      "10 (kworker/0:1-wg-crypt-wg0) I 2 0 0 0 -1 2129984 0 0 0 0 1 32 0 0 20 0 1 0 5 0 0 0\n");
  scan();
  EXPECT_GT(all("wg0").crypt_ns, 0u);
}

TEST_F(KernelThreadsTest, PassesOverProcessesThatTheKernelStarted) {
  scan();
  set(10, "kworker/0:1-wg-crypt-wg0", 3, true, 0, other_process);
  scan();
  EXPECT_TRUE(threads_.work().empty());
}

TEST_F(KernelThreadsTest, SaysWhereThereIsNothingToSee) {
  set(2, "bash", 0, false, 0, other_process);
  const auto scanned = threads_.scan(now_);
  ASSERT_FALSE(scanned);
  EXPECT_EQ(scanned.error().code, Errc::io);
  EXPECT_THAT(scanned.error().where, HasSubstr("kernel threads cannot be seen from here"));
  set(2, "kthreadd", 0);
  std::filesystem::remove(root_.full_path("proc/2/task/2/children"));
  const auto unlisted = threads_.scan(now_);
  ASSERT_FALSE(unlisted);
  EXPECT_THAT(unlisted.error().where, HasSubstr("CONFIG_PROC_CHILDREN"));
}

// As this machine shows them.
TEST(KernelThreads, ScansThisKernel) {
  const Root root;
  const auto stat = root.read("proc/2/stat");
  const bool seen = stat && stat->find("(kthreadd)") != std::string::npos;
  KernelThreads threads(root, true);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(threads.scan(KernelThreads::Clock::time_point(seconds(i))).has_value(), seen);
  }
}

using Work = std::map<std::string, DeviceWork, std::less<>>;

void add_work(Work& work, const std::string& name) {
  auto& one = work[name];
  one.is_wireguards = true;
  one.id = std::uint64_t{1} << work.size();
}

// The names of each device's work; "" where there is none.
std::vector<std::string> match(std::vector<WorkedFor> devices, const Work& work) {
  std::vector<std::string> names;
  for (const auto& one : match_work(devices, work)) {
    auto& said = names.emplace_back();
    for (const auto& [name, other] : work) {
      if (one && (one->id & other.id) != 0) said += (said.empty() ? "" : " ") + name;
    }
  }
  return names;
}

TEST(MatchWork, GoesByTheName) {
  Work work;
  for (const auto* name : {"wg0", "wg1", "elsewhere"}) add_work(work, name);
  EXPECT_THAT(match({{"wg1", true}, {"wg2", false}, {"wg0", false}}, work),
              ElementsAre("wg1", "", "wg0"));
}

TEST(MatchWork, CannotTellTwoOfOneName) {
  Work work;
  add_work(work, "wg0");
  add_work(work, "wgold");
  EXPECT_THAT(match({{"wg0", true}, {"wg0", true}, {"wg1", true}}, work),
              ElementsAre("", "", "wgold"));
}

// The workqueue's name of the handshakes is shorter, so that more of the device's is left in it.
TEST(MatchWork, PutsLongNamesTogether) {
  const std::string cut = "wg-customer-00", one = cut + "1", two = cut + "2";
  Work work;
  for (const auto& name : {cut, one, two}) add_work(work, name);
  work[cut].all.crypt_ns = 5;
  work[cut].cpus[1].crypt_ns = 5;
  work[one].all.handshake_ns = 6;
  work[one].cpus[1].handshake_ns = 6;
  EXPECT_THAT(match({{one, true}}, {{cut, work[cut]}, {one, work[one]}}),
              ElementsAre(cut + " " + one));
  const WorkedFor alone[] = {{one, true}};
  const auto sum = match_work(alone, {{cut, work[cut]}, {one, work[one]}}).front();
  EXPECT_EQ(sum->all.crypt_ns, 5u);
  EXPECT_EQ(sum->all.handshake_ns, 6u);
  EXPECT_EQ(sum->cpus.at(1).crypt_ns, 5u);
  EXPECT_EQ(sum->cpus.at(1).handshake_ns, 6u);
  EXPECT_THAT(match({{one, true}, {two, true}}, work), ElementsAre("", ""));
}

TEST(MatchWork, FindsTheOneThatWasRenamed) {
  Work work;
  for (const auto* name : {"wg0", "wgtmp"}) add_work(work, name);
  EXPECT_THAT(match({{"wg0", true}, {"wg7", true}}, work), ElementsAre("wg0", "wgtmp"));
  // Idle: perhaps it is another namespace's work.
  EXPECT_THAT(match({{"wg0", true}, {"wg7", false}}, work), ElementsAre("wg0", ""));
  EXPECT_THAT(match({{"wg7", true}, {"wg8", true}}, work), ElementsAre("", ""));
  add_work(work, "wgtmp2");
  EXPECT_THAT(match({{"wg0", true}, {"wg7", true}}, work), ElementsAre("wg0", ""));
  work["wgtmp2"].is_wireguards = false;  // a network card's threads of NAPI
  EXPECT_THAT(match({{"wg0", true}, {"wg7", true}}, work), ElementsAre("wg0", "wgtmp"));
}

TEST(MatchWork, GivesNothingOfADeviceThatIsGone) {
  Work work;
  add_work(work, "wgold");
  const auto begun = work["wgold"].moved + seconds(1);
  EXPECT_THAT(match({{"wg7", true, begun}}, work), ElementsAre(""));
  work["wgold"].moved = begun;
  EXPECT_THAT(match({{"wg7", true, begun}}, work), ElementsAre("wgold"));
}

TEST(MatchWork, KnowsTheKernelsOwnNames) {
  Work work;
  add_work(work, "wireguard%d");
  EXPECT_THAT(match({{"wg0", true}, {"wireguard0", false}}, work), ElementsAre("", "wireguard%d"));
  EXPECT_THAT(match({{"wireguard0", true}, {"wireguard1", true}}, work), ElementsAre("", ""));
  EXPECT_THAT(match({{"wireguardx", true}}, work), ElementsAre(""));
}

}  // namespace
}  // namespace wgvitals::kernel
