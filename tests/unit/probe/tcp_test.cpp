#include "common/probe/tcp.h"

#include <gmock/gmock.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "tests/support/kept_log.h"
#include "tests/support/tcp_server.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::closed_port;
using test::TcpServer;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = TcpOutcome::Kind;

class TcpTest : public testing::Test {
 protected:
  void TearDown() override {
    probes_.reset();
    loop_.stop();
  }

  // "ever.hung" is never answered before the end.
  Result<std::vector<Endpoint>> look_up(const std::string& host) {
    if (host == "two.example") {
      return std::vector{*parse_address("::1"), *parse_address("127.0.0.1")};
    }
    if (host == "near.example") {
      return std::vector{*parse_address("127.0.0.1"), *parse_address("127.0.0.2")};
    }
    if (host == "hung.example") {
      while (!ended_) std::this_thread::sleep_for(milliseconds(1));
    }
    return Error{Errc::absent, 0, host + ": no such host"};
  }

  TcpTarget target(std::uint16_t port, const std::string& host = "127.0.0.1") {
    TcpTarget target;
    target.host = host;
    target.port = port;
    target.pace.interval = milliseconds(50);
    target.timeout = seconds(20);
    target.read_timeout = seconds(20);
    return target;
  }
  TcpTarget talk(std::uint16_t port, const std::string& send, const std::string& expect) {
    auto talker = target(port);
    talker.send = send;
    talker.expect = *Pattern::parse("/" + expect + "/");
    return talker;
  }

  void begin(std::vector<TcpTarget> targets) {
    outcomes_.resize(targets.size());
    probes_.emplace(loop_, resolver_, std::move(targets), 0.0);
    (void)probes_->begin();
  }
  // Until each of the first `count` has an outcome, beginning with none.
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
  void await_all() { await(outcomes_.size()); }
  Kind kind(std::size_t number) const { return outcomes_[number]->kind; }

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
  std::optional<TcpProbes> probes_;
  TcpProbes::Outcomes outcomes_;
  std::vector<std::string> errors_;
};

TEST_F(TcpTest, TellsOpenFromClosed) {
  const auto open = test::listen_on_loopback();
  begin({target(test::port_of(open)), target(closed_port())});
  await_all();
  EXPECT_EQ(kind(0), Kind::success);
  EXPECT_GT(outcomes_[0]->took->count(), 0);
  EXPECT_EQ(kind(1), Kind::connection_failed);
  EXPECT_FALSE(outcomes_[1]->took);
  EXPECT_THAT(errors_, IsEmpty());
}

TEST_F(TcpTest, ProbesAgainAndAgain) {
  const auto open = test::listen_on_loopback(1000);
  begin({target(test::port_of(open))});
  for (int i = 0; i < 3; ++i) await_all();
}

TEST_F(TcpTest, SaysAndExpects) {
  TcpServer server([](Fd socket) {
    const auto line = test::hear(socket, "\n");
    if (line == "end\n") return;
    if (line == "half\n") return test::say(socket, "250 ha");
    if (line == "empty\n") return test::say(socket, "\r\n250\n");
    test::say(socket, "250 HELO from ");
    test::say(socket, line + "550\r\n");
  });
  begin({talk(server.port(), "me\n", "^250 .*me$"), talk(server.port(), "me\n", "550"),
         talk(server.port(), "end\n", "."), talk(server.port(), "half\n", "ha$"),
         talk(server.port(), "empty\n", "x*")});
  await_all();
  EXPECT_EQ(kind(0), Kind::success);
  EXPECT_EQ(kind(1), Kind::string_mismatch);  // is on the next line
  EXPECT_TRUE(outcomes_[1]->took);
  EXPECT_EQ(kind(2), Kind::read_failed);
  EXPECT_TRUE(outcomes_[2]->took);
  EXPECT_EQ(kind(3), Kind::success);          // a line without its end
  EXPECT_EQ(kind(4), Kind::string_mismatch);  // an empty line matches nothing
}

