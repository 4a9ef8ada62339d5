#include "common/probe/http.h"

#include <gmock/gmock.h>

#include <mutex>
#include <thread>

#include "tests/support/kept_log.h"
#include "tests/support/tcp_server.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::closed_port;
using test::TcpServer;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using Kind = HttpOutcome::Kind;

TEST(UrlTest, TakesAUrlApart) {
  struct Case {
    const char *text, *host;
    int port;
    const char* shown;
  };
  for (const auto& [text, host, port, shown] : {
           Case{"http://example.org", "example.org", 80, "http://example.org"},
           Case{"HTTPS://example.org/a?b@c#d", "example.org", 443, "HTTPS://example.org/a?b@c#d"},
           Case{"http://u:p@example.org:8080/x", "example.org", 8080, "http://example.org:8080/x"},
           Case{"http://u:p@q@example.org?x", "example.org", 80, "http://example.org?x"},
           Case{"https://[2001:db8::1]/", "2001:db8::1", 443, "https://[2001:db8::1]/"},
           Case{"http://[fe80::1%25eth0]:81", "fe80::1%eth0", 81, "http://[fe80::1%25eth0]:81"},
       }) {
    const auto url = parse_url(text);
    ASSERT_TRUE(url) << text << ": " << to_text(url.error());
    EXPECT_EQ(url->host, host) << text;
    EXPECT_EQ(url->port, port) << text;
    EXPECT_EQ(url->shown, shown) << text;
  }
}

