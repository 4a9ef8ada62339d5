#include "common/trace/crypto_cpu.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <tuple>

#include "common/base/fd.h"
#include "common/trace/crypto_cpu_maps.h"
#include "common/trace/obstacle.h"
#include "tests/support/temp_root.h"

namespace wgvitals::trace {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

work_key key_of(std::uint32_t netns, std::uint32_t index, work_kind kind,
                std::string_view queue = "") {
  work_key key{};
  key.netns = netns;
  key.ifindex = index;
  key.kind = static_cast<__u32>(kind);
  queue.copy(std::begin(key.queue), sizeof key.queue);
  return key;
}

Result<Done> parse(const work_key& key, std::span<const work_time> values,
                   std::vector<CryptoTime>& times) {
  return parse_times(std::as_bytes(std::span(&key, 1)), std::as_bytes(values), times);
}

TEST(ParseTimes, TakesEachCpuThatDidSomething) {
  const work_time values[] = {{0, 0}, {5'000'000'000, 7}, {0, 0}, {11, 0}};
  std::vector<CryptoTime> times;
  ASSERT_TRUE(parse(key_of(4026531840, 12, work_decrypt), values, times));
  ASSERT_THAT(times, SizeIs(2));
  for (const auto& time : times) {
    EXPECT_EQ(time.device, (DeviceIdentity{4026531840, 12}));
    EXPECT_EQ(time.queue, "");
    EXPECT_EQ(time.work, Work::decrypt);
  }
  EXPECT_EQ(std::tuple(times[0].cpu, times[0].ns, times[0].runs), std::tuple(1, 5'000'000'000, 7));
  EXPECT_EQ(std::tuple(times[1].cpu, times[1].ns, times[1].runs), std::tuple(3, 11, 0));
}

TEST(ParseTimes, KnowsEachWork) {
  const std::pair<work_kind, Work> pairs[] = {
      {work_encrypt, Work::encrypt},   {work_decrypt, Work::decrypt},
      {work_transmit, Work::transmit}, {work_handshake, Work::handshake},
      {work_receive, Work::receive},   {work_packets, Work::packets}};
  const work_time values[] = {{1, 1}};
  for (const auto& [kind, work] : pairs) {
    std::vector<CryptoTime> times;
    ASSERT_TRUE(parse(key_of(1, 2, kind), values, times));
    EXPECT_EQ(times.at(0).work, work);
  }
}

TEST(ParseTimes, TakesTheQueueWhereNoDeviceIsKnown) {
  const work_time values[] = {{1, 2}};
  std::vector<CryptoTime> times;
  ASSERT_TRUE(parse(key_of(0, 0, work_packets, "wg-crypt-wg0"), values, times));
  // It may fill all of its room.
  ASSERT_TRUE(
      parse(key_of(0, 0, work_packets, std::string(longest_queue_name, 'q')), values, times));
  EXPECT_EQ(times.at(0).queue, "wg-crypt-wg0");
  EXPECT_EQ(times.at(1).queue, std::string(longest_queue_name, 'q'));
}

TEST(ParseTimes, RefusesWhatIsNone) {
  const work_time values[] = {{1, 2}, {3, 4}};
  const auto bytes = std::as_bytes(std::span(values));
  const auto good = key_of(1, 2, work_encrypt), nobody = key_of(1, 0, work_encrypt),
             unknown = key_of(1, 2, static_cast<work_kind>(6)),
             both = key_of(1, 2, work_encrypt, "wg-crypt-wg0");
  std::vector<CryptoTime> times;
  const auto key = std::as_bytes(std::span(&good, 1));
  EXPECT_FALSE(parse_times(key.first(key.size() - 1), bytes, times));
  EXPECT_FALSE(parse_times(key, bytes.first(bytes.size() - 1), times));
  EXPECT_FALSE(parse(nobody, values, times));
  EXPECT_FALSE(parse(unknown, values, times));
  EXPECT_FALSE(parse(both, values, times));
  EXPECT_THAT(times, IsEmpty());
}

SeenDevice device(std::string name, DeviceIdentity identity) {
  SeenDevice device;
  device.name = std::move(name);
  device.identity = identity;
  return device;
}

TEST(IsOf, GoesByIdentity) {
  CryptoTime time;
  time.device = {7, 3};
  EXPECT_TRUE(is_of(time, device("renamed", {7, 3})));
  EXPECT_FALSE(is_of(time, device("wg0", {7, 4})));
  EXPECT_FALSE(is_of(time, device("wg0", {8, 3})));
  auto userspace = device("wg0", {7, 3});  // an inode of a socket may be the same number
  userspace.userspace = true;
  EXPECT_FALSE(is_of(time, userspace));
}

TEST(IsOf, GoesByTheNameWhereNothingElseIsKnown) {
  CryptoTime time;
  const auto is = [&](const char* queue, const char* name) {
    time.queue = queue;
    return is_of(time, device(name, {7, 3}));
  };
  EXPECT_TRUE(is("wg-crypt-wg0", "wg0"));
  EXPECT_TRUE(is("wg-kex-wg0", "wg0"));
  EXPECT_FALSE(is("wg-crypt-wg0", "wg01"));
  EXPECT_FALSE(is("wg-crypt-wg01", "wg0"));
  EXPECT_FALSE(is("events", "events"));
  EXPECT_FALSE(is("wg-crypt-", "wg0"));
  // Cut to 23 characters by older kernels: a name of 15 has lost its last.
  EXPECT_TRUE(is("wg-crypt-abcdefghijklmn", "abcdefghijklmno"));
  EXPECT_TRUE(is("wg-crypt-abcdefghijklmn", "abcdefghijklmn"));
  EXPECT_FALSE(is("wg-crypt-abcdefghijklmn", "abcdefghijklmx"));
  EXPECT_TRUE(is("wg-kex-abcdefghijklmno", "abcdefghijklmno"));
  EXPECT_FALSE(is("wg-kex-abcdefghijklmn", "abcdefghijklmno"));
}

void drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  ASSERT_EQ(::syscall(SYS_capset, &header, data), 0);
}

std::string obstacle(const test::TempRoot& root) {
  const auto error = find_obstacle(root.root(), "crypto_cpu");
  return error ? error->where : "";
}

TEST(FindObstacle, NamesTypesLockdownAndCapabilities) {
  test::TempRoot root;
  EXPECT_THAT(obstacle(root), HasSubstr("CONFIG_DEBUG_INFO_BTF"));
  EXPECT_EQ(find_obstacle(root.root(), "crypto_cpu")->code, Errc::absent);
  root.with("sys/kernel/btf/vmlinux", "types")
      .with("sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
  EXPECT_THAT(obstacle(root), HasSubstr("locked down"));
  EXPECT_EQ(find_obstacle(root.root(), "crypto_cpu")->code, Errc::denied);
  root.with("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
  // Capabilities are a thread's own, so this spoils nothing for other tests.
  std::thread([&] {
    drop_capabilities();
    EXPECT_THAT(obstacle(root), HasSubstr("CAP_BPF and CAP_PERFMON"));
    EXPECT_EQ(find_obstacle(root.root(), "crypto_cpu")->code, Errc::denied);
  }).join();
}

// --- the programs themselves, on this kernel, which needs no WireGuard for it -------------------

// What may keep them from being tried here: find_obstacle has said it then, and it is what attach
// has to say too.
std::unique_ptr<CryptoCpu> attached() {
  auto cpu = CryptoCpu::attach(Root(), CryptoCpu::Watch::all_workqueues);
  if (cpu) return std::move(*cpu);
#ifdef WGVITALS_EBPF
  const auto known = find_obstacle(Root(), "ebpf");
  EXPECT_TRUE(known) << to_text(cpu.error());
  if (known) {
    EXPECT_EQ(to_text(cpu.error()), to_text(*known));
  }
#else
  EXPECT_THAT(to_text(cpu.error()), HasSubstr("built without eBPF"));
#endif
  return nullptr;
}

// Each write is a work of the kernel, which passes it on from one end of the terminal to the other.
class Terminal {
 public:
  Terminal() : end_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    EXPECT_EQ(::grantpt(end_.get()), 0);
    EXPECT_EQ(::unlockpt(end_.get()), 0);
    char name[64];
    EXPECT_EQ(::ptsname_r(end_.get(), name, sizeof name), 0);
    other_ = Fd(::open(name, O_RDWR | O_NOCTTY));
  }
  void write() const {
    EXPECT_EQ(::write(end_.get(), "\n", 1), 1);
    char byte = 0;
    EXPECT_EQ(::read(other_.get(), &byte, 1), 1);
    char echo[8];
    EXPECT_GT(::read(end_.get(), echo, sizeof echo), 0);
  }

 private:
  Fd end_, other_;
};

struct Sum {
  std::uint64_t ns = 0, runs = 0;
};

Sum sum_of(CryptoCpu& cpu) {
  Sum sum;
  const auto read = cpu.read();
  EXPECT_TRUE(read);
  if (!read) return sum;
  EXPECT_EQ(read->missed, 0u);
  for (const auto& time : read->times) {
    EXPECT_NE(time.queue, "");
    EXPECT_EQ(time.work, Work::packets);
    sum.ns += time.ns;
    sum.runs += time.runs;
  }
  return sum;
}

TEST(CryptoCpu, CountsWhatTheKernelDoes) {
  constexpr int writes = 2000;
  const auto cpu = attached();
  if (!cpu) return;
  const Terminal terminal;
  const auto begun = std::chrono::steady_clock::now();
  const auto before = sum_of(*cpu);
  for (int i = 0; i < writes; ++i) terminal.write();
  const auto after = sum_of(*cpu);
  const auto passed = std::chrono::nanoseconds(std::chrono::steady_clock::now() - begun);
  // A work for each write, though one may do for two; others of the system come to them.
  EXPECT_GE(after.runs - before.runs, writes / 2);
  EXPECT_GT(after.ns, before.ns);
  const auto cpus = static_cast<std::uint64_t>(std::thread::hardware_concurrency());
  EXPECT_LT(after.ns - before.ns, cpus * static_cast<std::uint64_t>(passed.count()));
}

TEST(CryptoCpu, ForgetsWhatIsGone) {
  const auto cpu = attached();
  if (!cpu) return;
  const Terminal terminal;
  for (int i = 0; i < 500; ++i) terminal.write();
  const auto read = cpu->read();
  ASSERT_TRUE(read);
  ASSERT_FALSE(read->times.empty());
  const auto most = std::max_element(read->times.begin(), read->times.end(),
                                     [](const auto& a, const auto& b) { return a.runs < b.runs; });
  cpu->forget(*most);
  const auto later = cpu->read();
  ASSERT_TRUE(later);
  for (const auto& time : later->times) {
    if (time.queue == most->queue && time.cpu == most->cpu) {
      EXPECT_LT(time.runs, most->runs);  // it begins anew
    }
  }
}

TEST(CryptoCpu, IsAttachedAgainAfterItWasDetached) {
  if (!attached()) return;
  const auto again = attached();
  ASSERT_TRUE(again);
  const auto before = sum_of(*again);
  Terminal().write();
  EXPECT_GT(sum_of(*again).runs, before.runs);
}

TEST(CryptoCpuThread, SaysWhatItHasOrWhyNot) {
  CryptoCpuThread thread(start_plain_thread);
  std::optional<Result<CryptoTimes>> read;
  for (int i = 0; i < 60'000 && !read; ++i) {
    read = thread.read(Root());
    std::this_thread::sleep_for(milliseconds(1));
  }
  ASSERT_TRUE(read);
#ifdef WGVITALS_EBPF
  const auto known = find_obstacle(Root(), "ebpf");
  ASSERT_EQ(read->has_value(), !known) << to_text(read->error());
  if (known) {
    EXPECT_EQ(to_text(read->error()), to_text(*known));
  }
#else
  EXPECT_THAT(to_text(read->error()), HasSubstr("built without eBPF"));
#endif
}

TEST(CryptoCpuThread, EndsWhileItAttaches) {
  CryptoCpuThread thread(start_plain_thread);
  (void)thread.read(Root());
}

TEST(CryptoCpuThread, EndsBeforeItBegan) { const CryptoCpuThread thread(start_plain_thread); }

TEST(CryptoCpuThread, KeepsWhyItCannot) {
  const test::TempRoot root;  // without types
  CryptoCpuThread thread(start_plain_thread);
  std::optional<Result<CryptoTimes>> read;
  for (int i = 0; i < 60'000 && !read; ++i) {
    read = thread.read(root.root());
    std::this_thread::sleep_for(milliseconds(1));
  }
  ASSERT_TRUE(read);
  ASSERT_FALSE(*read);
  EXPECT_FALSE(*thread.read(root.root()));
}

}  // namespace
}  // namespace wgvitals::trace
