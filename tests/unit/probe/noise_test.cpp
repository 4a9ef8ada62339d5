// The initiator with a server of another hand: tests/support/wg_responder.h.

#include "common/probe/noise.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/hex.h"
#include "tests/support/wg_responder.h"

namespace wgvitals::probe {
namespace {

using test::from_hex;
using test::WgResponder;
using testing::HasSubstr;
using Verdict = Initiator::Verdict;
using Secret = WgResponder::Secret;
using Packet = std::vector<std::uint8_t>;

constexpr std::uint32_t our_index = 0x12345678, server_index = 0xfedcba98;
constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t now = 1'795'210'380 * second;
const Secret client_key{1, 2, 3}, server_key{4, 5, 6}, psk{7, 8, 9}, none{};

class InitiatorTest : public testing::Test {
 protected:
  void begin(const Secret& our_psk = none, const Secret& its_psk = none) {
    auto crypto = Crypto::load();
    if (!crypto) throw std::runtime_error(to_text(crypto.error()));
    crypto_ = *crypto;
    server_ = std::make_unique<WgResponder>(
        *crypto_, WgResponder::Keys{server_key, crypto_->public_key_of(client_key), its_psk});
    secrets_ = {};
    secrets_.private_key = client_key;
    secrets_.preshared_key = our_psk;
    initiator_ = std::make_unique<Initiator>(make());
  }

  Initiator make() {
    auto made = Initiator::make(*crypto_, server_->public_key(), secrets_);
    if (!made) throw std::runtime_error(to_text(made.error()));
    return *made;
  }

  std::array<std::uint8_t, initiation_size> initiate(
      const std::optional<std::array<std::uint8_t, 16>>& cookie = std::nullopt) {
    auto message = initiator_->initiate(our_index, to_tai64n(now + ++initiations_), cookie);
    if (!message) throw std::runtime_error(to_text(message.error()));
    return *message;
  }

  // The answer to an initiation, which is under way then.
  std::array<std::uint8_t, response_size> ask() {
    if (!server_->consume_initiation(initiate())) throw std::runtime_error("is not answered");
    return server_->respond(server_index);
  }

  void open_session() {
    begin();
    ASSERT_EQ(initiator_->consume_response(ask()), Verdict::authentic);
  }

  Packet sealed(Bytes inner) {
    Packet message((inner.size() + 15) / 16 * 16 + data_overhead);
    EXPECT_EQ(initiator_->seal(inner, message), message.size());
    return message;
  }

  std::optional<Packet> opened(Bytes message) {
    Packet into(message.size());
    const auto inner = initiator_->open(message, into);
    if (!inner) return std::nullopt;
    return Packet(inner->begin(), inner->end());
  }

