#include "common/probe/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "common/base/fd.h"
#include "common/probe/sockets.h"
#include "tests/support/kept_log.h"
#include "tests/support/temp_root.h"
#include "tests/support/wg_responder.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = HandshakeOutcome::Kind;
using Key = test::WgResponder::Secret;

Key filled(std::uint8_t byte) {
  Key key;
  key.fill(byte);
  return key;
}

Fd open_udp(const std::string& address = "127.0.0.1") {
  SocketPath path;
  path.source = *parse_address(address);
  const bool ipv6 = path.source.family == AddressFamily::ipv6;
  Fd socket(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_TRUE(apply(path, socket.get()));
  return socket;
}

std::uint16_t port_of(const Fd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  (void)::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return to_endpoint(address).port;
}

void send_to(const Fd& socket, std::span<const std::uint8_t> packet, const Endpoint& to) {
  sockaddr_storage address{};
  const auto size = to_sockaddr(to, address);
  (void)::sendto(socket.get(), packet.data(), packet.size(), 0,
                 reinterpret_cast<const sockaddr*>(&address), size);
}

// An echo's answer, of what was sent: addresses and type turned, checksums right.
std::vector<std::uint8_t> to_echo_reply(std::vector<std::uint8_t> packet) {
  std::swap_ranges(packet.begin() + 12, packet.begin() + 16, packet.begin() + 16);
  packet[20] = 0;
  unsigned sum = (packet[22] * 256u + packet[23]) + 8 * 256u;
  sum = (sum & 0xffff) + (sum >> 16);
  packet[22] = static_cast<std::uint8_t>(sum >> 8);
  packet[23] = static_cast<std::uint8_t>(sum);
  return packet;
}

// A server on loopback, on a thread of its own.
class Server {
 public:
  struct Manners {
    bool silent = false;
    bool mangle = false;            // noise in front of each answer
    std::string answers_from = {};  // another address; empty: the one asked
  };
  explicit Server(Manners manners, const std::string& address = "127.0.0.1")
      : manners_(std::move(manners)),
        socket_(open_udp(address)),
        other_(manners_.answers_from.empty() ? Fd() : open_udp(manners_.answers_from)),
        port_(port_of(socket_)),
        thread_([this] { serve(); }) {}
  ~Server() {
    ended_ = true;
    thread_.join();
  }
  std::uint16_t port() const { return port_; }
  int initiations() const { return initiations_; }

 private:
  void serve() {
    const auto crypto = *Crypto::load();
    test::WgResponder responder(*crypto, {filled(0x22), crypto->public_key_of(filled(0x11)), {}});
    while (!ended_) {
      pollfd waiting{socket_.get(), POLLIN, 0};
      if (::poll(&waiting, 1, 10) != 1) continue;
      std::array<std::uint8_t, 256> room;
      const Received packet(socket_.get(), 0, room);
      if (packet.size != 148) {
        // Of the last session only, as a server has one of a key.
        const auto inside = responder.open(packet.content());
        if (inside && inside->size() >= 28)
          send_to(socket_, responder.seal(to_echo_reply(*inside)), packet.from);
        continue;
      }
      ++initiations_;
      if (manners_.silent || !responder.consume_initiation(packet.content())) continue;
      const auto response = responder.respond(5);
      if (manners_.mangle) annoy(response, packet.from);
      send_to(other_ ? other_ : socket_, response, packet.from);
    }
  }

  void annoy(const std::array<std::uint8_t, 92>& response, const Endpoint& to) const {
    for (std::size_t size = 0; size < response.size(); ++size)
      send_to(socket_, std::span(response).first(size), to);
    for (std::size_t i = 0; i < response.size(); ++i) {
      auto bad = response;
      bad[i] ^= 1;
      send_to(socket_, bad, to);
    }
  }

  Manners manners_;
  Fd socket_, other_;
  std::uint16_t port_;
  std::atomic<bool> ended_ = false;
  std::atomic<int> initiations_ = 0;
  std::thread thread_;
};

class HandshakeTest : public testing::Test {
 protected:
  HandshakeTest() {
    folder_.with("state/here", "");
    ::setenv("STATE_DIRECTORY", folder_.root().full_path("state").c_str(), 1);
  }
  void TearDown() override {
    probes_.reset();
    loop_.stop();
    ::unsetenv("STATE_DIRECTORY");
  }

  HandshakeTarget target(std::uint16_t port, const std::string& host = "127.0.0.1") {
    HandshakeTarget target;
    target.name = "to " + host;
    target.host = host;
    target.port = port;
    target.server = (*Crypto::load())->public_key_of(filled(0x22));
    target.read_key = [this](std::span<std::uint8_t, 32> into) -> Result<Done> {
      if (no_key_) return Error{Errc::absent, ENOENT, "/etc/probe.key"};
      const auto key = filled(0x11);
      std::copy(key.begin(), key.end(), into.begin());
      return Done{};
    };
    target.pace.interval = milliseconds(200);
    target.timeout = seconds(1);
    target.retries = 1;
    return target;
  }

  void make(std::vector<HandshakeTarget> targets) {
    outcomes_.resize(targets.size());
    probes_.emplace(loop_, resolver_, std::move(targets), 0.0);
    ASSERT_TRUE(probes_->load());
  }
  void begin(std::vector<HandshakeTarget> targets) {
    make(std::move(targets));
    probes_->begin();
  }
  void await(std::initializer_list<std::size_t> numbers) {
    for (auto& outcome : outcomes_) outcome.reset();
    const auto until = Clock::now() + seconds(20);
    for (const auto number : numbers) {
      while (!outcomes_[number]) {
        ASSERT_LT(Clock::now(), until) << "no outcome";
        std::this_thread::sleep_for(milliseconds(2));
        probes_->take(outcomes_);
      }
    }
  }
  Kind kind(std::size_t number) const { return outcomes_[number]->kind; }
  std::vector<std::string> wrong() {
    std::vector<std::string> texts;
    for (const auto& error : probes_->wrong()) texts.push_back(to_text(error));
    return texts;
  }

  test::TempRoot folder_;
  std::atomic<bool> no_key_ = false;
  Resolver resolver_{start_plain_thread,
                     [](const std::string& host, AddressFamily) -> Result<std::vector<Endpoint>> {
                       return Error{Errc::absent, 0, host + ": no such host"};
                     },
                     Resolver::Habits()};
  Loop loop_{start_plain_thread, std::make_shared<test::KeptLog>()};
  std::optional<HandshakeProbes> probes_;
  HandshakeProbes::Outcomes outcomes_;
};

TEST_F(HandshakeTest, TellsServersApartByOneSocket) {
  Server good({}), silent({.silent = true}), annoying({.mangle = true});
  const auto closed = [] { return port_of(open_udp()); }();
  begin({target(good.port()), target(silent.port()), target(annoying.port()), target(closed),
         target(1, "no.example")});
  await({0, 1, 2, 3, 4});
  EXPECT_EQ(kind(0), Kind::ok);
  EXPECT_GT(outcomes_[0]->rtt->count(), 0);
  EXPECT_EQ(kind(1), Kind::silent);
  EXPECT_FALSE(outcomes_[1]->rtt);
  EXPECT_EQ(outcomes_[1]->initiations, 2u);
  EXPECT_EQ(kind(2), Kind::ok);
  EXPECT_EQ(kind(3), Kind::closed);
  EXPECT_THAT(outcomes_[3]->advice, HasSubstr("127.0.0.1, the server itself"));
  EXPECT_EQ(kind(4), Kind::name_error);
  EXPECT_THAT(wrong(), Contains(HasSubstr("to no.example: no.example: no such host")));
}

TEST_F(HandshakeTest, OthersErrorsSpoilNothing) {
  Server good({});
  std::vector<HandshakeTarget> targets;
  targets.reserve(41);
  targets.push_back(target(good.port()));
  targets[0].pace.interval = milliseconds(100);
  for (std::uint8_t i = 0; i < 40; ++i) {
    auto& closed = targets.emplace_back(target(port_of(open_udp())));
    closed.server = (*Crypto::load())->public_key_of(filled(i));
  }
  begin(std::move(targets));
  for (int round = 0; round < 10; ++round) {
    await({0});
    ASSERT_EQ(kind(0), Kind::ok) << round;
  }
}

TEST_F(HandshakeTest, AnAnswerFromAnotherAddressIsNamed) {
  Server server({.answers_from = "127.0.0.2"});
  begin({target(server.port())});
  await({0});
  EXPECT_EQ(kind(0), Kind::ok);
  ASSERT_TRUE(outcomes_[0]->answered_from);
  EXPECT_EQ(outcomes_[0]->answered_from->address, parse_address("127.0.0.2")->address);
}

TEST_F(HandshakeTest, SpeaksIpv6) {
  Server server({}, "::1");
  begin({target(server.port(), "::1"), target(port_of(open_udp("::1")), "::1")});
  await({0, 1});
  EXPECT_EQ(kind(0), Kind::ok);
  EXPECT_EQ(kind(1), Kind::closed);
}

TEST_F(HandshakeTest, TwoProbesOfOneServerTakeNothingFromEachOther) {
  Server server({});
  begin({target(server.port()), target(server.port())});
  for (int round = 0; round < 5; ++round) {
    await({0, 1});
    for (const auto& outcome : outcomes_) {
      EXPECT_EQ(outcome->kind, Kind::ok);
      EXPECT_EQ(outcome->initiations, 1u) << "one came too soon behind the other";
    }
  }
}

TEST_F(HandshakeTest, AProbeKeepsItsSessionUntilItsEnd) {
  Server server({});
  std::vector<HandshakeTarget> targets;
  for (int i = 0; i < 3; ++i) {
    auto& one = targets.emplace_back(target(server.port()));
    one.tunnel_source = *parse_address("10.7.0.2");
    one.tunnel_address = *parse_address("10.7.0.1");
    one.tunnel_count = 12;
  }
  begin(std::move(targets));
  for (int round = 0; round < 2; ++round) {
    await({0, 1, 2});
    for (const auto& outcome : outcomes_) {
      EXPECT_EQ(outcome->kind, Kind::ok);
      EXPECT_EQ(outcome->initiations, 1u);
      EXPECT_EQ(outcome->tunnel_received, outcome->tunnel_sent) << "another took the session";
    }
  }
}

TEST_F(HandshakeTest, OneThatIsRefusedOrCannotBeSentHoldsUpNobody) {
  Server server({});
  auto bound = target(server.port());
  bound.path.device = "no-such";
  make({bound, target(server.port()), target(server.port()), target(1, "no.example")});
  probes_->refuse(1, Error{Errc::denied, 0, "its key is wg0's"});
  probes_->begin();
  for (int round = 0; round < 3; ++round) {
    await({2, 3});
    EXPECT_EQ(kind(2), Kind::ok);
  }
}

TEST_F(HandshakeTest, AKeyThatCannotBeReadIsToldAndTriedAgain) {
  Server server({});
  no_key_ = true;
  begin({target(server.port())});
  EXPECT_FALSE(probes_->own_key(0));
  EXPECT_THAT(wrong(), Contains(HasSubstr("to 127.0.0.1: /etc/probe.key")));
  no_key_ = false;
  ASSERT_TRUE(probes_->load());
  probes_->begin();
  EXPECT_EQ(probes_->own_key(0), (*Crypto::load())->public_key_of(filled(0x11)));
  EXPECT_THAT(wrong(), IsEmpty());
  await({0});
  EXPECT_EQ(kind(0), Kind::ok);
}

TEST_F(HandshakeTest, WhatIsRefusedIsNeverSent) {
  Server server({}), other({});
  make({target(server.port()), target(other.port())});
  probes_->refuse(0, Error{Errc::denied, 0, "its key is wg0's"});
  probes_->begin();
  EXPECT_THAT(wrong(), Contains(HasSubstr("its key is wg0's")));
  await({1});
  await({1});
  EXPECT_EQ(server.initiations(), 0);
  probes_->refuse(0, std::nullopt);
  await({0});
  EXPECT_EQ(kind(0), Kind::ok);
}

TEST_F(HandshakeTest, ADeviceThatIsNotThereIsToldAndSpoilsNothing) {
  Server server({});
  auto bound = target(server.port());
  bound.path.device = "no-such";
  begin({bound, target(server.port())});
  await({1});
  EXPECT_EQ(kind(1), Kind::ok);
  const auto until = Clock::now() + seconds(20);
  while (wrong().empty() && Clock::now() < until) std::this_thread::sleep_for(milliseconds(2));
  EXPECT_THAT(wrong(), Contains(HasSubstr("to 127.0.0.1: device no-such")));
}

TEST_F(HandshakeTest, TimestampsOutliveTheProgram) {
  Server server({});
  begin({target(server.port())});
  await({0});
  EXPECT_EQ(kind(0), Kind::ok);
  auto ahead = target(server.port());
  ahead.ahead = seconds(3600);
  begin({ahead});
  await({0});
  EXPECT_EQ(kind(0), Kind::ok);
  // The floor stays ahead: the server goes on answering.
  begin({target(server.port())});
  await({0});
  EXPECT_EQ(kind(0), Kind::ok);
  // Elsewhere it is not known.
  folder_.with("elsewhere/here", "");
  ::setenv("STATE_DIRECTORY", folder_.root().full_path("elsewhere").c_str(), 1);
  begin({target(server.port())});
  await({0});
  EXPECT_EQ(kind(0), Kind::silent);
  EXPECT_THAT(outcomes_[0]->advice, HasSubstr("The clock"));
}

}  // namespace
}  // namespace wgvitals::probe
