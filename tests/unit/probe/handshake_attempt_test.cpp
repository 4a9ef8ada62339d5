#include "common/probe/handshake_attempt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "common/base/secret.h"
#include "tests/support/wg_responder.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Kind = HandshakeOutcome::Kind;
using Packet = std::vector<std::uint8_t>;
using test::WgResponder;

constexpr std::int64_t wall = 1'790'000'000'000'000'000;

Endpoint at(std::string_view text, std::uint16_t port = 0) {
  auto endpoint = *parse_address(text);
  endpoint.port = port;
  return endpoint;
}

// An echo's answer, of what was sent: addresses and type turned, checksums right.
Packet to_echo_reply(std::span<const std::uint8_t> request) {
  Packet reply(request.begin(), request.end());
  std::swap_ranges(reply.begin() + 12, reply.begin() + 16, reply.begin() + 16);
  reply[20] = 0;
  // RFC 1624: the type went from 8 to 0.
  unsigned sum = static_cast<unsigned>(reply[22] << 8 | reply[23]) + 0x0800;
  sum = (sum & 0xffff) + (sum >> 16);
  reply[22] = static_cast<std::uint8_t>(sum >> 8);
  reply[23] = static_cast<std::uint8_t>(sum);
  return reply;
}

class HandshakeAttemptTest : public testing::Test {
 protected:
  HandshakeAttemptTest() {
    crypto_ = *Crypto::load();
    secrets().private_key.fill(0x11);
    secrets().preshared_key.fill(0);
    server_private_.fill(0x22);
    target_.name = "berlin";
    target_.host = "vpn.example";
    target_.port = 51820;
    target_.timeout = seconds(1);
    target_.retries = 2;
    target_.server = crypto_->public_key_of(server_private_);
    target_.step = [this](const HandshakeStep& step) { steps_.push_back(step.text); };
  }

  HandshakeSecrets& secrets() {
    return *reinterpret_cast<HandshakeSecrets*>(memory_.bytes().data());
  }

  WgResponder make_server() {
    return {*crypto_,
            {server_private_, crypto_->public_key_of(secrets().private_key), server_psk_}};
  }

  void make() {
    attempt_.emplace(target_, *Initiator::make(*crypto_, target_.server, secrets()),
                     HandshakeAttempt::Ways{
                         [this](Bytes packet, const Endpoint& to) {
                           sent_to_.push_back(to);
                           sent_.emplace_back(packet.begin(), packet.end());
                           return HandshakeAttempt::Sending{now_.mono, send_error_};
                         },
                         [this](std::int64_t now, std::int64_t ahead) {
                           return Timestamps::Stamp{now + ahead + ++stamps_, stamp_ahead_,
                                                    std::exchange(stamp_wait_, 0)};
                         },
                         [this] { return ++random_; }, [this] { return 0x1000u + ++index_; }});
    attempt_->begin(server_, now_.mono, now_);
  }

  void pass(std::chrono::nanoseconds time) {
    now_.mono += time;
    now_.wall_ns += time.count();
    attempt_->tick(now_);
  }
  void pass_to_due() { pass(attempt_->due() - now_.mono); }
  void receive(Bytes packet) { receive(packet, server_); }
  void receive(Bytes packet, const Endpoint& from) {
    attempt_->received(packet, from, now_.mono, now_);
  }
  void end() {
    for (int i = 0; i < 100 && !attempt_->is_over(); ++i) pass_to_due();
    ASSERT_TRUE(attempt_->is_over());
  }
  Kind kind() { return attempt_->outcome().kind; }
  std::string advice() { return to_advice(target_, *attempt_, here_); }
  // Of the server, to the last initiation.
  Packet respond(WgResponder& server) {
    EXPECT_TRUE(server.consume_initiation(sent_.back()));
    const auto response = server.respond(77);
    return {response.begin(), response.end()};
  }
  void use_tunnel() {
    target_.tunnel_source = at("10.7.0.2");
    target_.tunnel_address = at("10.7.0.1");
  }

  std::shared_ptr<const Crypto> crypto_;
  SecretBuffer memory_{sizeof(HandshakeSecrets)};
  WgResponder::Secret server_private_{}, server_psk_{};
  HandshakeTarget target_;
  HandshakeSurroundings here_;
  Endpoint server_ = at("192.0.2.1", 51820);
  Instant now_{HandshakeAttempt::Time(seconds(1000)), wall};
  std::optional<HandshakeAttempt> attempt_;
  std::vector<Packet> sent_;
  std::vector<Endpoint> sent_to_;
  std::vector<std::string> steps_;
  int send_error_ = 0;
  std::int64_t stamps_ = 0, stamp_ahead_ = 0, stamp_wait_ = 0;
  std::uint32_t random_ = 0, index_ = 0;
};

