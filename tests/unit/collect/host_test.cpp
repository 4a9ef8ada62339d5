#include <gmock/gmock.h>
#include <net/if.h>

#include <filesystem>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/keys.h"
#include "tests/support/said.h"
#include "tests/support/temp_root.h"

namespace wgvitals::collect {
extern const Entry host;

namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class HostTest : public testing::Test {
 protected:
  HostTest() {
    top_.with("proc/net/snmp",
              "Ip: ReasmFails FragFails FragCreates\nIp: 1 2 3\n"
              "Tcp: RetransSegs\nTcp: 4\n"
              "Udp: InErrors RcvbufErrors SndbufErrors\nUdp: 5 6 7\n");
    top_.with("proc/net/snmp6",
              "Ip6ReasmFails 10\nIp6FragFails 20\nIp6FragCreates 30\nIcmp6InPktTooBigs 40\n"
              "Udp6InErrors 50\nUdp6RcvbufErrors 60\nUdp6SndbufErrors 70\n");
    top_.with("proc/net/softnet_stat", "1 0000000a 0000000b\n1 00000001 00000002\n");
    top_.with("proc/stat", "cpu 0 0 0 0\ncpu0 100 0 0 100 0 0 0\ncpu1 100 0 0 100 0 0 0\n");
    top_.with("proc/sys/net/core/rmem_max", "212992\n");
    top_.with("proc/sys/net/core/wmem_max", "425984\n");
  }

  void sample() { gathering_.sample(*collector_, report_); }
  std::string gather() { return gathering_.gather(*collector_, report_); }
  void add_throttles(int count) {
    top_.with("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count",
              std::to_string(count) + "\n");
  }

  test::TempRoot top_;
  test::TestServices services_{true, top_.root()};
  std::unique_ptr<Collector> collector_ = host.make(services_.services, test::settings(""));
  test::Gathering gathering_;
  test::KeptReport report_;
};

const char* const protocols =
    "wireguard_host udp_rcvbuf_errors=66 udp_sndbuf_errors=77 udp_in_errors=55 ip_frag_fails=22 "
    "ip_frag_creates=33 ip_reasm_fails=11 icmp6_in_too_big=40 tcp_retrans_segs=4 ";
const char* const machine =
    "softnet_dropped=11 softnet_time_squeezed=13 rmem_max=212992 wmem_max=425984 "
    "clock_synchronised=";

TEST_F(HostTest, TellsWhatTheFilesTell) {
  EXPECT_THAT(gather(), testing::StartsWith(std::string(protocols) + machine));
  // A machine without these files has no complaint.
  EXPECT_THAT(report_.codes, Each(Errc::absent));
}

TEST_F(HostTest, TellsTheBusiestCpuSinceTheLastGather) {
  EXPECT_THAT(gather(), Not(HasSubstr("cpu_")));
  top_.with("proc/stat", "cpu0 100 0 0 200 0 0 0\ncpu1 190 0 0 105 0 0 5\n");
  sample();  // does not end the window
  top_.with("proc/stat", "cpu0 120 0 0 270 0 0 10\ncpu1 190 0 0 205 0 0 5\n");
  EXPECT_THAT(gather(),
              HasSubstr("cpu_max_busy_percent=47.5 cpu_max_softirq_percent=5 cpu_busiest=1"));
  top_.with("proc/stat", "cpu0 220 0 0 270 0 0 10\ncpu1 190 0 0 305 0 0 5\n");
  EXPECT_THAT(gather(),
              HasSubstr("cpu_max_busy_percent=100 cpu_max_softirq_percent=0 cpu_busiest=0"));
}

TEST_F(HostTest, LooksForHeatEveryHalfMinute) {
  add_throttles(5);
  gather();
  EXPECT_THAT(gather(), HasSubstr("core_throttle_count=5"));
  add_throttles(9);
  gathering_.pass(std::chrono::seconds(20));
  gather();
  EXPECT_THAT(gather(), HasSubstr("core_throttle_count=5"));
  gathering_.pass(std::chrono::seconds(11));
  gather();
  EXPECT_THAT(gather(), HasSubstr("core_throttle_count=9"));
}

TEST_F(HostTest, ACpuThatIsPutOffAndOnMakesNoCounterJump) {
  const std::string rest = " 0 0 0 0 0 0 0 0 0 ";
  const auto put_on = [&](const char* second) {
    top_.with("proc/net/softnet_stat", "1 a b" + rest + "0\n" + second);
    top_.with("proc/stat", *second != 0 ? "cpu0 1 0 0 1\ncpu1 1 0 0 1\n" : "cpu0 1 0 0 1\n");
    gathering_.pass(std::chrono::seconds(31));
    gather();
    return gather();
  };
  add_throttles(5);
  const auto two = put_on(("1 64 32" + rest + "1\n").c_str());
  EXPECT_THAT(two, AllOf(HasSubstr("softnet_dropped=110 softnet_time_squeezed=61 "),
                         HasSubstr("core_throttle_count=5")));
  top_.with("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "0\n");
  EXPECT_THAT(put_on(""), AllOf(HasSubstr("softnet_dropped=110 softnet_time_squeezed=61 "),
                                HasSubstr("core_throttle_count=5")));
  add_throttles(6);
  EXPECT_THAT(put_on(("1 65 32" + rest + "1\n").c_str()),
              AllOf(HasSubstr("softnet_dropped=111 softnet_time_squeezed=61 "),
                    HasSubstr("core_throttle_count=6")));
}

TEST_F(HostTest, TellsHowTheUnderlaysInterruptsSpread) {
  auto& link = gathering_.add_device("wg0", 1000).link.emplace();
  link.name = "wg0";
  link.index = 1000;
  gathering_.add_peer(test::key(1)).endpoint = *parse_address("127.0.0.1");  // by lo
  top_.with("sys/devices/card/msi_irqs/5", "msi\n").with("sys/devices/card/msi_irqs/6", "msi\n");
  top_.with("sys/class/net/lo/ifindex", "1\n");
  std::filesystem::create_directory_symlink(services_.root.full_path("sys/devices/card"),
                                            services_.root.full_path("sys/class/net/lo/device"));
  const auto count = [&](const char* five, const char* six) {
    top_.with("sys/kernel/irq/5/per_cpu_count", five).with("sys/kernel/irq/6/per_cpu_count", six);
  };
  count("10,20\n", "30,40\n");
  EXPECT_THAT(gather(), Not(HasSubstr("irq_")));
  EXPECT_THAT(gather(), Not(HasSubstr("irq_")));  // none came
  count("20,20\n", "30,70\n");
  EXPECT_THAT(gather(), HasSubstr("irq_busiest_cpu_percent=75"));
  count("21,20\n", "30,70\n");
  EXPECT_THAT(gather(), HasSubstr("irq_busiest_cpu_percent=100"));
}

TEST_F(HostTest, OneDamagedFileCostsOnlyItsOwn) {
  top_.with("proc/net/softnet_stat", "odd\n");
  EXPECT_THAT(gather(),
              AllOf(HasSubstr(protocols), HasSubstr("rmem_max=212992"), Not(HasSubstr("softnet"))));
  const auto complaints = [&] {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < report_.texts.size(); ++i) {
      if (report_.codes[i] != Errc::absent) texts.push_back(report_.texts[i]);
    }
    return texts;
  };
  EXPECT_THAT(complaints(), ElementsAre(HasSubstr("/proc/net/softnet_stat: ")));
  top_.with("proc/stat", "cpu0 odd\n");
  top_.with("proc/sys/net/core/rmem_max", "much\n");
  EXPECT_THAT(gather(), AllOf(HasSubstr(protocols), Not(HasSubstr("rmem_max")),
                              HasSubstr("wmem_max=425984")));
  EXPECT_THAT(complaints(), ElementsAre(HasSubstr("rmem_max: no number"), HasSubstr("/proc/stat: "),
                                        HasSubstr("softnet")));
}

// Of one family alone, the sums would go back.
TEST_F(HostTest, ADamagedPartLeavesOutTheSums) {
  top_.with("proc/net/snmp6", "Udp6InErrors odd\n");
  EXPECT_THAT(gather(), AllOf(Not(HasSubstr("udp_")), HasSubstr("softnet_dropped=11")));
}

TEST_F(HostTest, WithoutIpv6TheOtherFamilyIsTold) {
  std::filesystem::remove(services_.root.full_path("proc/net/snmp6"));
  EXPECT_THAT(gather(), AllOf(HasSubstr("udp_rcvbuf_errors=6 "), Not(HasSubstr("icmp6"))));
}

}  // namespace
}  // namespace wgvitals::collect
