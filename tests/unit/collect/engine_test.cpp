#include "common/collect/engine.h"

#include <gmock/gmock.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <thread>

#include "tests/support/kept_log.h"
#include "tests/support/keys.h"
#include "tests/support/said.h"
#include "tests/support/settings.h"
#include "tests/support/temp_root.h"
#include "tests/support/uapi_server.h"

namespace wgvitals::collect {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr seconds long_enough(20);

std::string answer(int port, std::int64_t handshake_s = 0) {
  return "listen_port=" + std::to_string(port) +
         "\npublic_key=b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33\n"
         "last_handshake_time_sec=" +
         std::to_string(handshake_s) + "\nerrno=0\n\n";
}

// Counts what it is given, from any thread.
class TouchedSink final : public Sink {
 public:
  void begin(const Now&) override { ++touches; }
  void take(const Record&) override { ++touches; }
  void take(const Event&) override { ++touches; }
  std::atomic<int> touches = 0;
};

class EngineTest : public testing::Test {
 protected:
  // Devices of the kernel that this host may have are not asked for.
  void begin(const std::string& toml = {}, bool resident = true,
             milliseconds first_window = milliseconds(0)) {
    engine_.emplace(test::settings("interface_include = [\"/^utun/\"]\nuapi_dir = \"/run/wg\"\n"
                                   "gather_wait = \"60s\"\n" +
                                   (toml.find("sample_interval") == std::string::npos
                                        ? "sample_interval = \"0s\"\n" + toml
                                        : toml)),
                    Host{.log = log_,
                         .root = files_.root(),
                         .resident = resident,
                         .first_window = first_window});
    engine_->start();
  }
  std::filesystem::path socket(const char* name) const {
    return files_.root().full_path("run/wg") / name;
  }
  std::string gather() {
    test::Said said;
    EXPECT_TRUE(engine_->gather(said, long_enough));
    return said.text();
  }

  test::TempRoot files_;
  std::shared_ptr<test::KeptLog> log_ = std::make_shared<test::KeptLog>();
  std::optional<Engine> engine_;
};

TEST_F(EngineTest, GathersEverythingThenItself) {
  const test::UapiServer server(socket("utun0.sock"), test::answers(answer(9)));
  files_.with("proc/self/statm", "1000 250 100 1 0 200 0\n");
  begin();
  const auto text = gather();
  EXPECT_THAT(text, AllOf(HasSubstr("wireguard_device,name=utun0,type=userspace listen_port=9 "),
                          HasSubstr("wireguard_peer,device=utun0,public_key="),
                          HasSubstr("wgvitals,collector=peer_names success=1 duration_ns="),
                          HasSubstr("wgvitals,collector=wireguard success=1 duration_ns="),
                          HasSubstr(" records=4 retries=0 errors=0 capped=0\n")));
  EXPECT_THAT(text, HasSubstr("wgvitals,collector=engine memory_bytes=" +
                              std::to_string(250 * ::sysconf(_SC_PAGESIZE)) +
                              " late=0 skipped=0 capped=0\n"
                              "wgvitals,collector=engine version=\""));
  EXPECT_THAT(log_->lines, IsEmpty());
}

TEST_F(EngineTest, ReadsAnewForEveryGather) {
  test::UapiServer server(socket("utun0.sock"), test::answers(answer(1)));
  begin();
  for (int port = 1; port <= 5; ++port) {
    server.set_talk(test::answers(answer(port)));
    EXPECT_THAT(gather(), HasSubstr("listen_port=" + std::to_string(port) + " "));
  }
}

TEST_F(EngineTest, TellsInAOneShotRunNothingThatIsCountedSinceStart) {
  begin({}, false);
  EXPECT_THAT(gather(), AllOf(HasSubstr("wgvitals,collector=engine"), Not(HasSubstr("late=")),
                              Not(HasSubstr("skipped="))));
}

TEST_F(EngineTest, CountsAndLogsFailuresOnceUntilTheyAreOver) {
  test::UapiServer server(socket("utun0.sock"), test::answers("errno=-5\n\n"));
  begin();
  EXPECT_THAT(gather(), HasSubstr("collector=wireguard success=0 "));
  EXPECT_THAT(gather(), HasSubstr(" errors=2 "));
  EXPECT_THAT(log_->lines, testing::ElementsAre(AllOf(testing::StartsWith("warning: wireguard: "),
                                                      HasSubstr("errno=-5"))));
  server.set_talk(test::answers(answer(1)));
  EXPECT_THAT(gather(),
              AllOf(HasSubstr("collector=wireguard success=1 "), HasSubstr(" errors=2 ")));
  EXPECT_THAT(log_->lines, Contains(testing::StartsWith("info: well again: wireguard: ")));
}

TEST_F(EngineTest, CountsWhatTheLimitCutAndWhatWasSkipped) {
  const test::UapiServer server(socket("utun0.sock"), test::answers(answer(1)));
  begin("peers_shown = \"none\"");
  engine_->count_skipped();
  engine_->count_skipped();
  const auto text = gather();
  EXPECT_THAT(text, AllOf(HasSubstr(" records=2 retries=0 errors=0 capped=1\n"),
                          HasSubstr(" skipped=2 "), Not(HasSubstr("wireguard_peer"))));
}

TEST_F(EngineTest, LeavesOutACollectorThatIsSwitchedOff) {
  begin("wireguard = false");
  EXPECT_THAT(gather(),
              AllOf(Not(HasSubstr("collector=wireguard")), HasSubstr("collector=peer_names")));
}

TEST_F(EngineTest, IsLateInsteadOfHoldingTheHost) {
  const test::UapiServer hung(socket("utun0.sock"), test::hangs());
  begin("uapi_timeout = \"1s\"");
  TouchedSink late;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(engine_->gather(late, milliseconds(50)));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(600));
  EXPECT_EQ(late.touches, 2);  // its time, and the one record that it is late
  // The hung socket is left alone now, and nothing of the late pass arrives.
  EXPECT_THAT(gather(), HasSubstr(" late=1 "));
  EXPECT_EQ(late.touches, 2);
}