TEST_F(HandshakeAttemptTest, AnAuthenticResponseIsOkAndConfirmed) {
  auto server = make_server();
  make();
  now_.mono += milliseconds(30);
  receive(respond(server));
  ASSERT_TRUE(attempt_->is_over());
  EXPECT_EQ(kind(), Kind::ok);
  EXPECT_EQ(attempt_->outcome().rtt, milliseconds(30));
  EXPECT_EQ(attempt_->outcome().initiations, 1u);
  EXPECT_FALSE(attempt_->outcome().answered_from);
  EXPECT_THAT(advice(), IsEmpty());
  ASSERT_EQ(sent_.size(), 2u);
  const auto inside = server.open(sent_[1]);
  ASSERT_TRUE(inside);
  EXPECT_THAT(*inside, IsEmpty()) << "no keepalive";
}

TEST_F(HandshakeAttemptTest, SilenceIsAskedAgainAndToldAtTheTimeout) {
  make();
  for (int i = 0; i < 2; ++i) {
    pass(milliseconds(999));
    EXPECT_EQ(sent_.size(), static_cast<std::size_t>(i + 1));
    pass(milliseconds(1));
  }
  EXPECT_EQ(sent_.size(), 3u);
  pass_to_due();
  ASSERT_TRUE(attempt_->is_over());
  EXPECT_EQ(kind(), Kind::silent);
  EXPECT_EQ(attempt_->outcome().initiations, 3u);
  EXPECT_THAT(advice(), HasSubstr("wg show"));
  EXPECT_THAT(advice(), Not(HasSubstr("The clock")));
}

TEST_F(HandshakeAttemptTest, OnlyWhereItMayBeTheClockItIsNamed) {
  make();
  end();
  here_.state_is_new = true;
  EXPECT_THAT(advice(), HasSubstr("no timestamp of this key was known here before"));
  here_.clock_is_synchronised = false;
  EXPECT_THAT(advice(), HasSubstr("is not synchronised"));
  stamp_ahead_ = 7'200'000'000'000;
  make();
  end();
  EXPECT_THAT(advice(), HasSubstr("it was set back"));
  EXPECT_THAT(steps_, Contains(HasSubstr("stamped 7200 s ahead of the clock")));
  target_.ahead = seconds(60);
  EXPECT_THAT(advice(), Not(HasSubstr("The clock")));
}

TEST_F(HandshakeAttemptTest, EachInitiationIsLaterThanTheLast) {
  auto server = make_server();
  make();
  pass_to_due();
  ASSERT_TRUE(server.consume_initiation(sent_[0]));
  EXPECT_TRUE(server.consume_initiation(sent_[1]));
  EXPECT_FALSE(server.consume_initiation(sent_[0]));
}

TEST_F(HandshakeAttemptTest, WaitsWhereAnotherProcessWasShortlyBefore) {
  stamp_wait_ = 5'000'000;
  target_.retries = 0;
  make();
  EXPECT_THAT(sent_, IsEmpty());
  pass(milliseconds(4));
  EXPECT_THAT(sent_, IsEmpty());
  pass(milliseconds(1));
  EXPECT_EQ(sent_.size(), 1u);
  pass(milliseconds(999));
  EXPECT_FALSE(attempt_->is_over());
  end();
  EXPECT_EQ(attempt_->outcome().initiations, 1u);
  EXPECT_EQ(stamps_, 1) << "the one that was waited with";
}

TEST_F(HandshakeAttemptTest, NothingAnswersBeforeTheFirstInitiationHasLeft) {
  stamp_wait_ = 330'000'000;
  make();
  for (std::uint8_t type = 0; type <= 5; ++type) {
    for (const auto size : {0u, 1u, 4u, 12u, 32u, 64u, 92u, 148u}) {
      Packet packet(size, 0);
      if (size > 0) packet[0] = type;
      receive(packet);
    }
  }
  attempt_->refused({false, ECONNREFUSED, 3, 3, 0, server_}, now_.mono);
  EXPECT_THAT(sent_, IsEmpty());
  EXPECT_THAT(steps_, IsEmpty());
  end();
  EXPECT_EQ(kind(), Kind::silent) << "what came before is evidence of nothing";
}

