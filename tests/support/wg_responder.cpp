#include "tests/support/wg_responder.h"

#include <cstring>
#include <stdexcept>

namespace wgvitals::test {
namespace {

using Bytes = WgResponder::Bytes;

Bytes text(const char* text) {
  return {reinterpret_cast<const std::uint8_t*>(text), std::strlen(text)};
}

// The machines of tests are little-endian, as the protocol.
std::uint32_t number_at(Bytes bytes, std::size_t at) {
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.subspan(at, 4).data(), 4);
  return number;
}

template <class Value>
void set(std::span<std::uint8_t> message, std::size_t at, const Value& value) {
  std::memcpy(message.subspan(at, sizeof value).data(), &value, sizeof value);
}

bool same(Bytes a, Bytes b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

WgResponder::WgResponder(const probe::Crypto& crypto, const Keys& keys)
    : crypto_(crypto), keys_(keys), own_(crypto.public_key_of(keys.private_key)) {}

WgResponder::Secret WgResponder::label_hash(const char* label, const PublicKey& key) const {
  return crypto_.hash({text(label), key.bytes});
}

std::array<WgResponder::Secret, 3> WgResponder::kdf(const Secret& key, Bytes input) const {
  const std::uint8_t one = 1, two = 2, three = 3;
  Secret temporary;
  std::array<Secret, 3> out;
  crypto_.hmac(key, {input}, temporary);
  crypto_.hmac(temporary, {Bytes(&one, 1)}, out[0]);
  crypto_.hmac(temporary, {out[0], Bytes(&two, 1)}, out[1]);
  crypto_.hmac(temporary, {out[1], Bytes(&three, 1)}, out[2]);
  return out;
}

WgResponder::Secret WgResponder::dh(const Secret& secret, Bytes point) const {
  Secret shared;
  (void)crypto_.x25519(secret, point.first<32>(), shared);
  return shared;
}

std::optional<WgResponder::Timestamp> WgResponder::consume_initiation(Bytes initiation) {
  if (initiation.size() != 148 || number_at(initiation, 0) != 1) return std::nullopt;
  const auto mac1 = crypto_.mac(label_hash("mac1----", own_), initiation.first(116));
  if (!same(mac1, initiation.subspan(116, 16))) return std::nullopt;

  Handshake handshake;
  const auto ephemeral = initiation.subspan(8, 32);
  std::memcpy(handshake.ephemeral.data(), ephemeral.data(), 32);
  handshake.peer_index = number_at(initiation, 4);
  auto& h = handshake.hash;
  auto& c = handshake.chain;
  c = crypto_.hash({text("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")});
  h = crypto_.hash({c, text("WireGuard v1 zx2c4 Jason@zx2c4.com")});
  h = crypto_.hash({h, own_.bytes});
  c = kdf(c, ephemeral)[0];
  h = crypto_.hash({h, ephemeral});

  const auto encrypted_static = initiation.subspan(40, 48);
  auto keys = kdf(c, dh(keys_.private_key, ephemeral));
  Secret peer;
  if (!crypto_.open(keys[1], 0, h, encrypted_static, peer)) return std::nullopt;
  if (peer != keys_.peer.bytes) return std::nullopt;
  h = crypto_.hash({h, encrypted_static});

  const auto encrypted_timestamp = initiation.subspan(88, 28);
  keys = kdf(keys[0], dh(keys_.private_key, keys_.peer.bytes));
  Timestamp timestamp;
  if (!crypto_.open(keys[1], 0, h, encrypted_timestamp, timestamp)) return std::nullopt;
  c = keys[0];
  h = crypto_.hash({h, encrypted_timestamp});
  if (last_ && timestamp <= *last_) return std::nullopt;
  last_ = timestamp;
  handshake_ = handshake;
  return timestamp;
}

std::array<std::uint8_t, 92> WgResponder::respond(std::uint32_t own_index,
                                                  const std::optional<Secret>& ephemeral) {
  if (!handshake_) throw std::logic_error("no initiation to respond to");
  auto [h, c, peer_ephemeral, peer_index] = *handshake_;
  handshake_.reset();
  Secret secret = ephemeral.value_or(Secret{});
  if (!ephemeral && !crypto_.fill_random(secret)) throw std::runtime_error("no random numbers");

  std::array<std::uint8_t, 92> response{};
  const std::span message(response);
  set(message, 0, std::uint32_t{2});
  set(message, 4, own_index);
  set(message, 8, peer_index);
  const auto mine = crypto_.public_key_of(secret).bytes;
  set(message, 12, mine);
  c = kdf(c, mine)[0];
  h = crypto_.hash({h, mine});
  c = kdf(c, dh(secret, peer_ephemeral))[0];
  c = kdf(c, dh(secret, keys_.peer.bytes))[0];
  const auto [chain, tau, key] = kdf(c, keys_.preshared_key);
  h = crypto_.hash({h, tau});
  crypto_.seal(key, 0, h, {}, message.subspan(44, 16));
  sign(message);

  const auto session = kdf(chain, {});
  receiving_ = session[0];
  sending_ = session[1];
  index_ = own_index;
  peer_index_ = peer_index;
  counter_ = 0;
  return response;
}

void WgResponder::sign(std::span<std::uint8_t, 92> response) const {
  set(response, 60, crypto_.mac(label_hash("mac1----", keys_.peer), response.first(60)));
}

std::array<std::uint8_t, 64> WgResponder::cookie_reply(
    Bytes initiation, const Cookie& cookie, const std::array<std::uint8_t, 24>& nonce) const {
  std::array<std::uint8_t, 64> reply{};
  const std::span message(reply);
  set(message, 0, std::uint32_t{3});
  set(message, 4, number_at(initiation, 4));
  set(message, 8, nonce);
  crypto_.seal(label_hash("cookie--", own_), nonce, initiation.subspan(116, 16), cookie,
               message.subspan(32));
  return reply;
}

bool WgResponder::has_valid_mac2(Bytes initiation, const Cookie& cookie) const {
  return initiation.size() == 148 &&
         same(crypto_.mac(cookie, initiation.first(132)), initiation.subspan(132));
}

std::vector<std::uint8_t> WgResponder::seal(Bytes inner) {
  std::vector<std::uint8_t> padded(inner.begin(), inner.end());
  padded.resize((inner.size() + 15) / 16 * 16);
  std::vector<std::uint8_t> message(padded.size() + 32);
  set(message, 0, std::uint32_t{4});
  set(message, 4, peer_index_);
  set(message, 8, counter_);
  crypto_.seal(sending_, counter_, {}, padded, std::span(message).subspan(16));
  ++counter_;
  return message;
}

std::optional<std::vector<std::uint8_t>> WgResponder::open(Bytes message) const {
  if (message.size() < 32 || number_at(message, 0) != 4 || number_at(message, 4) != index_) {
    return std::nullopt;
  }
  const auto counter = number_at(message, 8) | std::uint64_t{number_at(message, 12)} << 32u;
  std::vector<std::uint8_t> inner(message.size() - 32);
  if (!crypto_.open(receiving_, counter, {}, message.subspan(16), inner)) return std::nullopt;
  return inner;
}

}  // namespace wgvitals::test