TEST_F(EngineTest, SaysOfALateGatherOnlyThatItIs) {
  const test::UapiServer hung(socket("utun0.sock"), test::hangs());
  begin("uapi_timeout = \"1s\"");
  for (const char* count : {"1", "2"}) {
    test::Said said;
    EXPECT_FALSE(engine_->gather(said, milliseconds(20)));
    EXPECT_EQ(said.text(), "wgvitals,collector=engine late=" + std::string(count) + "\n");
  }
}

TEST_F(EngineTest, ReadsAnewAfterALateGather) {
  test::UapiServer server(socket("utun0.sock"), test::answers(answer(1)));
  const test::UapiServer hung(socket("utun1.sock"), test::hangs());
  begin("uapi_timeout = \"1s\"");
  test::Said late;
  EXPECT_FALSE(engine_->gather(late, milliseconds(200)));
  server.set_talk(test::answers(answer(2)));  // the late reading has seen 1 by now
  EXPECT_THAT(gather(), HasSubstr("name=utun0,type=userspace listen_port=2 "));
}

TEST_F(EngineTest, StopsWithinItsBoundWhateverItWaitsFor) {
  const test::UapiServer hung(socket("utun0.sock"), test::hangs());
  begin("uapi_timeout = \"1s\"");
  TouchedSink sink;
  EXPECT_FALSE(engine_->gather(sink, milliseconds(50)));
  const auto start = std::chrono::steady_clock::now();
  engine_->stop(milliseconds(100));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(600));
  engine_.reset();
  // The thread that was left behind comes to its end alone.
  std::this_thread::sleep_for(milliseconds(1500));
  EXPECT_EQ(sink.touches, 2);
}

TEST_F(EngineTest, StopsAtOnceWhereItIsIdle) {
  begin("sample_interval = \"1h\"");
  (void)gather();
  const auto start = std::chrono::steady_clock::now();
  engine_->stop(seconds(10));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
  engine_->stop();  // twice does no harm
}

TEST_F(EngineTest, SamplesBetweenGathers) {
  std::atomic<int> asked = 0;
  const test::UapiServer server(socket("utun0.sock"), [&asked](test::UapiServer& self, int client) {
    self.send(client, answer(1, 1795210000 + ++asked));  // a new handshake each time
  });
  begin("sample_interval = \"10ms\"");
  (void)gather();
  const int before = asked;
  for (int i = 0; i < 1000 && asked < before + 5; ++i)
    std::this_thread::sleep_for(milliseconds(10));
  ASSERT_GE(asked, before + 5);
  const auto text = gather();
  const auto at = text.find(" handshakes=");
  ASSERT_NE(at, std::string::npos);
  EXPECT_GE(std::stoi(text.substr(at + 12)), 5);
}

