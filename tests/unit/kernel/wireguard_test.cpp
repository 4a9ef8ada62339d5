#include "common/kernel/wireguard.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "tests/support/kept_report.h"
#include "tests/support/recorded_datagram.h"
#include "tests/support/seen.h"
#include "tests/support/temp_root.h"
#include "tests/support/uapi_server.h"

namespace wgvitals::kernel {
namespace {

using test::Message;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class WireGuardReaderTest : public testing::Test {
 protected:
  WireGuardReaderTest() {
    sources_.uapi_folder = "/run/wireguard";
    // A namespace's identity is its inode, so any file will do.
    files_.with("proc/thread-self/ns/net", "");
  }

  std::string read(WireGuardReader& reader) {
    out_.clear();
    report_ = {};
    reader.read(out_, report_);
    return test::to_words(out_);
  }
  static Message link(const char* name, const char* kind, std::uint32_t index) {
    return test::link_message(test::named_link(name, kind, index));
  }
  std::filesystem::path socket(const char* name) const {
    return files_.root().full_path("run/wireguard") / name;
  }

  test::TempRoot files_;
  Root root_ = files_.root();
  test::RecordedKernel kernel_;
  WireGuardSources sources_;
  Devices out_;
  test::KeptReport report_;
};

TEST_F(WireGuardReaderTest, TellsWhoseThreadsTakeInPackets) {
  files_.with("sys/class/net/wg0/threaded", "1\n").with("sys/class/net/wg0/ifindex", "7\n");
  kernel_.on("links wireguard", test::dump({link("wg0", "wireguard", 7)}))
      .on("family wireguard", test::one(test::family_message(31)))
      .on("device 7 of 31", test::dump({test::device_message(31, {7, "wg0", 1}, {})}));
  WireGuardReader reader(root_, sources_, kernel_.opener());
  read(reader);
  ASSERT_EQ(out_.devices.size(), 1u);
  EXPECT_EQ(out_.devices[0].link->threaded, true);
}

TEST_F(WireGuardReaderTest, ReadsKernelDevicesThenUserspaceOnesWithTheirLinks) {
  const test::UapiServer server(socket("utun0.sock"), test::answers("listen_port=9\nerrno=0\n\n"));
  for (int i = 0; i < 2; ++i) {
    kernel_.on("links wireguard", test::dump({link("wg0", "wireguard", 7)}));
    if (i == 0) kernel_.on("family wireguard", test::one(test::family_message(31)));
    kernel_
        .on("device 7 of 31",
            test::dump({test::device_message(31, {7, "wg0", 1}, {{.key = test::key(1)}})}))
        .on("link utun0", test::one(link("utun0", "tun", 12)));
  }
  WireGuardReader reader(root_, sources_, kernel_.opener());
  const auto* seen =
      "wg0 port 1 mark 0 kernel link 7\n"
      "  key 1:  rx 0 tx 0 handshake never keepalive 0 version 1 []\n"
      "utun0 port 9 mark 0 userspace link 12\n";
  EXPECT_EQ(read(reader), seen);
  EXPECT_EQ(read(reader), seen);  // replaced, not added to
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(WireGuardReaderTest, TakesOnlyATunForAUserspaceLink) {
  const test::UapiServer server(socket("utun0.sock"), test::answers("listen_port=9\nerrno=0\n\n"));
  kernel_.on("links wireguard", test::dump({}))
      .on("link utun0", test::one(link("utun0", "veth", 3)));
  WireGuardReader reader(root_, sources_, kernel_.opener());
  EXPECT_EQ(read(reader), "utun0 port 9 mark 0 userspace\n");
}

TEST_F(WireGuardReaderTest, LeavesTheLinkOutWhereThereIsNone) {
  const test::UapiServer server(socket("utun0.sock"), test::answers("listen_port=9\nerrno=0\n\n"));
  kernel_.on("links wireguard", test::dump({})).on("link utun0", test::refusal(ENODEV));
  WireGuardReader reader(root_, sources_, kernel_.opener());
  EXPECT_EQ(read(reader), "utun0 port 9 mark 0 userspace\n");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(WireGuardReaderTest, ReadsUserspaceDevicesWhereTheKernelFails) {
  const test::UapiServer server(socket("utun0.sock"), test::answers("listen_port=9\nerrno=0\n\n"));
  kernel_.on("links wireguard", test::silence()).on("link utun0", test::refusal(ENODEV));
  WireGuardReader reader(root_, sources_, kernel_.opener());
  EXPECT_THAT(read(reader), testing::StartsWith("utun0 port 9 mark 0 userspace\nunread "));
  EXPECT_EQ(report_.texts.size(), 1u);
}

TEST_F(WireGuardReaderTest, AsksOnlyForSelectedDevicesOfEitherKind) {
  const test::UapiServer server(socket("utun0.sock"), test::answers("listen_port=9\nerrno=0\n\n"));
  kernel_.on("links wireguard", test::dump({link("wg0", "wireguard", 7)}));
  sources_.interfaces = Selection({"wg1"}, {});
  WireGuardReader reader(root_, sources_, kernel_.opener());
  EXPECT_EQ(read(reader), "");
  EXPECT_EQ(server.asked(), 0);
}

TEST_F(WireGuardReaderTest, SaysThatAConfiguredNamespaceIsNotThere) {
  sources_.netns = {"blue"};
  kernel_.on("links wireguard", test::dump({})).on("links wireguard", test::dump({}));
  WireGuardReader reader(root_, sources_, kernel_.opener());
  EXPECT_EQ(read(reader), "");
  EXPECT_THAT(report_.codes, ElementsAre(Errc::io));
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("netns blue: ")));
  read(reader);
  EXPECT_EQ(report_.texts.size(), 1u);
}

TEST_F(WireGuardReaderTest, SaysThatAFileIsNoNamespace) {
  sources_.netns = {"blue"};
  files_.with("run/netns/blue", "");
  kernel_.on("links wireguard", test::dump({}));
  WireGuardReader reader(root_, sources_, kernel_.opener());
  EXPECT_THAT(read(reader), testing::StartsWith("unread "));
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("netns blue: ")));
}

}  // namespace
}  // namespace wgvitals::kernel
