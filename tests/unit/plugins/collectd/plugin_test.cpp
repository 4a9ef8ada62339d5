// wireguard.so as it is shipped, in a program that has the daemon's functions.

#include <dlfcn.h>
#include <gmock/gmock.h>

#include <cerrno>
#include <chrono>

#include "tests/support/collectd_daemon.h"
#include "tests/support/oconfig.h"
#include "tests/support/temp_root.h"
#include "tests/support/uapi_server.h"

namespace wgvitals::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class PluginTest : public testing::Test {
 protected:
  // As the daemon does: all symbols at once, and never closed.
  PluginTest() : library_(::dlopen(WGVITALS_PLUGIN, RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) throw std::runtime_error(::dlerror());
    using Register = void (*)();
    const auto module_register = reinterpret_cast<Register>(::dlsym(library_, "module_register"));
    if (module_register == nullptr) throw std::runtime_error(::dlerror());
    module_register();
  }
  void TearDown() override {
    if (daemon_.shutdown) daemon_.shutdown();
  }

  // A block that keeps it to this test's own devices.
  Block own_block() {
    Block block;
    block.add("UapiDir", {socket("").parent_path().string()}).add("InterfaceInclude", {"/^utun/"});
    block.add("NamesFiles", {socket("none").string()}).add("GatherWait", {20.0});
    return block;
  }
  std::filesystem::path socket(const char* name) const {
    return files_.root().full_path("wireguard") / name;
  }
  static std::string answer() {
    return "listen_port=9\n"
           "public_key=b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33\n"
           "rx_bytes=3\ntx_bytes=4\nerrno=0\n\n";
  }

  TempRoot files_;
  CollectdDaemon& daemon_ = CollectdDaemon::start();
  void* library_;
};

constexpr char safe_key[] = "uFmW_sycfx_G0lcqdu2hHVm80gvo5UOxXOS9hajnWjM";

TEST_F(PluginTest, RegistersItselfAndStartsNothingYet) {
  EXPECT_TRUE(daemon_.config);
  EXPECT_TRUE(daemon_.init);
  EXPECT_TRUE(daemon_.shutdown);
  EXPECT_FALSE(daemon_.read);
  auto block = own_block();
  EXPECT_EQ(daemon_.config(block.item()), 0);
  EXPECT_THAT(daemon_.threads, IsEmpty());  // the daemon has still to fork
}

TEST_F(PluginTest, ShowsNothingElse) {
  EXPECT_EQ(::dlsym(library_, "wgvitals_config"), nullptr);
  EXPECT_EQ(::dlsym(library_, "_ZN8wgvitals7collect6Engine5startEv"), nullptr);
}

TEST_F(PluginTest, DispatchesWhatItGathers) {
  const UapiServer server(socket("utun0.sock"), answers(answer()));
  auto block = own_block();
  ASSERT_EQ(daemon_.config(block.item()), 0);
  ASSERT_EQ(daemon_.init(), 0);
  EXPECT_THAT(daemon_.threads, ElementsAre("wgvitals"));
  ASSERT_TRUE(daemon_.read);
  ASSERT_EQ(daemon_.read(), 0);
  const auto lines = to_lines(daemon_.take_values());
  EXPECT_THAT(lines, AllOf(Contains("wireguard-utun0/if_octets-" + std::string(safe_key) + " 3:4"),
                           Contains("wireguard-utun0/count-peers 1"),
                           Contains("wireguard/bool-success-wireguard 1")));
  EXPECT_THAT(daemon_.take_log(), IsEmpty());
  EXPECT_EQ(daemon_.live_metas, 0);
}

TEST_F(PluginTest, MergesItsBlocks) {
  const UapiServer one(socket("utun0.sock"), answers(answer()));
  const UapiServer two(socket("utun1.sock"), answers(answer()));
  auto first = own_block();
  Block second;
  second.add("PeerInstance", {"raw"})
      .add("Name", {"uFmW/sycfx/G0lcqdu2hHVm80gvo5UOxXOS9hajnWjM=", "laptop"});
  Block third;
  third.add("InterfaceExclude", {"utun1"});
  ASSERT_EQ(daemon_.config(first.item()), 0);
  ASSERT_EQ(daemon_.config(second.item()), 0);
  ASSERT_EQ(daemon_.config(third.item()), 0);
  ASSERT_EQ(daemon_.init(), 0);
  ASSERT_EQ(daemon_.read(), 0);
  const auto lists = daemon_.take_values();
  EXPECT_THAT(to_lines(lists),
              Contains("wireguard-utun0/if_octets-uFmW/sycfx/G0lcqdu2hHVm80gvo5UOxXOS9hajnWjM= "
                       "3:4"));
  EXPECT_THAT(to_lines(lists), Not(Contains(StartsWith("wireguard-utun1"))));
  EXPECT_THAT(lists, Contains(testing::Field(
                         &CollectdDaemon::ValueList::meta,
                         Contains(testing::Pair("wireguard:friendly_name", "laptop")))));
  EXPECT_THAT(daemon_.take_log(), IsEmpty());
}