  std::shared_ptr<const Crypto> crypto_;
  HandshakeSecrets secrets_{};
  std::unique_ptr<WgResponder> server_;
  std::unique_ptr<Initiator> initiator_;
  std::int64_t initiations_ = 0;
};

TEST(Tai64n, AsTheKernel) {
  EXPECT_EQ(to_tai64n(0), from_hex<12>("400000000000000a00000000"));
  EXPECT_EQ(to_tai64n(1), from_hex<12>("400000000000000a00000001"));
  EXPECT_EQ(to_tai64n(-1), from_hex<12>("40000000000000093b9ac9ff"));
  // 2026-11-20 21:33:00 UTC: 0x6b00bc8c
  EXPECT_EQ(to_tai64n(now + second - 1), from_hex<12>("400000006b00bc963b9ac9ff"));
}

TEST(Tai64n, LaterIsLarger) {
  EXPECT_LT(to_tai64n(now), to_tai64n(now + 1));
  EXPECT_LT(to_tai64n(now + second - 1), to_tai64n(now + second));
}

TEST(MessageFields, OfEachType) {
  const Packet initiation{1, 0, 0, 0, 1, 2, 3, 4}, response{2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4},
      cookie{3, 0, 0, 0, 1, 2, 3, 4}, data{4, 0, 0, 0, 1, 2, 3, 4};
  EXPECT_EQ(type_of(initiation), MessageType::initiation);
  EXPECT_EQ(type_of(response), MessageType::response);
  EXPECT_EQ(type_of(cookie), MessageType::cookie_reply);
  EXPECT_EQ(type_of(data), MessageType::data);
  EXPECT_EQ(receiver_of(initiation), std::nullopt);
  for (const auto& packet : {response, cookie, data}) {
    EXPECT_EQ(receiver_of(packet), 0x04030201u);
    EXPECT_EQ(receiver_of(Bytes(packet).first(packet.size() - 1)), std::nullopt);
    EXPECT_EQ(sender_of_quote(packet), std::nullopt);
  }
  EXPECT_EQ(sender_of_quote(initiation), 0x04030201u);
  EXPECT_EQ(sender_of_quote(Bytes(initiation).first(7)), std::nullopt);
}

TEST(MessageFields, NoType) {
  for (const Packet& packet : {Packet{}, Packet{1, 0, 0}, Packet{0, 0, 0, 0}, Packet{5, 0, 0, 0},
                               Packet{1, 0, 0, 1}, Packet{4, 1, 0, 0}}) {
    EXPECT_EQ(type_of(packet), std::nullopt);
    EXPECT_EQ(receiver_of(packet), std::nullopt);
    EXPECT_EQ(sender_of_quote(packet), std::nullopt);
  }
}

TEST(ReplayWindow, TakesEachOnce) {
  ReplayWindow window;
  EXPECT_TRUE(window.would_take(0));
  window.take(0);
  EXPECT_FALSE(window.would_take(0));
  window.take(70);
  EXPECT_FALSE(window.would_take(70));
  EXPECT_FALSE(window.would_take(6));  // too far behind
  EXPECT_TRUE(window.would_take(7));
  window.take(7);
  EXPECT_FALSE(window.would_take(7));
  EXPECT_TRUE(window.would_take(8));
  window.take(71);
  EXPECT_FALSE(window.would_take(70));
  EXPECT_FALSE(window.would_take(7));
  window.take(1'000'000);
  EXPECT_FALSE(window.would_take(71));
  EXPECT_TRUE(window.would_take(999'999));
  EXPECT_FALSE(window.would_take(~std::uint64_t{0}));
}

TEST_F(InitiatorTest, ServersOfLowOrderAreRefused) {
  begin();
  for (const auto low : {std::uint8_t{0}, std::uint8_t{1}}) {
    PublicKey key;
    key.bytes[0] = low;
    const auto made = Initiator::make(*crypto_, key, secrets_);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Errc::malformed);
    EXPECT_THAT(made.error().where, HasSubstr(view(to_base64(key))));
  }
}

TEST_F(InitiatorTest, OwnKey) {
  begin();
  EXPECT_EQ(initiator_->own_key(), crypto_->public_key_of(client_key));
}

TEST_F(InitiatorTest, InitiationIsTaken) {
  begin();
  const auto message = initiate();
  EXPECT_EQ(type_of(message), MessageType::initiation);
  EXPECT_EQ(sender_of_quote(message), our_index);
  EXPECT_EQ(server_->consume_initiation(message), to_tai64n(now + 1));
  EXPECT_EQ(server_->consume_initiation(message), std::nullopt) << "replayed";
  EXPECT_NE(initiate(), message);
}

TEST_F(InitiatorTest, Handshake) {
  for (const auto& key : {none, psk}) {
    begin(key, key);
    EXPECT_FALSE(initiator_->has_session());
    EXPECT_EQ(initiator_->consume_response(ask()), Verdict::authentic);
    EXPECT_TRUE(initiator_->has_session());
  }
}

TEST_F(InitiatorTest, PresharedKeyOfOneSideOrAnother) {
  for (const auto& [ours, its] : {std::pair{psk, none}, {none, psk}, {psk, Secret{9}}}) {
    begin(ours, its);
    EXPECT_EQ(initiator_->consume_response(ask()), Verdict::psk_mismatch);
    EXPECT_FALSE(initiator_->has_session());
  }
}

TEST_F(InitiatorTest, AnotherServerKnowsNothing) {
  begin();
  const WgResponder::Keys keys{Secret{44}, crypto_->public_key_of(client_key)};
  WgResponder other(*crypto_, keys);
  EXPECT_EQ(other.consume_initiation(initiate()), std::nullopt);
}

TEST_F(InitiatorTest, OnlyWhatIsUnderWayIsAnswered) {
  begin();
  const auto early = ask();
  Initiator fresh = make();
  EXPECT_EQ(fresh.consume_response(early), Verdict::invalid) << "before an initiation";
  const auto late = ask();
  EXPECT_EQ(initiator_->consume_response(early), Verdict::psk_mismatch)
      << "of the initiation before, under the same index";
  EXPECT_EQ(initiator_->consume_response(late), Verdict::authentic);
  EXPECT_EQ(initiator_->consume_response(late), Verdict::invalid) << "a second time";
  EXPECT_TRUE(initiator_->has_session());
}

TEST_F(InitiatorTest, AnotherIndex) {
  begin();
  auto response = ask();
  response[8] ^= 1u;
  server_->sign(response);
  EXPECT_TRUE(initiator_->has_valid_mac1(response));
  EXPECT_EQ(initiator_->consume_response(response), Verdict::invalid);
}

TEST_F(InitiatorTest, ForgottenHandshake) {
  begin();
  const auto response = ask();
  initiator_->forget();
  EXPECT_EQ(initiator_->consume_response(response), Verdict::invalid);
  EXPECT_EQ(secrets_.ephemeral, none);
  EXPECT_EQ(secrets_.chaining_key, none);
}

TEST_F(InitiatorTest, NoBitOfAResponseMayChange) {
  begin(psk, psk);
  const auto response = ask();
  for (std::size_t bit = 0; bit < 8 * response.size(); ++bit) {
    auto mangled = response;
    mangled[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    ASSERT_EQ(initiator_->consume_response(mangled), Verdict::invalid) << "bit " << bit;
    ASSERT_EQ(initiator_->has_valid_mac1(mangled), bit / 8 >= 76) << "bit " << bit;
  }
  EXPECT_EQ(initiator_->consume_response(response), Verdict::authentic);
}

TEST_F(InitiatorTest, NoBitOfAResponseMayChangeUnderAValidMac1) {
  begin(psk, psk);
  const auto response = ask();
  for (std::size_t bit = 0; bit < std::size_t{8 * 60}; ++bit) {
    auto mangled = response;
    mangled[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    server_->sign(mangled);
    const auto at = bit / 8;
    if (at >= 4 && at < 8) continue;  // the sender's index is part of no other proof
    ASSERT_EQ(initiator_->consume_response(mangled),
              at < 12 ? Verdict::invalid : Verdict::psk_mismatch)
        << "bit " << bit;
  }
  EXPECT_EQ(initiator_->consume_response(response), Verdict::authentic);
}

TEST_F(InitiatorTest, ResponsesOfAnotherLength) {
  begin();
  const auto response = ask();
  for (std::size_t size = 0; size < response.size(); ++size) {
    EXPECT_EQ(initiator_->consume_response(Bytes(response).first(size)), Verdict::invalid);
  }
  Packet longer(response.begin(), response.end());
  longer.push_back(0);
  EXPECT_EQ(initiator_->consume_response(longer), Verdict::invalid);
  EXPECT_EQ(initiator_->consume_response(response), Verdict::authentic);
}

TEST_F(InitiatorTest, CookieIsUsedByTheNextInitiation) {
  begin();
  const WgResponder::Cookie cookie{1, 4, 9, 16};
  const auto first = initiate();
  EXPECT_FALSE(server_->has_valid_mac2(first, cookie));
  EXPECT_TRUE(std::all_of(first.end() - 16, first.end(), [](auto byte) { return byte == 0; }));
  const auto got = initiator_->consume_cookie_reply(server_->cookie_reply(first, cookie));
  ASSERT_EQ(got, cookie);
  const auto retry = initiate(got);
  EXPECT_TRUE(server_->has_valid_mac2(retry, cookie));
  ASSERT_TRUE(server_->consume_initiation(retry));
  EXPECT_EQ(initiator_->consume_response(server_->respond(1)), Verdict::authentic);
}

TEST_F(InitiatorTest, ForgedCookieReplies) {
  begin();
  const auto reply = server_->cookie_reply(initiate(), {1, 2, 3});
  for (std::size_t bit = 0; bit < 8 * reply.size(); ++bit) {
    auto mangled = reply;
    mangled[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    ASSERT_EQ(initiator_->consume_cookie_reply(mangled), std::nullopt) << "bit " << bit;
  }
  for (std::size_t size = 0; size < reply.size(); ++size) {
    ASSERT_EQ(initiator_->consume_cookie_reply(Bytes(reply).first(size)), std::nullopt);
  }
  EXPECT_TRUE(initiator_->consume_cookie_reply(reply));
}

TEST_F(InitiatorTest, CookieRepliesOfAnotherMessage) {
  begin();
  const auto reply = server_->cookie_reply(initiate(), {1, 2, 3});
  EXPECT_FALSE(make().consume_cookie_reply(reply)) << "before an initiation";
  const auto response = ask();
  EXPECT_FALSE(initiator_->consume_cookie_reply(reply)) << "of the initiation before";
  const auto late = server_->cookie_reply(initiate(), {1, 2, 3});
  ASSERT_EQ(initiator_->consume_response(response), Verdict::psk_mismatch);
  ASSERT_TRUE(initiator_->consume_cookie_reply(late));
}

TEST_F(InitiatorTest, DataBothWays) {
  open_session();
  const Packet inner{1, 2, 3, 4, 5}, padded{1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  for (int turn = 0; turn < 3; ++turn) {
    const auto message = sealed(inner);
    EXPECT_EQ(message.size(), 48u);
    EXPECT_EQ(receiver_of(message), server_index);
    EXPECT_EQ(message[8], turn) << "its counter";
    EXPECT_EQ(server_->open(message), padded);
    EXPECT_EQ(opened(server_->seal(inner)), padded);
  }
  EXPECT_EQ(server_->open(sealed(padded)), padded) << "no padding where none is needed";
}

TEST_F(InitiatorTest, Keepalive) {
  open_session();
  const auto message = sealed({});
  EXPECT_EQ(message.size(), keepalive_size);
  EXPECT_EQ(server_->open(message), Packet{});
  EXPECT_EQ(opened(server_->seal({})), Packet{});
}

TEST_F(InitiatorTest, NoDataWithoutASession) {
  begin();
  const auto response = ask();
  Packet into(100);
  EXPECT_EQ(initiator_->seal({}, into), 0u);
  EXPECT_EQ(opened(server_->seal({})), std::nullopt);
  ASSERT_EQ(initiator_->consume_response(response), Verdict::authentic);
  EXPECT_NE(opened(server_->seal({})), std::nullopt);
  const auto last = server_->seal({});
  (void)initiate();
  EXPECT_FALSE(initiator_->has_session()) << "a new initiation forgets it";
  EXPECT_EQ(opened(last), std::nullopt);
  EXPECT_EQ(secrets_.send_key, none);
  EXPECT_EQ(secrets_.receive_key, none);
}

TEST_F(InitiatorTest, ReplayedData) {
  open_session();
  const auto first = server_->seal(Packet{1}), next = server_->seal(Packet{2});
  EXPECT_TRUE(opened(next));
  EXPECT_TRUE(opened(first)) << "out of order";
  EXPECT_FALSE(opened(first));
  EXPECT_FALSE(opened(next));
}

TEST_F(InitiatorTest, MangledData) {
  open_session();
  const auto message = server_->seal(Packet{1, 2, 3});
  for (std::size_t bit = 0; bit < 8 * message.size(); ++bit) {
    auto mangled = message;
    mangled[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    ASSERT_FALSE(opened(mangled)) << "bit " << bit;
  }
  for (std::size_t size = 0; size < message.size(); ++size) {
    ASSERT_FALSE(opened(Bytes(message).first(size))) << size;
  }
  EXPECT_TRUE(opened(message)) << "what was forged has not used up its counter";
}

TEST_F(InitiatorTest, DataOfTheSessionBefore) {
  open_session();
  EXPECT_TRUE(opened(server_->seal(Packet{1})));
  const auto old = server_->seal(Packet{1});
  ASSERT_EQ(initiator_->consume_response(ask()), Verdict::authentic);
  EXPECT_FALSE(opened(old));
  EXPECT_TRUE(opened(server_->seal(Packet{1}))) << "counters begin anew";
}

}  // namespace
}  // namespace wgvitals::probe