TEST_F(HandshakeAttemptTest, ALostInitiationOrResponseIsMadeGood) {
  auto server = make_server();
  make();
  (void)respond(server);
  pass_to_due();
  receive(respond(server));
  EXPECT_EQ(kind(), Kind::ok);
  EXPECT_EQ(attempt_->outcome().initiations, 2u);
}

TEST_F(HandshakeAttemptTest, AnAnswerThatComesTooLateIsNamed) {
  auto server = make_server();
  make();
  const auto late = respond(server);
  pass_to_due();
  pass(milliseconds(200));
  receive(late);
  EXPECT_FALSE(attempt_->is_over());
  end();
  EXPECT_EQ(kind(), Kind::silent);
  EXPECT_THAT(steps_, Contains(HasSubstr("to an earlier initiation, after 1200.000 ms")));
  EXPECT_THAT(advice(), HasSubstr("timeout longer"));
}

TEST_F(HandshakeAttemptTest, AnAnswerToTheAttemptBeforeIsLateToo) {
  target_.retries = 0;
  auto server = make_server();
  make();
  const auto late = respond(server);
  const auto late_cookie = server.cookie_reply(sent_[0], {1});
  end();
  EXPECT_EQ(kind(), Kind::silent);
  pass(milliseconds(200));
  attempt_->begin(server_, now_.mono, now_);
  receive(late);
  receive(late_cookie);
  end();
  EXPECT_EQ(kind(), Kind::silent);
  EXPECT_THAT(steps_, Contains(HasSubstr("to an earlier initiation, after 1200.000 ms")));
}

TEST_F(HandshakeAttemptTest, AnotherPresharedKeyIsToldAtTheTimeoutOnly) {
  server_psk_.fill(9);
  auto server = make_server();
  make();
  receive(respond(server));
  EXPECT_FALSE(attempt_->is_over());
  end();
  EXPECT_EQ(kind(), Kind::psk_mismatch);
  EXPECT_EQ(attempt_->outcome().rtt, std::nullopt);
  EXPECT_THAT(advice(), HasSubstr("preshared-key"));
}

TEST_F(HandshakeAttemptTest, ACookieIsUsedForTheNextInitiationAndIsNoRetry) {
  auto server = make_server();
  const WgResponder::Cookie cookie{1, 2, 3};
  target_.retries = 0;
  make();
  EXPECT_FALSE(server.has_valid_mac2(sent_[0], cookie));
  receive(server.cookie_reply(sent_[0], cookie));
  pass(milliseconds(29));
  EXPECT_EQ(sent_.size(), 1u) << "sooner than a server takes it";
  pass(milliseconds(1));
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_TRUE(server.has_valid_mac2(sent_[1], cookie));
  receive(respond(server));
  EXPECT_EQ(kind(), Kind::ok);
  EXPECT_TRUE(attempt_->outcome().cookie);

  // It is good for two minutes.
  now_.mono += seconds(100);
  attempt_->begin(server_, now_.mono, now_);
  EXPECT_TRUE(server.has_valid_mac2(sent_.back(), cookie));
  end();
  now_.mono += seconds(20);
  attempt_->begin(server_, now_.mono, now_);
  EXPECT_FALSE(server.has_valid_mac2(sent_.back(), cookie));
}

TEST_F(HandshakeAttemptTest, ALateCookieReplyBlamesNobody) {
  auto server = make_server();
  make();
  const auto late = server.cookie_reply(sent_[0], {1});
  pass_to_due();
  receive(late);
  end();
  EXPECT_EQ(kind(), Kind::silent);
}

TEST_F(HandshakeAttemptTest, AClockThatWasSetSpoilsNoRoundTrip) {
  auto server = make_server();
  make();
  now_.mono += milliseconds(30);
  attempt_->received(respond(server), server_, now_.mono - seconds(5), now_);
  EXPECT_EQ(attempt_->outcome().rtt, milliseconds(30));
}

TEST_F(HandshakeAttemptTest, NoAnswerToTheCookieIsUnderLoad) {
  auto server = make_server();
  const WgResponder::Cookie cookie{1, 2, 3};
  make();
  receive(server.cookie_reply(sent_[0], cookie));
  pass(milliseconds(30));
  receive(server.cookie_reply(sent_[1], cookie));
  receive(server.cookie_reply(sent_[1], cookie));
  EXPECT_EQ(sent_.size(), 2u);
  end();
  EXPECT_EQ(kind(), Kind::under_load);
  EXPECT_EQ(sent_.size(), 4u);
  EXPECT_THAT(advice(), HasSubstr("under load"));
}