TEST_F(PluginTest, OnlyWarnsOfBadOptions) {
  auto block = own_block();
  block.add("NoSuchOption", {1.0})
      .add("PeersShown", {7.0})
      .add("AllowedIpsFieldMax", {"many"})
      .add("InterfaceExclude", {"/(/"})
      .add("UapiTimeout", {});
  ASSERT_EQ(daemon_.config(block.item()), 0);
  ASSERT_EQ(daemon_.init(), 0);
  const auto log = daemon_.take_log();
  EXPECT_EQ(log.size(), 5u);
  EXPECT_THAT(log, testing::Each(StartsWith("warning: wireguard plugin: <Plugin wireguard>: ")));
  for (const char* option :
       {"NoSuchOption: unknown", "PeersShown: expected", "AllowedIpsFieldMax: expected",
        "InterfaceExclude: ", "UapiTimeout: unknown block"}) {
    EXPECT_THAT(log, Contains(HasSubstr(option)));
  }
  EXPECT_EQ(daemon_.read(), 0);
}

TEST_F(PluginTest, WorksWithoutAnyConfiguration) {
  ASSERT_EQ(daemon_.init(), 0);
  EXPECT_EQ(daemon_.read(), 0);
}

TEST_F(PluginTest, KeepsWhatRunsAtASecondInit) {
  auto block = own_block();
  ASSERT_EQ(daemon_.config(block.item()), 0);
  ASSERT_EQ(daemon_.init(), 0);
  ASSERT_EQ(daemon_.init(), 0);
  EXPECT_EQ(daemon_.readers, 1);
  EXPECT_EQ(daemon_.threads.size(), 1u);
  EXPECT_EQ(daemon_.read(), 0);
}

TEST_F(PluginTest, SaysNoFailureWhereAGatherIsLate) {
  const UapiServer hung(socket("utun0.sock"), hangs());
  auto block = own_block();
  block.add("GatherWait", {0.1}).add("UapiTimeout", {1.0});
  ASSERT_EQ(daemon_.config(block.item()), 0);
  ASSERT_EQ(daemon_.init(), 0);
  // Whether the first is late is a race of a fifth of the wait; a failure it is in no case.
  for (int i = 0; i < 3; ++i) EXPECT_EQ(daemon_.read(), 0);
}

TEST_F(PluginTest, TellsOfEventsByNotification) {
  UapiServer server(socket("utun0.sock"), answers(answer()));
  auto block = own_block();
  ASSERT_EQ(daemon_.config(block.item()), 0);
  ASSERT_EQ(daemon_.init(), 0);
  ASSERT_EQ(daemon_.read(), 0);
  EXPECT_THAT(daemon_.take_notifications(), IsEmpty());
  server.set_talk(answers("listen_port=9\nerrno=0\n\n"));
  ASSERT_EQ(daemon_.read(), 0);
  const auto said = daemon_.take_notifications();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].severity, 2);
  EXPECT_EQ(said[0].identifier, "wireguard-utun0/gauge-peer_removed-" + std::string(safe_key));
}

TEST_F(PluginTest, StopsWithinASecondAndMayBeginAnew) {
  const UapiServer hung(socket("utun0.sock"), hangs());
  auto block = own_block();
  block.add("GatherWait", {0.1}).add("UapiTimeout", {0.08});
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(daemon_.config(block.item()), 0);
    ASSERT_EQ(daemon_.init(), 0);
    EXPECT_EQ(daemon_.read(), 0);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(daemon_.shutdown(), 0);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  }
}

TEST_F(PluginTest, FailsItsInitWhereThereIsNoThreadAndThrowsNothing) {
  daemon_.thread_failure = EAGAIN;
  EXPECT_NE(daemon_.init(), 0);
  EXPECT_THAT(daemon_.take_log(), ElementsAre(StartsWith("error: wireguard plugin: init: ")));
  EXPECT_EQ(daemon_.shutdown(), 0);
}

TEST_F(PluginTest, ShutsDownWhatNeverBegan) { EXPECT_EQ(daemon_.shutdown(), 0); }

}  // namespace
}  // namespace wgvitals::test