TEST(UrlTest, RefusesWhatIsNoUrlAndNeverShowsAPassword) {
  for (const auto* text :
       {"", "example.org", "ftp://u:secret@example.org", "http://", "http://u:secret@",
        "http://:80", "http://u:secret@a:0", "http://a:65536", "http://a:b", "http://[::1",
        "http://[::1]x", "http://[]", "http://u:secret@a b", "http://a\r\nHost: b", "http://a\\b",
        "file:///etc/x", "http://[", "://a"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_THAT(to_text(url.error()), Not(HasSubstr("secret")));
  }
}

TEST(ExpiryTest, ReadsBothSpellings) {
  EXPECT_EQ(parse_expiry("Nov 21 16:14:26 2027 GMT"), 1'826'813'666);
  EXPECT_EQ(parse_expiry("Jan  1 00:00:00 1970 GMT"), 0);
  EXPECT_EQ(parse_expiry("2027-11-21 16:14:26 GMT"), 1'826'813'666);
  for (const auto* text : {"", "Nov", "Nov 21", "Nov 31 16:14:26 2027 GMT",
                           "2027-13-01 00:00:00 GMT", "Foo 21 16:14:26 2027 GMT",
                           "Nov 21 24:14:26 2027 GMT", "99999999999999999999-11-21 16:14:26"}) {
    EXPECT_FALSE(parse_expiry(text)) << text;
  }
}

class HttpTest : public testing::Test {
 protected:
  void TearDown() override {
    probes_.reset();
    loop_.stop();
  }

  Result<std::vector<Endpoint>> look_up(const std::string& host) {
    if (host == "two.example") {
      return std::vector{*parse_address("::1"), *parse_address("127.0.0.1")};
    }
    if (host.ends_with("web.example")) return std::vector{*parse_address("127.0.0.1")};
    if (host == "hung.example") {
      while (!ended_) std::this_thread::sleep_for(milliseconds(1));
    }
    return Error{Errc::absent, 0, host + ": no such host"};
  }

  // What the server hears, and what it says to it.
  void talk(Fd socket) {
    auto heard = test::hear(socket, "\r\n\r\n");
    if (heard.find("Content-Length: 4\r\n") != std::string::npos)
      heard += test::hear(socket, "ping");
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(heard);
    }
    const auto says = [&](const char* path, const std::string& answer) {
      if (heard.find(std::string(" ") + path + " HTTP/1.1\r\n") != std::string::npos) {
        test::say(socket, answer);
      }
    };
    const std::string port = std::to_string(server_.port());
    says("/", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    says("/none", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    says("/go", "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 2\r\n\r\nno");
    says("/away", "HTTP/1.1 307 Away\r\nLocation: http://other.web.example:" + port +
                      "/\r\nContent-Length: 0\r\n\r\n");
    says("/lost",
         "HTTP/1.1 302 Found\r\nLocation: http://none.example/\r\nContent-Length: 0\r\n\r\n");
    says("/file",
         "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
    says("/round", "HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n");
    says("/half", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
    says("/chunks",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n"
         "X-Trailer: y\r\n\r\n");
    says("/nul", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + std::string("a\0hell", 6));
    says("/odd", "not http at all\r\n\r\n");
  }

  std::string url(const std::string& path, const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(server_.port()) + path;
  }
  HttpTarget target(const std::string& to) {
    HttpTarget target;
    target.url = to;
    target.pace.interval = milliseconds(50);
    target.timeout = seconds(20);
    return target;
  }
  HttpTarget following(const std::string& to) {
    auto follower = target(to);
    follower.follow_redirects = true;
    return follower;
  }
  HttpTarget expecting(const std::string& to, const std::string& text, long status = 0) {
    auto wanting = target(to);
    if (!text.empty()) wanting.expect = *Pattern::parse("/" + text + "/");
    wanting.expect_status = status;
    return wanting;
  }

  void begin(std::vector<HttpTarget> targets) {
    outcomes_.resize(targets.size());
    probes_.emplace(loop_, resolver_, std::move(targets), 0.0);
    const auto begun = probes_->begin();
    ASSERT_TRUE(begun) << to_text(begun.error());
  }
  void await(std::size_t count) {
    for (auto& outcome : outcomes_) outcome.reset();
    const auto until = Clock::now() + seconds(20);
    const auto all = [&] {
      for (std::size_t i = 0; i < count; ++i) {
        if (!outcomes_[i]) return false;
      }
      return true;
    };
    while (!all()) {
      ASSERT_LT(Clock::now(), until) << "not all have an outcome";
      std::this_thread::sleep_for(milliseconds(2));
      probes_->take(outcomes_);
      for (const auto& error : probes_->wrong()) errors_.push_back(to_text(error));
    }
  }
  const HttpOutcome& probe(const HttpTarget& one) {
    begin({one});
    await(1);
    return *outcomes_[0];
  }
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  std::mutex mutex_;
  std::vector<std::string> requests_;
  TcpServer server_{[this](Fd socket) { talk(std::move(socket)); }};
  std::atomic<bool> ended_ = false;
  struct End {
    std::atomic<bool>& ended;
    ~End() { ended = true; }
  };
  std::shared_ptr<test::KeptLog> log_ = std::make_shared<test::KeptLog>();
  Resolver resolver_{start_plain_thread,
                     [this](const std::string& host, AddressFamily) { return look_up(host); },
                     Resolver::Habits()};
  End end_{ended_};  // before the resolver
  Loop loop_{start_plain_thread, log_};
  std::optional<HttpProbes> probes_;
  HttpProbes::Outcomes outcomes_;
  std::vector<std::string> errors_;
};

TEST_F(HttpTest, TellsWhatAWebServerSays) {
  const auto& outcome = probe(target(url("/")));
  EXPECT_EQ(outcome.kind, Kind::success);
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.body_bytes, 5);
  EXPECT_GT(outcome.took.count(), 0);
  EXPECT_GT(outcome.connect_ms.value(), 0);
  EXPECT_GE(outcome.first_byte_ms.value(), outcome.connect_ms.value());
  EXPECT_FALSE(outcome.tls_ms);
  EXPECT_FALSE(outcome.certificate_expiry_s);
  EXPECT_FALSE(outcome.string_match);
  EXPECT_FALSE(outcome.status_match);
  EXPECT_THAT(requests().front(),
              AllOf(StartsWith("GET / HTTP/1.1\r\n"), HasSubstr("\r\nUser-Agent: wgvitals\r\n")));
  EXPECT_THAT(errors_, IsEmpty());
}

TEST_F(HttpTest, ConnectsAnewForEachProbe) {
  begin({target(url("/"))});
  for (int i = 0; i < 3; ++i) await(1);
  EXPECT_GE(server_.connections(), 3);
}

TEST_F(HttpTest, ComparesStatusAndText) {
  begin({expecting(url("/"), "^hel+o$"), expecting(url("/"), "bye"), expecting(url("/"), "", 200),
         expecting(url("/none"), "", 200), expecting(url("/none"), "x", 404),
         expecting(url("/none"), "x", 200), target(url("/none")),
         expecting(url("/chunks"), "hello"), expecting(url("/nul"), "hell$")});
  await(9);
  const auto is = [&](std::size_t number, Kind kind, std::optional<bool> text,
                      std::optional<bool> status) {
    EXPECT_EQ(outcomes_[number]->kind, kind) << number;
    EXPECT_EQ(outcomes_[number]->string_match, text) << number;
    EXPECT_EQ(outcomes_[number]->status_match, status) << number;
  };
  is(0, Kind::success, true, {});
  is(1, Kind::string_mismatch, false, {});
  is(2, Kind::success, {}, true);
  is(3, Kind::status_mismatch, {}, false);
  is(4, Kind::string_mismatch, false, true);
  is(5, Kind::status_mismatch, false, false);
  is(6, Kind::success, {}, {});
  is(7, Kind::success, true, {});
  is(8, Kind::success, true, {});
  EXPECT_EQ(outcomes_[6]->status, 404);
  EXPECT_EQ(outcomes_[7]->body_bytes, 5);
}

TEST_F(HttpTest, AnAnswerThatBreaksOffIsToldAsFarAsItWent) {
  const auto& outcome = probe(expecting(url("/half"), "hello"));
  EXPECT_EQ(outcome.kind, Kind::body_read_error);
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.body_bytes, 5);
  EXPECT_EQ(outcome.string_match, false);
}

TEST_F(HttpTest, WhatIsNoHttpIsAFailedConnection) {
  EXPECT_EQ(probe(target(url("/odd"))).kind, Kind::connection_failed);
}

TEST_F(HttpTest, SendsMethodBodyAndHeaders) {
  auto post = target(url("/", "u:p@127.0.0.1"));
  post.method = "POST";
  post.body = "ping";
  post.headers = {"X-One: 1", "Host: web"};
  EXPECT_EQ(probe(post).kind, Kind::success);
  EXPECT_THAT(requests().front(),
              AllOf(StartsWith("POST / HTTP/1.1\r\n"), testing::EndsWith("\r\n\r\nping"),
                    HasSubstr("\r\nX-One: 1\r\n"), HasSubstr("\r\nHost: web\r\n"),
                    HasSubstr("\r\nAuthorization: Basic dTpw\r\n"), Not(HasSubstr("Content-Type")),
                    Not(HasSubstr("Expect"))));
}

TEST_F(HttpTest, AHeadHasNoBody) {
  auto head = target(url("/"));
  head.method = "HEAD";
  EXPECT_EQ(probe(head).kind, Kind::success);
  EXPECT_EQ(outcomes_[0]->body_bytes, 0);
  EXPECT_THAT(requests().front(), StartsWith("HEAD / HTTP/1.1\r\n"));
}

TEST_F(HttpTest, FollowsRedirectsOnlyWhereItIsAsked) {
  begin({target(url("/go")), following(url("/go")), following(url("/lost")),
         following(url("/file")), following(url("/round"))});
  await(5);
  EXPECT_EQ(outcomes_[0]->status, 302);
  EXPECT_EQ(outcomes_[0]->body_bytes, 2);
  EXPECT_EQ(outcomes_[1]->kind, Kind::success);
  EXPECT_EQ(outcomes_[1]->status, 200);
  EXPECT_EQ(outcomes_[1]->body_bytes, 5);
  EXPECT_EQ(outcomes_[2]->kind, Kind::dns_error);
  EXPECT_EQ(outcomes_[2]->status, 0);
  EXPECT_EQ(outcomes_[3]->kind, Kind::connection_failed);
  EXPECT_EQ(outcomes_[4]->kind, Kind::connection_failed);
  EXPECT_THAT(errors_, testing::Each("none.example: no such host"));
}

TEST_F(HttpTest, TellsNoOtherHostWhatIsConfidential) {
  auto secret = following(url("/away", "u:p@web.example"));
  secret.method = "POST";
  secret.body = "ping";
  secret.headers = {"Cookie: c", "X-One: 1", "Authorization: Bearer t"};
  EXPECT_EQ(probe(secret).kind, Kind::success);
  const auto second = requests().at(1);
  EXPECT_THAT(requests().front(), AllOf(HasSubstr("Cookie: c"), HasSubstr("Bearer t")));
  EXPECT_THAT(second, AllOf(StartsWith("POST / HTTP/1.1\r\nHost: other.web.example"),
                            HasSubstr("X-One: 1"), testing::EndsWith("ping")));
  EXPECT_THAT(second, AllOf(Not(HasSubstr("Cookie")), Not(HasSubstr("Authorization"))));
}

TEST_F(HttpTest, TriesEachAddressOfAName) {
  EXPECT_EQ(probe(target(url("/", "two.example"))).kind, Kind::success);
  EXPECT_THAT(requests().front(), HasSubstr("Host: two.example:"));
}

TEST_F(HttpTest, AFailedOneHoldsNoOther) {
  const auto silent = test::listen_on_loopback(1000);
  auto late = target("http://127.0.0.1:" + std::to_string(test::port_of(silent)));
  late.timeout = milliseconds(30);
  TcpServer plain([](Fd socket) { test::say(socket, "no TLS here\r\n\r\n"); });
  auto nameless = target("http://hung.example/");
  nameless.timeout = milliseconds(30);
  begin({target(url("/")), target("http://none.example/"),
         target("http://127.0.0.1:" + std::to_string(closed_port())), late, nameless,
         target("https://127.0.0.1:" + std::to_string(plain.port())), target("http://hung.example"),
         target("http://127.0.0.1:" + std::to_string(test::port_of(silent)))});
  for (int i = 0; i < 3; ++i) {
    await(6);
    EXPECT_EQ(outcomes_[0]->kind, Kind::success);
    EXPECT_EQ(outcomes_[1]->kind, Kind::dns_error);
    EXPECT_EQ(outcomes_[2]->kind, Kind::connection_failed);
    EXPECT_EQ(outcomes_[3]->kind, Kind::timeout);
    EXPECT_EQ(outcomes_[4]->kind, Kind::timeout);
    EXPECT_EQ(outcomes_[5]->kind, Kind::connection_failed);
  }
  EXPECT_FALSE(outcomes_[6]);
  EXPECT_FALSE(outcomes_[7]);
}

TEST_F(HttpTest, IgnoresTheProxiesOfTheEnvironment) {
  ASSERT_EQ(::setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
  EXPECT_EQ(probe(target(url("/"))).kind, Kind::success);
  ASSERT_EQ(::unsetenv("http_proxy"), 0);
}

TEST_F(HttpTest, SendsByTheDeviceThatItIsGiven) {
  auto gone = target(url("/"));
  gone.path.device = "wgv-no-device";
  EXPECT_EQ(probe(gone).kind, Kind::connection_failed);
  EXPECT_THAT(errors_, testing::Contains(AllOf(StartsWith("http://127.0.0.1:"),
                                               HasSubstr("device wgv-no-device"))));
}

TEST_F(HttpTest, EndsInTheMidstOfIt) {
  const auto silent = test::listen_on_loopback();
  std::vector<HttpTarget> targets(
      20, target("http://127.0.0.1:" + std::to_string(test::port_of(silent))));
  begin(targets);
  std::this_thread::sleep_for(milliseconds(20));
  probes_.reset();
  begin(targets);
  std::this_thread::sleep_for(milliseconds(20));
  loop_.stop();
}

}  // namespace
}  // namespace wgvitals::probe
