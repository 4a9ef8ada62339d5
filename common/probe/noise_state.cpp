#include "common/probe/noise_state.h"

#include <algorithm>
#include <cassert>
#include <string_view>

namespace wgvitals::probe {
namespace {

constexpr std::string_view protocol_name = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

void SymmetricState::derive(Bytes input, std::initializer_list<KeyInto> outputs) const {
  WipedKey temporary;
  crypto_.hmac(chaining_key_, {input}, temporary.bytes);
  Bytes previous;
  std::uint8_t number = 0;
  for (const auto output : outputs) {
    const Bytes last(&++number, 1);
    if (previous.empty()) {
      crypto_.hmac(temporary.bytes, {last}, output);
    } else {
      crypto_.hmac_again({previous, last}, output);
    }
    previous = output;
  }
}

void SymmetricState::mix_key_and_hash(Bytes input, KeyInto key) {
  WipedKey temporary;
  derive(input, {chaining_key_, temporary.bytes, key});
  mix_hash(temporary.bytes);
}

void SymmetricState::encrypt_and_hash(Key key, Bytes plain, std::span<std::uint8_t> into) {
  crypto_.seal(key, 0, hash_, plain, into);
  mix_hash(into.first(plain.size() + tag_size));
}

bool SymmetricState::decrypt_and_hash(Key key, Bytes sealed, std::span<std::uint8_t> into) {
  if (!crypto_.open(key, 0, hash_, sealed, into)) return false;
  mix_hash(sealed);
  return true;
}

NoiseInitiator::NoiseInitiator(const Crypto& crypto, const PublicKey& own, const PublicKey& server,
                               Bytes prologue)
    : crypto_(&crypto), own_(own), server_(server) {
  first_chaining_key_ = crypto.hash({bytes_of(protocol_name)});
  first_hash_ = crypto.hash({first_chaining_key_, prologue});
  first_hash_ = crypto.hash({first_hash_, server.bytes});
}

void NoiseInitiator::write_first(HandshakeSecrets& secrets, Bytes payload,
                                 std::span<std::uint8_t> first) {
  assert(first.size() == payload.size() + first_overhead);
  hash_ = first_hash_;
  secrets.chaining_key = first_chaining_key_;
  SymmetricState state(*crypto_, secrets.chaining_key, hash_);
  WipedKey key, shared;
  const auto ephemeral = crypto_->public_key_of(secrets.ephemeral);
  std::copy(ephemeral.bytes.begin(), ephemeral.bytes.end(), first.begin());
  state.mix_hash(ephemeral.bytes);
  state.mix_key(ephemeral.bytes);
  (void)crypto_->x25519(secrets.ephemeral, server_.bytes, shared.bytes);
  state.mix_key(shared.bytes, key.bytes);
  state.encrypt_and_hash(key.bytes, own_.bytes, first.subspan(32, 48));
  state.mix_key(secrets.static_shared, key.bytes);
  state.encrypt_and_hash(key.bytes, payload, first.subspan(80));
}

bool NoiseInitiator::read_second(HandshakeSecrets& secrets, Bytes second,
                                 std::span<std::uint8_t> payload) {
  if (second.size() != payload.size() + second_overhead) return false;
  auto hash = hash_;
  WipedKey chaining_key, key, shared;
  chaining_key.bytes = secrets.chaining_key;
  SymmetricState state(*crypto_, chaining_key.bytes, hash);
  const auto ephemeral = second.first<32>();
  state.mix_hash(ephemeral);
  state.mix_key(ephemeral);
  if (!crypto_->x25519(secrets.ephemeral, ephemeral, shared.bytes)) return false;
  state.mix_key(shared.bytes);
  if (!crypto_->x25519(secrets.private_key, ephemeral, shared.bytes)) return false;
  state.mix_key(shared.bytes);
  state.mix_key_and_hash(secrets.preshared_key, key.bytes);
  if (!state.decrypt_and_hash(key.bytes, second.subspan(32), payload)) return false;
  state.split(secrets.send_key, secrets.receive_key);
  hash_ = hash;
  WipedKey::wipe(secrets.ephemeral);
  WipedKey::wipe(secrets.chaining_key);
  return true;
}

}  // namespace wgvitals::probe
