#include <gmock/gmock.h>

#include <thread>

#include "tests/support/kept_report.h"
#include "tests/support/said.h"
#include "tests/support/services.h"
#include "tests/support/settings.h"
#include "tests/support/tcp_server.h"

namespace wgvitals::collect {
extern const Entry http;

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

class HttpCollectorTest : public testing::Test {
 protected:
  void TearDown() override { services_.loop.stop(); }

  void begin(const std::string& block) {
    settings_ = test::settings("[[inputs.wgvitals.http]]\n" + block);
    collector_ = http.make(services_.services, *settings_);
  }
  std::string gather() {
    Devices devices;
    collector_->read(devices, report_);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!collector_->unsettled().empty() && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    report_ = {};
    collector_->read(devices, report_);
    test::Said said;
    collector_->emit(Now(), Devices(), Peers(), said);
    collector_->told();
    return said.text();
  }
  std::string url(const std::string& user = "") const {
    return "http://" + user + "127.0.0.1:" + std::to_string(server_.port()) + "/";
  }

  test::TcpServer server_{[](Fd socket) {
    const auto heard = test::hear(socket, "\r\n\r\n");
    if (heard.find("\r\nX-Key: secret\r\n") == std::string::npos) return;
    test::say(socket, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  }};
  test::TestServices services_;
  std::optional<config::Settings> settings_;
  std::unique_ptr<Collector> collector_;
  test::KeptReport report_;
};

TEST_F(HttpCollectorTest, WithoutBlocksNothingHappens) {
  settings_ = test::settings("");
  EXPECT_EQ(http.make(services_.services, *settings_), nullptr);
}

TEST_F(HttpCollectorTest, TellsWhatTelegrafTellsAndNoPassword) {
  const auto closed = "http://127.0.0.1:" + std::to_string(test::closed_port());
  begin("urls = [\"" + url("me:secret@") + "\", \"" + closed +
        "\"]\nheaders.X-Key = \"secret\"\n"
        "response_string_match = \"l+o\"\nresponse_status_code = 200");
  EXPECT_EQ(collector_->unsettled(), "2 of 2 targets");
  const auto text = gather();
  EXPECT_THAT(text,
              MatchesRegex("http_response,server=" + url() +
                           ",method=GET,result=success,status_code=200 response_time=[-.e0-9]+ "
                           "result_code=0 result_type=\"?success\"? http_response_code=200 "
                           "content_length=5 response_string_match=1 response_status_code_match=1 "
                           "connect_ms=[-.e0-9]+ first_byte_ms=[-.e0-9]+\n"
                           "http_response,server=" +
                           closed +
                           ",method=GET,result=connection_failed result_code=3 "
                           "result_type=\"?connection_failed\"?\n"));
  EXPECT_THAT(text, Not(HasSubstr("secret")));
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(HttpCollectorTest, SaysWhatIsWrongAndProbesTheRest) {
  const std::string block = "\n[[inputs.wgvitals.http]]\nurl = \"" + url() + "x\"\n";
  begin("url = [\"ftp://u:secret@a\", \"" + url() + "\", \"" + url("u:secret@") +
        "\"]\nheaders.X-Key = \"secret\"" + block + "method = \"G T\"" + block +
        "response_string_match = \"(\"" + block + "headers.\"a b\" = \"c\"" + block +
        "source_address = \"x\"");
  EXPECT_THAT(gather(), testing::StartsWith("http_response,server=" + url() + ",method=GET,"));
  EXPECT_THAT(report_.texts,
              ElementsAre(HasSubstr("\"a\" does not begin with http:// or https://"),
                          HasSubstr("\"" + url() + "\" comes twice"),
                          HasSubstr("method \"G T\" is none"), HasSubstr("response_string_match"),
                          HasSubstr("header \"a b\""), HasSubstr("source_address: 'x'")));
  for (const auto& error : report_.texts) EXPECT_THAT(error, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace wgvitals::collect
