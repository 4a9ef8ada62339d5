#include "common/kernel/cpu.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <limits>

#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ParseStat, TakesEachCpu) {
  const auto parsed = parse_stat(
      "cpu  3260430 514755 491670 1467858 6795 0 2719 7844 5 6\n"
      "cpu0 100 20 30 400 5 6 70 8 90 10\n"
      "cpu17 1 2 3 4 5 6 7 8 0 0\n"
      "intr 28133913 0 0 0\n"
      "cpu18 damaged, and never looked at\n");
  ASSERT_TRUE(parsed);
  // What guests took is part of the first two columns.
  EXPECT_THAT(*parsed, ElementsAre(CpuTimes{0, 639, 405, 70}, CpuTimes{17, 36, 9, 7}));
}

TEST(ParseStat, TakesOldKernelsColumns) {
  const auto parsed = parse_stat("cpu 1 2 3 4\ncpu0 1 2 3 4\n");
  ASSERT_TRUE(parsed);
  EXPECT_THAT(*parsed, ElementsAre(CpuTimes{0, 10, 4, 0}));
}

TEST(ParseStat, RefusesWhatIsDamaged) {
  for (const auto* text :
       {"", "intr 1\n", "cpu 1 2 3 4\n", "cpu0 1 2 3\n", "cpu0 1 2 3 x\n", "cpux 1 2 3 4\n"}) {
    EXPECT_FALSE(parse_stat(text)) << text;
  }
}

TEST(DeriveLoad, NamesTheBusiestCpu) {
  const CpuTimes before[] = {{0, 1000, 500, 10}, {1, 1000, 500, 10}, {3, 1000, 500, 10}};
  const CpuTimes now[] = {{0, 1100, 550, 40}, {1, 1100, 520, 20}, {3, 1200, 650, 10}};
  const auto load = derive_load(before, now);
  ASSERT_TRUE(load);
  EXPECT_EQ(load->busiest, 1u);
  EXPECT_DOUBLE_EQ(load->busy_percent, 80);
  EXPECT_DOUBLE_EQ(load->softirq_percent, 30);  // of another CPU
}

TEST(DeriveLoad, PassesOverWhatCannotBeCompared) {
  const CpuTimes before[] = {{0, 1000, 500, 10}, {1, 1000, 500, 10}};
  const CpuTimes later[] = {{0, 900, 400, 10}, {1, 1100, 490, 10}, {2, 5000, 0, 0}};
  // 0 went back, 2 was off: 1 is left, whose idle time went back, as iowait may.
  const auto load = derive_load(before, later);
  ASSERT_TRUE(load);
  EXPECT_EQ(load->busiest, 1u);
  EXPECT_DOUBLE_EQ(load->busy_percent, 100);
  EXPECT_FALSE(derive_load(before, before));  // no time passed
  EXPECT_FALSE(derive_load({}, later));
}