TEST_F(TcpTest, OneThatIsSilentFailsByItsReadTimeout) {
  const auto silent = test::listen_on_loopback();
  auto waiting = talk(test::port_of(silent), "", "x");
  waiting.read_timeout = milliseconds(10);
  begin({waiting});
  await_all();
  EXPECT_EQ(kind(0), Kind::read_failed);
}

// Connections that a full backlog swallows.
class Deaf {
 public:
  Deaf() {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
    for (auto& filler : fillers_) {
      filler = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      (void)::connect(filler.get(), reinterpret_cast<sockaddr*>(&address), size);
    }
  }
  std::uint16_t port() const { return test::port_of(socket_); }

 private:
  Fd socket_ = test::listen_on_loopback(0);
  std::array<Fd, 4> fillers_;
};

TEST_F(TcpTest, OneThatIsDeafTimesOut) {
  const Deaf deaf;
  auto waiting = target(deaf.port());
  waiting.timeout = milliseconds(20);
  begin({waiting});
  await_all();
  EXPECT_EQ(kind(0), Kind::timeout);
  EXPECT_FALSE(outcomes_[0]->took);
}

TEST_F(TcpTest, AFailedOneHoldsNoOther) {
  const auto open = test::listen_on_loopback(1000);
  const auto silent = test::listen_on_loopback(1000);
  const Deaf deaf;
  begin({target(test::port_of(open)), target(1, "none.example"), target(closed_port()),
         target(deaf.port()), target(1, "hung.example"), talk(test::port_of(silent), "", "x")});
  for (int i = 0; i < 3; ++i) {
    await(3);
    EXPECT_EQ(kind(0), Kind::success);
    EXPECT_EQ(kind(1), Kind::connection_failed);
    EXPECT_EQ(kind(2), Kind::connection_failed);
  }
  for (int i = 3; i < 6; ++i) EXPECT_FALSE(outcomes_[static_cast<std::size_t>(i)]);
  EXPECT_THAT(errors_, Each("none.example: no such host"));
}

TEST_F(TcpTest, ANameThatHangsTimesOut) {
  auto waiting = target(1, "hung.example");
  waiting.timeout = milliseconds(20);
  begin({waiting});
  await_all();
  EXPECT_EQ(kind(0), Kind::timeout);
}

TEST_F(TcpTest, TriesEachAddressOfAName) {
  const auto open = test::listen_on_loopback();  // not on ::1
  begin({target(test::port_of(open), "two.example"), target(closed_port(), "two.example")});
  await_all();
  EXPECT_EQ(kind(0), Kind::success);
  EXPECT_EQ(kind(1), Kind::connection_failed);
}

// In a network of its own, where each connection has the same port, so that there is one to each
// address: the loop's thread takes that from this one.
TEST_F(TcpTest, AnAddressWithoutAWayFromHereLeavesTheOthersTheirTurn) {
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << std::strerror(errno);
    const Fd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ifreq link{};
    std::strcpy(link.ifr_name, "lo");
    link.ifr_flags = IFF_UP;
    ASSERT_EQ(::ioctl(server.get(), SIOCSIFFLAGS, &link), 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(5000);
    ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(server.get(), 10), 0);
    std::ofstream("/proc/sys/net/ipv4/ip_local_port_range") << "40000 40000";
    const Fd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(taken.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);

    auto both = target(5000, "near.example");
    auto one = target(5000);
    both.pace.interval = one.pace.interval = seconds(60);
    begin({both, one});
    await(1);
    EXPECT_EQ(kind(0), Kind::success);
    const auto until = Clock::now() + seconds(20);
    while (probes_->wrong().empty() && Clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    ASSERT_EQ(probes_->wrong().size(), 1u);  // ours to mend: it is no outcome
    EXPECT_THAT(to_text(probes_->wrong()[0]), HasSubstr("127.0.0.1 port 5000: cannot connect"));
    probes_->take(outcomes_);
    EXPECT_FALSE(outcomes_[1]);
  }).join();
}

