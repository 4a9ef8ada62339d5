#include <gmock/gmock.h>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/said.h"
#include "tests/support/temp_root.h"

namespace wgvitals::collect {
extern const Entry conntrack;

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The files of a kernel with modules, ctnetlink's not loaded: nothing is asked by netlink, so that
// all comes from them.
class ConntrackTest : public testing::Test {
 protected:
  ConntrackTest() { files_.with("proc/modules", "nf_conntrack 1 0 - Live 0x0\n"); }

  void with_table() {
    files_.with("proc/sys/net/netfilter/nf_conntrack_count", "512\n")
        .with("proc/sys/net/netfilter/nf_conntrack_max", "2048\n")
        .with("proc/sys/net/netfilter/nf_conntrack_buckets", "1024\n");
  }
  void with_statistics(std::string_view text) {
    files_.with("proc/thread-self/net/stat/nf_conntrack", text);
  }
  std::string gather(const std::string& toml = {}) {
    const test::TestServices services(true, files_.root());
    return peers_.gather(*conntrack.make(services.services, test::settings(toml)), report_);
  }

  test::TempRoot files_;
  test::Gathering peers_;
  test::KeptReport report_;
};

constexpr auto table =
    "conntrack ip_conntrack_count=512 ip_conntrack_max=2048 percent_used=25 buckets=1024\n";

TEST_F(ConntrackTest, SaysTheTableAndTheSumOfTheCounters) {
  with_table();
  with_statistics(
      "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop\n"
      "00000200  00000001 00000002 00000000 00000003 00000000 00000000 00000004 00000005 00000006 "
      "00000007\n"
      "00000200  00000010 00000020 00000000 00000030 00000000 00000000 00000040 ffffffff 00000060 "
      "00000070\n");
  EXPECT_EQ(gather(),
            std::string(table) +
                "conntrack,cpu=all entries=512 searched=0 found=34 new=0 invalid=51 ignore=0 "
                "delete=0 delete_list=0 insert=4294967300 insert_failed=102 drop=119 early_drop=0 "
                "icmp_error=0 expect_new=0 expect_create=0 expect_delete=0 search_restart=0 "
                "clash_resolve=17 chain_toolong=68\n");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(ConntrackTest, SaysEachCpuWhereAsked) {
  with_table();
  with_statistics("entries found\n00000200 00000001\n00000200 00000002\n");
  const auto said = gather("conntrack_per_cpu = true");
  EXPECT_THAT(said, HasSubstr("cpu=all entries=512 searched=0 found=3 "));
  EXPECT_THAT(said, HasSubstr("cpu=cpu0 entries=512 searched=0 found=1 "));
  EXPECT_THAT(said, HasSubstr("cpu=cpu1 entries=512 searched=0 found=2 "));
  EXPECT_THAT(said, testing::Not(HasSubstr("clash_resolve")));  // the kernel does not tell it
}

TEST_F(ConntrackTest, SaysNothingWhereConntrackIsNotLoaded) {
  with_statistics("entries found\n00000200 00000001\n");
  EXPECT_EQ(gather("conntrack_flows = true"), "");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(ConntrackTest, SaysTheTableWhereThereAreNoStatistics) {
  with_table();
  EXPECT_EQ(gather(), table);
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(ConntrackTest, ComplainsOfWhatIsDamagedAndSaysTheRest) {
  with_table();
  with_statistics("entries found\n00000200\n");
  EXPECT_EQ(gather(), table);
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("no number under \"found\"")));
}

TEST_F(ConntrackTest, LeavesOutAShareOfNothing) {
  with_table();
  files_.with("proc/sys/net/netfilter/nf_conntrack_max", "0\n");
  EXPECT_EQ(gather(), "conntrack ip_conntrack_count=512 ip_conntrack_max=0 buckets=1024\n");
}

TEST_F(ConntrackTest, LoadsNoModuleForTheFlows) {
  with_table();
  peers_.add_device("wg0", 7).listen_port = 51820;
  EXPECT_EQ(gather("conntrack_flows = true"), table);
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("modprobe nf_conntrack_netlink")));
  peers_.devices.clear();
  report_ = {};
  EXPECT_EQ(gather("conntrack_flows = true"), table);
  EXPECT_THAT(report_.texts, IsEmpty()) << "there is no device whose flows were missed";
}

}  // namespace
}  // namespace wgvitals::collect