TEST_F(EngineTest, SamplesOnlyWhatHasToBe) {
  std::atomic<int> asked = 0;
  const test::UapiServer server(socket("utun0.sock"), [&asked](test::UapiServer& self, int client) {
    ++asked;
    self.send(client, answer(1));
  });
  files_.with("proc/sys/net/core/rmem_max", "none\n");  // each reading of the host fails
  const auto errors = [](const std::string& text) {
    const auto at = text.find(" errors=", text.find("collector=host"));
    return at == std::string::npos ? -1 : std::stoi(text.substr(at + 8));
  };
  begin("sample_interval = \"10ms\"");
  const auto once = errors(gather());
  ASSERT_GT(once, 0);
  const int before = asked;
  for (int i = 0; i < 1000 && asked < before + 5; ++i)
    std::this_thread::sleep_for(milliseconds(10));
  ASSERT_GE(asked, before + 5);
  EXPECT_EQ(errors(gather()), 2 * once);
  EXPECT_THAT(log_->lines, Not(Contains(HasSubstr("well again"))));
}

constexpr const char* ping_of_loopback =
    "[[inputs.wgvitals.ping]]\nhost = \"127.0.0.1\"\ninterval = \"100ms\"\n";

TEST_F(EngineTest, WaitsForTheFirstWindowsWhereTheHostAsksButOnce) {
  begin(ping_of_loopback, false, long_enough);
  EXPECT_THAT(gather(), HasSubstr("ping,url=127.0.0.1 packets_transmitted="));
  EXPECT_THAT(log_->lines, IsEmpty());
}

TEST_F(EngineTest, ReadsOnceForTheFirstGatherWhereThereIsNobodyToWaitFor) {
  const test::UapiServer server(socket("utun0.sock"), test::answers(answer(1)));
  begin("", true, long_enough);
  EXPECT_THAT(gather(), HasSubstr("listen_port=1 "));
  EXPECT_EQ(server.asked(), 1);
}

TEST_F(EngineTest, NamesWhatHadNoWindowInTime) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"127.0.0.1\"\ncount = 1000\ninterval = \"60s\"\n", true,
        milliseconds(100));
  EXPECT_THAT(gather(), Not(HasSubstr("ping,url")));
  EXPECT_THAT(log_->lines, testing::ElementsAre(
                               "warning: no complete window after 100 ms: ping: 1 of 1 targets"));
}

TEST_F(EngineTest, WaitsForNoWindowElsewhere) {
  begin(ping_of_loopback);
  EXPECT_THAT(gather(), Not(HasSubstr("ping,url")));
  // But the engine pings from now on.
  const auto until = std::chrono::steady_clock::now() + long_enough;
  while (gather().find("ping,url=127.0.0.1 ") == std::string::npos &&
         std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_LT(std::chrono::steady_clock::now(), until);
}

TEST_F(EngineTest, OutlivesASinkThatThrows) {
  class Thrower final : public Sink {
   public:
    void begin(const Now&) override {}
    void take(const Record&) override { throw std::runtime_error("no room"); }
    void take(const Event&) override {}
  };
  begin();
  Thrower thrower;
  EXPECT_TRUE(engine_->gather(thrower, long_enough));
  EXPECT_THAT(gather(), HasSubstr("wgvitals,collector=engine"));
  EXPECT_THAT(log_->lines, Contains("error: engine: no room"));
}

TEST(Engine, SaysThatTheSystemGaveNoThread) {
  const StartThread refuse = [](pthread_t*, void* (*)(void*), void*, const char*) {
    return EAGAIN;
  };
  Engine engine(test::settings(""),
                Host{.log = std::make_shared<test::KeptLog>(), .start_thread = refuse});
  EXPECT_THROW(engine.start(), std::system_error);
}

TEST(Engine, IsLateWhereItWasNeverStarted) {
  Engine engine(test::settings(""), Host{.log = std::make_shared<test::KeptLog>()});
  test::Said said;
  EXPECT_FALSE(engine.gather(said, milliseconds(10)));
  EXPECT_EQ(said.text(), "wgvitals,collector=engine late=1\n");
}

}  // namespace
}  // namespace wgvitals::collect
