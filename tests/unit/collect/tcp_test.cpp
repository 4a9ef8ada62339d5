#include <gmock/gmock.h>

#include <thread>

#include "tests/support/kept_report.h"
#include "tests/support/said.h"
#include "tests/support/services.h"
#include "tests/support/settings.h"
#include "tests/support/tcp_server.h"

namespace wgvitals::collect {
extern const Entry tcp;

namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;

class TcpCollectorTest : public testing::Test {
 protected:
  void TearDown() override { services_.loop.stop(); }

  void begin(const std::string& block) {
    settings_ = test::settings("[[inputs.wgvitals.tcp]]\n" + block);
    collector_ = tcp.make(services_.services, *settings_);
  }
  void read() {
    Devices devices;
    report_ = {};
    collector_->read(devices, report_);
  }
  // One gather with all results.
  std::string gather() {
    read();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!collector_->unsettled().empty() && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    read();
    return emit();
  }
  std::string emit() {
    test::Said said;
    collector_->emit(Now(), Devices(), Peers(), said);
    collector_->told();
    return said.text();
  }

  test::TestServices services_;
  std::optional<config::Settings> settings_;
  std::unique_ptr<Collector> collector_;
  test::KeptReport report_;
};

TEST_F(TcpCollectorTest, WithoutBlocksNothingHappens) {
  settings_ = test::settings("");
  EXPECT_EQ(tcp.make(services_.services, *settings_), nullptr);
}

TEST_F(TcpCollectorTest, TellsWhatTelegrafTells) {
  const auto open = test::listen_on_loopback(1000);
  const auto port = std::to_string(test::port_of(open));
  const auto closed = std::to_string(test::closed_port());
  begin("addresses = [\":" + port + "\", \"127.0.0.1:" + closed + "\"]\naddress_family = \"ipv4\"");
  EXPECT_EQ(collector_->unsettled(), "2 of 2 targets");
  EXPECT_THAT(gather(),
              MatchesRegex("net_response,server=localhost,port=" + port +
                           ",protocol=tcp,result=success response_time=[-.e0-9]+ result_code=0 "
                           "result_type=\"?success\"?\n"
                           "net_response,server=127.0.0.1,port=" +
                           closed +
                           ",protocol=tcp,result=connection_failed result_code=2 "
                           "result_type=\"?connection_failed\"?\n"));
  EXPECT_EQ(emit(), "");  // each result is told once
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(TcpCollectorTest, TellsWhetherTheTextWasFound) {
  test::TcpServer server([](Fd socket) { test::say(socket, "220 mail\r\n"); });
  const auto port = std::to_string(server.port());
  begin("address = \"127.0.0.1:" + port + "\"\nexpect = \"^220\"\ndevice = \"lo\"\n" +
        "[[inputs.wgvitals.tcp]]\naddress = \"127.0.0.1:" + port + "\"\nexpect = \"^250\"");
  EXPECT_THAT(gather(),
              AllOf(HasSubstr(",device=lo,result=success "), HasSubstr(" string_found=true"),
                    HasSubstr(",result=string_mismatch response_time="),
                    HasSubstr(" result_code=4 "), HasSubstr(" string_found=false")));
}

TEST_F(TcpCollectorTest, SaysAsLongAsItLastsThatANameFails) {
  begin("address = \"no.such..name:80\"");
  EXPECT_THAT(gather(), HasSubstr("result=connection_failed result_code=2 "));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("no.such..name: ")));
    read();
  }
}

TEST_F(TcpCollectorTest, SaysWhatIsWrongAndProbesTheRest) {
  const auto open = test::listen_on_loopback(1000);
  const auto good = "127.0.0.1:" + std::to_string(test::port_of(open));
  begin("address = [\"example.org\", \"a:0\", \"a:99999\", \"::1:80\", \"" + good + "\", \"" +
        good +
        "\"]\n[[inputs.wgvitals.tcp]]\naddress = \"a:1\"\nexpect = \"(\"\n"
        "[[inputs.wgvitals.tcp]]\naddress = \"a:2\"\nsource_address = \"x\"");
  EXPECT_THAT(gather(), testing::StartsWith("net_response,server=127.0.0.1,"));
  EXPECT_THAT(report_.texts,
              ElementsAre(HasSubstr("\"example.org\" is no host:port"), HasSubstr("\"a:0\""),
                          HasSubstr("\"a:99999\""), HasSubstr("\"::1:80\""),
                          HasSubstr("\"" + good + "\" comes twice"), HasSubstr("expect /(/: "),
                          HasSubstr("source_address: 'x' is no address")));
}

}  // namespace
}  // namespace wgvitals::collect