TEST_F(TcpTest, SendsByTheDeviceAndFromTheAddressThatItIsGiven) {
  std::vector<std::string> seen;
  std::mutex mutex;
  TcpServer server([&](Fd socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    (void)::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
    char text[longest_endpoint];
    const std::lock_guard lock(mutex);
    seen.emplace_back(to_address_text(to_endpoint(address), text));
  });
  auto from = target(server.port());
  from.path.source = *parse_address("127.1.2.3");
  auto gone = target(server.port());
  gone.path.device = "wgv-no-device";
  begin({from, gone});
  await_all();
  EXPECT_EQ(kind(0), Kind::success);
  EXPECT_EQ(kind(1), Kind::connection_failed);
  EXPECT_THAT(errors_, testing::Contains(HasSubstr("device wgv-no-device")));
  probes_.reset();
  loop_.stop();
  const std::lock_guard lock(mutex);
  EXPECT_THAT(seen, Each("127.1.2.3"));
}

TEST_F(TcpTest, ThousandsAtOnce) {
  TcpServer server([](Fd) {});
  std::vector<TcpTarget> targets;
  for (int i = 0; i < 2000; ++i) {
    targets.push_back(target(server.port()));
    targets.back().pace.interval = seconds(10);
  }
  begin(targets);
  await_all();
  for (const auto& outcome : outcomes_) EXPECT_EQ(outcome->kind, Kind::success);
}

std::size_t count_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST_F(TcpTest, ManyThatAreDeafLeaveTheHostItsDescriptors) {
  const Deaf deaf;
  const auto open = test::listen_on_loopback();
  auto waiting = target(deaf.port());
  waiting.timeout = milliseconds(500);
  waiting.pace.interval = seconds(60);
  std::vector<TcpTarget> targets(3 * Loop::most_places, waiting);
  targets.push_back(target(test::port_of(open)));
  const auto before = count_descriptors();
  begin(targets);
  std::size_t most = 0;
  for (int i = 0; i < 50; ++i) {
    std::this_thread::sleep_for(milliseconds(20));
    most = std::max(most, count_descriptors());
  }
  EXPECT_GT(most, before + Loop::most_places / 2);
  EXPECT_LE(most, before + Loop::most_places + 4);  // the loop has three
  const auto until = Clock::now() + seconds(20);
  do {
    probes_->take(outcomes_);
    std::this_thread::sleep_for(milliseconds(5));
  } while (std::count(outcomes_.begin(), outcomes_.end(), std::nullopt) > 0 &&
           Clock::now() < until);
  for (std::size_t i = 0; i + 1 < targets.size(); ++i) {
    ASSERT_TRUE(outcomes_[i]);
    EXPECT_EQ(kind(i), Kind::timeout);
  }
  EXPECT_EQ(kind(targets.size() - 1), Kind::success);
  EXPECT_THAT(errors_, IsEmpty());
}

TEST_F(TcpTest, EndsInTheMidstOfIt) {
  const auto silent = test::listen_on_loopback();
  std::vector<TcpTarget> targets(100, talk(test::port_of(silent), "", "x"));
  begin(targets);
  std::this_thread::sleep_for(milliseconds(20));
  probes_.reset();
  begin(targets);
  std::this_thread::sleep_for(milliseconds(20));
  loop_.stop();
}

TEST_F(TcpTest, NeverBegunStartsNothing) {
  Loop refused([](pthread_t*, void* (*)(void*), void*, const char*) { return EAGAIN; }, log_);
  { TcpProbes probes(refused, resolver_, {target(1)}, 0.0); }
  TcpProbes probes(refused, resolver_, {target(1)}, 0.0);
  EXPECT_THROW((void)probes.begin(), std::system_error);
}

}  // namespace
}  // namespace wgvitals::probe
