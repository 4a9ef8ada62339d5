// The stamp collector: what is configured, and what is told of it.

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "common/collect/collector.h"
#include "common/probe/stamp_socket.h"
#include "tests/support/kept_report.h"
#include "tests/support/said.h"
#include "tests/support/services.h"
#include "tests/support/settings.h"

namespace wgvitals::collect {

extern const Entry stamp;

namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class StampTest : public testing::Test {
 protected:
  void TearDown() override {
    collector.reset();
    services.loop.stop();
  }

  void make(const std::string& toml, bool resident = true) {
    services.services.resident = resident;
    collector = stamp.make(services.services, test::settings(toml));
  }
  std::vector<std::string> read() {
    test::KeptReport report;
    collector->read(devices, report);
    return report.texts;
  }
  std::string emit() const {
    test::Said said;
    collector->emit({}, devices, peers, said);
    return said.text();
  }
  template <class Condition>
  static bool wait_for(Condition&& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }
  static std::string free_port() {
    auto local = parse_address("127.0.0.1").value();
    const auto fd = probe::open_stamp_socket(AddressFamily::ipv4, {"", local, 0});
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    EXPECT_EQ(::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&bound), &size), 0);
    return std::to_string(to_endpoint(bound).port);
  }
  static std::string pair(const std::string& port, const std::string& more = "") {
    return "[[inputs.wgvitals.stamp]]\nserver = \"127.0.0.1:" + port +
           "\"\ninterval = \"10ms\"\ntimeout = \"2s\"\n" + more +
           "[[inputs.wgvitals.stamp_reflector]]\nlisten = \"127.0.0.1\"\nport = " + port +
           "\nallow = \"127.0.0.0/8\"\n";
  }

  test::TestServices services;
  std::unique_ptr<Collector> collector;
  Devices devices;
  Peers peers;
};

TEST_F(StampTest, NothingWithoutBlocks) {
  make("");
  EXPECT_EQ(collector, nullptr);
}

TEST_F(StampTest, BothEnds) {
  const auto port = free_port();
  make(pair(port, "labels.site = \"berlin\"\n"));
  EXPECT_EQ(emit(), "");  // nothing is known
  EXPECT_EQ(collector->unsettled(), "1 of 1 servers");
  EXPECT_TRUE(wait_for([&] {
    EXPECT_THAT(read(), IsEmpty());
    return emit().find("ipdv_backward_ms") != std::string::npos &&
           emit().find("duplicates_backward") != std::string::npos;
  }));
  EXPECT_EQ(collector->unsettled(), "");
  EXPECT_THAT(emit(), ContainsRegex("^wireguard_stamp,server=127.0.0.1:" + port +
                                    ",site=berlin sent=[0-9]+ received=[0-9]+ "
                                    "lost_forward_percent=0 lost_backward_percent=0 "
                                    "duplicates_forward=0 duplicates_backward=0 rtt_ms=0\\."));
  collector->told();
  EXPECT_EQ(emit(), "");  // a window is told once
  EXPECT_TRUE(wait_for([&] {
    (void)read();
    return !emit().empty();
  }));
}

TEST_F(StampTest, ALostServer) {
  const auto port = free_port();
  make("[[inputs.wgvitals.stamp]]\nserver = \"127.0.0.1\"\nport = " + port +
       "\ninterval = \"10ms\"\ntimeout = \"20ms\"\ndevice = \"lo\"\n");
  EXPECT_TRUE(wait_for([&] {
    (void)read();
    return !emit().empty();
  }));
  EXPECT_THAT(emit(), ContainsRegex("^wireguard_stamp,server=127.0.0.1,device=lo "
                                    "sent=[1-9][0-9]* received=0\n$"));
}

TEST_F(StampTest, NoReflectorInAOneShotRun) {
  make(pair(free_port()), false);
  EXPECT_TRUE(wait_for([&] {
    (void)read();
    return !emit().empty();
  }));
  EXPECT_THAT(emit(), HasSubstr(" received=0\n"));
}

TEST_F(StampTest, MistakesAreSaidAndTheRestGoesOn) {
  make(R"(
[[inputs.wgvitals.stamp]]
interval = "10ms"
[[inputs.wgvitals.stamp]]
server = ["127.0.0.1:0", "[::1", "fe80::zz", "127.0.0.1", "127.0.0.1", "", ":862"]
labels.device = "x"
[[inputs.wgvitals.stamp]]
server = "127.0.0.2"
source_address = "here"
[[inputs.wgvitals.stamp_reflector]]
listen = "127.0.0.1"
[[inputs.wgvitals.stamp_reflector]]
allow = ["10.0.0.0/33", "10.0.0.0/8"]
[[inputs.wgvitals.stamp_reflector]]
listen = ["0.0.0.0", "::", "wg0"]
allow = "10.0.0.0/8"
)");
  const auto problem = [](const char* text) { return AllOf(HasSubstr("line "), HasSubstr(text)); };
  EXPECT_THAT(
      read(),
      ElementsAre(problem("a stamp block without a server"), problem("'device'"),
                  problem("server: '127.0.0.1:0'"), problem("server: '[::1'"),
                  problem("server: 'fe80::zz'"), problem("server '127.0.0.1' is there already"),
                  problem("server: ''"), problem("server: ':862'"),
                  problem("source_address: 'here' is no address"),
                  problem("without 'allow' answers nobody"), problem("allow: '10.0.0.0/33'"),
                  problem("without 'listen'"), problem("listen: '0.0.0.0'"),
                  problem("listen: '::'"), problem("listen: 'wg0'")));
  EXPECT_EQ(collector->unsettled(), "1 of 1 servers");
}

TEST_F(StampTest, AnAddressWithItsPort) {
  const auto failure_of = [&](const std::string& server) {
    make("[[inputs.wgvitals.stamp]]\nserver = \"" + server + "\"\ndevice = \"nosuchlink0\"\n");
    std::vector<std::string> failures;
    EXPECT_TRUE(wait_for([&] { return !(failures = read()).empty(); }));
    return failures.empty() ? "" : failures.front();
  };
  // It came as far as to a socket.
  for (const auto* server : {"[::1]:862", "[::1]", "::1", "127.0.0.1:862", "localhost:862"}) {
    EXPECT_EQ(failure_of(server), std::string(server) + ": device nosuchlink0: No such device");
  }
}

TEST_F(StampTest, ANameThatIsNone) {
  make("[[inputs.wgvitals.stamp]]\nserver = \"no.such.host.invalid\"\n");
  std::vector<std::string> failures;
  EXPECT_TRUE(wait_for([&] { return !(failures = read()).empty(); }));
  EXPECT_THAT(failures, ElementsAre(StartsWith("no.such.host.invalid: ")));
  EXPECT_EQ(emit(), "");
  EXPECT_EQ(collector->unsettled(), "");  // a result of its own
}

TEST_F(StampTest, AReflectorWhoseAddressIsNotThere) {
  make("[[inputs.wgvitals.stamp_reflector]]\nlisten = \"203.0.113.77\"\nallow = \"10.0.0.1\"\n");
  std::vector<std::string> failures;
  EXPECT_TRUE(wait_for([&] { return !(failures = read()).empty(); }));
  EXPECT_THAT(failures, ElementsAre(HasSubstr("listening on 203.0.113.77:8620")));
}

}  // namespace
}  // namespace wgvitals::collect