TEST(CoreThrottles, AreTheCpus) {
  test::TempRoot top;
  const CpuTimes cpus[] = {{0, 0, 0, 0}, {1, 0, 0, 0}, {2, 0, 0, 0}};
  EXPECT_EQ(read_core_throttles(top.root(), cpus).error().code, Errc::absent);
  top.with("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "5\n");
  top.with("sys/devices/system/cpu/cpu2/thermal_throttle/core_throttle_count", "37\n");
  EXPECT_THAT(*read_core_throttles(top.root(), cpus),
              ElementsAre(CpuThrottles{0, 5}, CpuThrottles{2, 37}));
  top.with("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "hot\n");
  EXPECT_EQ(read_core_throttles(top.root(), cpus).error().code, Errc::malformed);
}

// As SMT is put off and on.
TEST(CpuSum, KeepsWhatACpuThatIsOffCounted) {
  struct Seen {
    unsigned cpu;
    std::uint32_t count;
  };
  CpuSum<std::uint32_t> sum;
  const auto take = [&](std::vector<Seen> cpus) {
    sum.take(cpus, &Seen::count);
    return sum.sum();
  };
  EXPECT_EQ(take({{0, 10}, {1, 500}}), 510u);
  EXPECT_EQ(take({{0, 11}}), 511u);
  EXPECT_EQ(take({{0, 12}, {1, 503}}), 515u);
  EXPECT_EQ(take({{0, 12}, {1, 503}, {2, 7000}}), 515u) << "counted before it was seen";
  EXPECT_EQ(take({{0, 12}, {1, 503}, {2, 7001}}), 516u);
  EXPECT_EQ(take({{0, 2}}), 516u + 0xffff'fff6ull) << "across 2^32";
}

TEST(PerCpuCount, IsAListOfNumbers) {
  EXPECT_THAT(*parse_per_cpu_count("0,49418\n"), ElementsAre(0u, 49418u));
  EXPECT_THAT(*parse_per_cpu_count("7"), ElementsAre(7u));
  for (const auto* text : {"", "1,", ",1", "1 2", "4294967296", "-1"}) {
    EXPECT_FALSE(parse_per_cpu_count(text)) << text;
  }
}

// A folder of devices as sysfs has it: links of /sys/class/net lead to it.
class FindInterrupts : public testing::Test {
 protected:
  void add_link(const std::string& name, const std::string& device) {
    top_.with("sys/class/net/" + name + "/ifindex", "1\n");
    std::filesystem::create_directory_symlink(top_.root().full_path("sys/devices/" + device),
                                              path(name) / "device");
  }
  void add_lower(const std::string& name, const std::string& lower) {
    top_.with("sys/class/net/" + name + "/ifindex", "1\n");
    std::filesystem::create_directory_symlink(path(lower), path(name) / ("lower_" + lower));
  }
  std::filesystem::path path(const std::string& name) {
    return top_.root().full_path("sys/class/net/" + name);
  }
  std::vector<unsigned> find(const char* link, std::size_t most = 64) {
    return find_interrupts(top_.root(), link, most);
  }

  test::TempRoot top_;
};

TEST_F(FindInterrupts, OfACardWithQueues) {
  top_.with("sys/devices/pci/0000:01:00.0/msi_irqs/126", "msix\n");
  top_.with("sys/devices/pci/0000:01:00.0/msi_irqs/9", "msix\n");
  top_.with("sys/devices/pci/0000:01:00.0/irq", "126\n");
  top_.with("sys/devices/pci/msi_irqs/30", "msi\n");  // the bridge's own
  add_link("eth0", "pci/0000:01:00.0");
  EXPECT_THAT(find("eth0"), ElementsAre(9u, 126u));
  EXPECT_THAT(find("eth0", 1), ElementsAre(9u));
}

TEST_F(FindInterrupts, OfAVirtioCard) {
  top_.with("sys/devices/pci/0000:00:03.0/msi_irqs/37", "msix\n");
  top_.with("sys/devices/pci/0000:00:03.0/irq", "0\n");
  top_.with("sys/devices/pci/0000:00:03.0/virtio2/features", "0\n");
  add_link("eth0", "pci/0000:00:03.0/virtio2");
  EXPECT_THAT(find("eth0"), ElementsAre(37u));
}

TEST_F(FindInterrupts, OfACardWithOneLineIsNotItsBridges) {
  top_.with("sys/devices/pci/0000:01:00.0/irq", "11\n");
  top_.with("sys/devices/pci/0000:01:00.1/irq", "0\n");
  top_.with("sys/devices/pci/msi_irqs/30", "msi\n");
  add_link("eth0", "pci/0000:01:00.0");
  add_link("eth1", "pci/0000:01:00.1");
  EXPECT_THAT(find("eth0"), ElementsAre(11u));
  EXPECT_THAT(find("eth1"), IsEmpty());
}

TEST_F(FindInterrupts, OfTheLinksBelow) {
  top_.with("sys/devices/a/msi_irqs/5", "msi\n");
  top_.with("sys/devices/b/msi_irqs/6", "msi\n");
  add_link("eth0", "a");
  add_link("eth1", "b");
  add_lower("bond0", "eth0");
  add_lower("bond0", "eth1");
  add_lower("bond0.7", "bond0");
  EXPECT_THAT(find("bond0.7"), ElementsAre(5u, 6u));
  add_lower("loop", "loop");  // has an end
  EXPECT_THAT(find("loop"), IsEmpty());
  EXPECT_THAT(find("none"), IsEmpty());
}

TEST(ReadInterrupts, LeavesOutWhatIsGone) {
  test::TempRoot top;
  top.with("sys/kernel/irq/5/per_cpu_count", "1,2\n");
  const unsigned numbers[] = {4, 5};
  const auto seen = read_interrupts(top.root(), numbers);
  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->size(), 1u);
  EXPECT_EQ(seen->front().number, 5u);
  EXPECT_THAT(seen->front().counts, ElementsAre(1u, 2u));
  top.with("sys/kernel/irq/4/per_cpu_count", "odd\n");
  EXPECT_EQ(read_interrupts(top.root(), numbers).error().code, Errc::malformed);
}

TEST(BusiestShare, IsOfAllInterruptsTogether) {
  constexpr auto most = std::numeric_limits<std::uint32_t>::max();
  const std::vector<CountedInterrupt> before = {{5, {10, most}}, {6, {0, 0}}};
  const std::vector<CountedInterrupt> now = {{5, {20, 19}}, {6, {50, 20}}, {7, {900, 0}}};
  // 10 + 50 on the first CPU, 20 (across the end of the count) + 20 on the second; 7 is new.
  EXPECT_DOUBLE_EQ(*derive_busiest_share(before, now), 60);
  EXPECT_FALSE(derive_busiest_share(now, now));
  EXPECT_FALSE(derive_busiest_share({}, now));
}

}  // namespace
}  // namespace wgvitals::kernel