TEST_F(HandshakeAttemptTest, AServerThatStaysUnderLoadIsToldSoAgain) {
  auto server = make_server();
  const WgResponder::Cookie cookie{1, 2, 3};
  make();
  for (int round = 0; round < 3; ++round) {
    // It asks for its cookie, and answers nothing that has it.
    for (std::size_t seen = 0; !attempt_->is_over();) {
      while (seen < sent_.size()) {
        const auto initiation = sent_[seen++];
        if (!server.has_valid_mac2(initiation, cookie))
          receive(server.cookie_reply(initiation, cookie));
      }
      pass_to_due();
    }
    EXPECT_EQ(kind(), Kind::under_load) << round;
    sent_.clear();
    attempt_->begin(server_, now_.mono, now_);
  }
}

TEST_F(HandshakeAttemptTest, ANewCookieEachTimeIsNotFollowedForEver) {
  auto server = make_server();
  make();
  for (std::uint8_t i = 1; i < 200 && !attempt_->is_over(); ++i) {
    receive(server.cookie_reply(sent_.back(), {i}));
    pass(milliseconds(30));
  }
  end();
  EXPECT_LE(sent_.size(), 12u);
  EXPECT_EQ(kind(), Kind::under_load);
}

TEST_F(HandshakeAttemptTest, WhatIsForgedIsInvalidAndEndsNothing) {
  auto server = make_server();
  make();
  const auto good = respond(server);
  auto cut = good;
  cut.pop_back();
  receive(cut);
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto bad = good;
    bad[i] ^= 0x40;
    receive(bad);
    ASSERT_FALSE(attempt_->is_over()) << i;
  }
  receive(Packet{1, 2, 3});
  receive(good);
  EXPECT_EQ(kind(), Kind::ok);

  make();
  auto bad = good;
  bad[50] ^= 1;
  receive(bad);
  end();
  EXPECT_EQ(kind(), Kind::invalid);
  EXPECT_THAT(advice(), HasSubstr("51820"));
}

TEST_F(HandshakeAttemptTest, AReplayedResponseIsNoAnswer) {
  auto server = make_server();
  make();
  const auto old = respond(server);
  receive(old);
  ASSERT_EQ(kind(), Kind::ok);
  attempt_->begin(server_, now_.mono, now_);
  receive(old);
  end();
  EXPECT_EQ(kind(), Kind::invalid);
}

TEST_F(HandshakeAttemptTest, WhatAnEarlierSessionStillSendsIsNoEvidence) {
  make();
  Packet data(48, 0);
  data[0] = 4;
  receive(data);
  Packet initiation(initiation_size, 0);
  initiation[0] = 1;
  receive(initiation);
  end();
  EXPECT_EQ(kind(), Kind::silent);
}

TEST_F(HandshakeAttemptTest, IcmpIsWeighedAtTheTimeoutOnly) {
  const SendError closed{false, ECONNREFUSED, 3, 3, 0, at("192.0.2.1")};
  const SendError unreachable{false, EHOSTUNREACH, 3, 1, 0, at("198.51.100.7")};
  auto server = make_server();
  make();
  attempt_->refused(closed, now_.mono);
  receive(respond(server));
  EXPECT_EQ(kind(), Kind::ok);

  make();
  attempt_->refused(unreachable, now_.mono);
  end();
  EXPECT_EQ(kind(), Kind::unreachable);
  EXPECT_THAT(advice(), HasSubstr("from 198.51.100.7"));

  make();
  attempt_->refused(closed, now_.mono);
  attempt_->refused(unreachable, now_.mono);
  end();
  EXPECT_EQ(kind(), Kind::closed);
  EXPECT_THAT(advice(), HasSubstr("192.0.2.1, the server itself"));
}

TEST_F(HandshakeAttemptTest, WhatCannotBeSentIsUnreachable) {
  send_error_ = ENETUNREACH;
  make();
  end();
  EXPECT_EQ(kind(), Kind::unreachable);
  EXPECT_THAT(advice(), HasSubstr("Network is unreachable"));
  EXPECT_THAT(advice(), HasSubstr("ip route get 192.0.2.1"));
}

