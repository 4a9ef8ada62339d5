#include <gmock/gmock.h>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/said.h"
#include "tests/support/temp_root.h"

namespace wgvitals::collect {
extern const Entry transport;

namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const std::string names =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode ref pointer drops\n";

// A line of /proc/net/udp or udp6.
std::string line(const char* port, const char* queues, int drops) {
  return std::string(" 7: 00000000:") + port + " 00000000:0000 07 " + queues +
         " 00:00000000 00000000     0        0 1 2 0000000000000000 " + std::to_string(drops) +
         "\n";
}

// A host whose udp_diag is a module that is not loaded: its files tell.
class TransportTest : public testing::Test {
 protected:
  TransportTest() { top_.with("proc/modules", "").with("proc/net/udp", names); }

  void add_device(const char* name, std::uint16_t port, const char* netns = "") {
    auto& device = gathering_.add_device(name, ++index_);
    device.listen_port = port;
    device.netns = netns;
  }
  std::string gather() { return gathering_.gather(*collector_, report_); }

  test::TempRoot top_;
  test::TestServices services_{true, top_.root()};
  std::unique_ptr<Collector> collector_ = transport.make(services_.services, test::settings(""));
  test::Gathering gathering_;
  test::KeptReport report_;
  std::uint32_t index_ = 0;
};

TEST_F(TransportTest, AddsUpBothFamiliesOfEachDevice) {
  top_.with("proc/net/udp", names + line("CA6C", "00000001:00000010", 3) +
                                line("0035", "00000100:00000100", 99) +
                                line("CA6D", "00000002:00000020", 4));
  top_.with("proc/net/udp6", names + line("CA6C", "00000004:00000040", 5));
  add_device("wg0", 51820);
  add_device("wg1", 51821);
  add_device("wg2", 51822);  // down: has no socket
  add_device("wg3", 0);
  EXPECT_EQ(gather(),
            "wireguard_transport,device=wg0 socket_rx_queue_bytes=80 socket_tx_queue_bytes=5 "
            "socket_drops=8\n"
            "wireguard_transport,device=wg1 socket_rx_queue_bytes=32 socket_tx_queue_bytes=2 "
            "socket_drops=4\n");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(TransportTest, ReadsNothingWithoutADevice) {
  top_.with("proc/net/udp", "odd");
  EXPECT_EQ(gather(), "");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(TransportTest, SaysWhatIsDamagedAndForgetsTheLastReading) {
  top_.with("proc/net/udp", names + line("CA6C", "00000001:00000010", 3));
  add_device("wg0", 51820);
  EXPECT_THAT(gather(), HasSubstr("socket_drops=3"));
  top_.with("proc/net/udp", "odd\n");
  EXPECT_EQ(gather(), "");
  ASSERT_EQ(report_.texts.size(), 1u);
  EXPECT_THAT(report_.texts[0], HasSubstr("UDP sockets: /proc/net/udp: its first line"));
  EXPECT_EQ(report_.codes[0], Errc::malformed);
}

TEST_F(TransportTest, ADeviceOfAnotherNamespaceMayHaveItsSocketHere) {
  top_.with("proc/net/udp", names + line("CA6C", "00000001:00000010", 3));
  add_device("wg0", 51820, "blue");
  EXPECT_EQ(gather(),
            "wireguard_transport,device=wg0,netns=blue socket_rx_queue_bytes=16 "
            "socket_tx_queue_bytes=1 socket_drops=3\n");
  EXPECT_THAT(report_.codes, testing::ElementsAre(Errc::absent));  // there is no such name
}

TEST_F(TransportTest, ADeviceOfAnotherNamespaceHasNotTheSocketOfOneOfOurs) {
  top_.with("proc/net/udp", names + line("CA6C", "00000001:00000010", 3));
  add_device("wg0", 51820, "blue");  // down: has no socket
  add_device("wg1", 51820);
  EXPECT_EQ(gather(),
            "wireguard_transport,device=wg1 socket_rx_queue_bytes=16 socket_tx_queue_bytes=1 "
            "socket_drops=3\n");
}

}  // namespace
}  // namespace wgvitals::collect