TEST_F(HandshakeAttemptTest, FullBuffersOfOurOwnAreNoEvidence) {
  use_tunnel();
  auto server = make_server();
  send_error_ = ENOBUFS;
  make();
  pass_to_due();
  EXPECT_LE(now_.mono, HandshakeAttempt::Time(seconds(1000) + milliseconds(100)))
      << "it is tried again before the timeout";
  send_error_ = 0;
  pass_to_due();
  send_error_ = EAGAIN;
  receive(respond(server));
  EXPECT_EQ(attempt_->outcome().tunnel_sent, 0u) << "what has not left is not lost";
  send_error_ = 0;
  for (int i = 0; i < 3; ++i) {
    pass_to_due();
    receive(server.seal(to_echo_reply(*server.open(sent_.back()))));
  }
  EXPECT_EQ(kind(), Kind::ok);
  EXPECT_EQ(attempt_->outcome().tunnel_sent, 3u);
  EXPECT_FALSE(attempt_->evidence().unreachable);

  send_error_ = ENOBUFS;
  make();
  end();
  EXPECT_EQ(kind(), Kind::unreachable) << "they stay full";
}

TEST_F(HandshakeAttemptTest, AnAnswerFromAnotherAddressCountsAndIsNamed) {
  auto server = make_server();
  make();
  const auto other = at("198.51.100.9", 4444);
  receive(respond(server), other);
  EXPECT_EQ(kind(), Kind::ok);
  EXPECT_EQ(attempt_->outcome().answered_from, other);
  EXPECT_EQ(sent_to_.back(), other) << "of the keepalive";
}

TEST_F(HandshakeAttemptTest, EchoesInsideAreCountedAndTimed) {
  use_tunnel();
  auto server = make_server();
  make();
  receive(respond(server));
  EXPECT_FALSE(attempt_->is_over());
  for (int i = 0; i < 3; ++i) {
    const auto inside = server.open(sent_.back());
    ASSERT_TRUE(inside);
    if (i != 1) {
      const auto reply = server.seal(to_echo_reply(*inside));
      receive(reply);
      receive(reply);  // duplicated on the way
    }
    if (i < 2) pass_to_due();
  }
  EXPECT_FALSE(attempt_->is_over()) << "the second may still be answered";
  end();
  EXPECT_EQ(kind(), Kind::ok);
  EXPECT_EQ(attempt_->outcome().tunnel_sent, 3u);
  EXPECT_EQ(attempt_->outcome().tunnel_received, 2u);
  ASSERT_TRUE(attempt_->outcome().tunnel_rtt);
  EXPECT_TRUE(server.open(sent_.back()).value_or(Packet{1}).empty()) << "no closing keepalive";
}

TEST_F(HandshakeAttemptTest, AllAnsweredEndsAtOnce) {
  use_tunnel();
  target_.tunnel_count = 1;
  auto server = make_server();
  make();
  receive(respond(server));
  receive(server.seal(to_echo_reply(*server.open(sent_.back()))));
  EXPECT_TRUE(attempt_->is_over());
  EXPECT_EQ(kind(), Kind::ok);
}

TEST_F(HandshakeAttemptTest, NoAnswerInsideIsADeadTunnel) {
  use_tunnel();
  auto server = make_server();
  make();
  receive(respond(server));
  receive(server.seal(Packet(28, 1)));  // data, and no answer
  end();
  EXPECT_EQ(kind(), Kind::tunnel_dead);
  EXPECT_TRUE(attempt_->outcome().rtt);
  EXPECT_THAT(advice(), HasSubstr("allowed IPs of this peer have 10.7.0.2"));
}

TEST_F(HandshakeAttemptTest, AClosedPortInsideIsToldWithTheAdvice) {
  use_tunnel();
  target_.tunnel_count = 1;
  target_.tunnel_port = 443;
  auto server = make_server();
  make();
  receive(respond(server));
  ASSERT_EQ(sent_.size(), 3u) << "an echo and a SYN";
  receive(server.seal(to_echo_reply(*server.open(sent_[1]))));
  end();
  EXPECT_EQ(kind(), Kind::tunnel_dead);
  EXPECT_EQ(attempt_->outcome().tunnel_port_open, std::nullopt);
  EXPECT_THAT(advice(), HasSubstr("TCP port 443 of 10.7.0.1 does not answer"));
}

TEST_F(HandshakeAttemptTest, StepsTellWhatHappens) {
  auto server = make_server();
  make();
  receive(server.cookie_reply(sent_[0], {1}));
  pass_to_due();
  receive(respond(server));
  EXPECT_THAT(steps_, ElementsAre("initiation 1 to 192.0.2.1:51820",
                                  "cookie reply from 192.0.2.1:51820: it is under load",
                                  "initiation 2 with the cookie to 192.0.2.1:51820",
                                  HasSubstr("response from 192.0.2.1:51820, authenticated, after "),
                                  "keepalive, which confirms the session"));
}

}  // namespace
}  // namespace wgvitals::probe
