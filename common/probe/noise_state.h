// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as its initiator, with any prologue and payloads
// (https://noiseprotocol.org/noise.html, revision 34). The names are that document's.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "common/model/key.h"
#include "common/probe/crypto.h"

namespace wgvitals::probe {

// All that is secret of a probe. Lives in a SecretBuffer, many in one.
struct HandshakeSecrets {
  std::array<std::uint8_t, 32> private_key, preshared_key;  // zeros: no preshared key
  std::array<std::uint8_t, 32> static_shared;               // X25519 of private_key and the server
  std::array<std::uint8_t, 32> ephemeral, chaining_key;     // of the initiation under way
  std::array<std::uint8_t, 32> send_key, receive_key;       // of the session
};

using NoiseHash = std::array<std::uint8_t, 32>;

class SymmetricState {
 public:
  // Goes on with `chaining_key` and `hash`, which outlive this.
  SymmetricState(const Crypto& crypto, KeyInto chaining_key, NoiseHash& hash)
      : crypto_(crypto), chaining_key_(chaining_key), hash_(hash) {}

  void mix_hash(Bytes data) { hash_ = crypto_.hash({hash_, data}); }
  void mix_key(Bytes input) { derive(input, {chaining_key_}); }
  void mix_key(Bytes input, KeyInto key) { derive(input, {chaining_key_, key}); }
  void mix_key_and_hash(Bytes input, KeyInto key);
  // `into` has room for the tag.
  void encrypt_and_hash(Key key, Bytes plain, std::span<std::uint8_t> into);
  bool decrypt_and_hash(Key key, Bytes sealed, std::span<std::uint8_t> into);
  void split(KeyInto first, KeyInto second) { derive({}, {first, second}); }

 private:
  void derive(Bytes input, std::initializer_list<KeyInto> outputs) const;  // HKDF

  const Crypto& crypto_;
  KeyInto chaining_key_;
  NoiseHash& hash_;
};

// The initiator, from message to message; what is secret of it is in HandshakeSecrets.
class NoiseInitiator {
 public:
  static constexpr std::size_t first_overhead = 32 + 48 + tag_size, second_overhead = 32 + tag_size;

  NoiseInitiator(const Crypto& crypto, const PublicKey& own, const PublicKey& server,
                 Bytes prologue);

  // -> e, es, s, ss, payload. With secrets.ephemeral; sets chaining_key. `first` is as large as the
  // payload and first_overhead.
  void write_first(HandshakeSecrets& secrets, Bytes payload, std::span<std::uint8_t> first);
  // <- e, ee, se, psk, payload. Sets send_key and receive_key, and wipes ephemeral and
  // chaining_key. False where it does not decrypt; all is then as before.
  bool read_second(HandshakeSecrets& secrets, Bytes second, std::span<std::uint8_t> payload);

  const PublicKey& own() const { return own_; }
  const PublicKey& server() const { return server_; }
  const NoiseHash& hash() const { return hash_; }

 private:
  const Crypto* crypto_;
  PublicKey own_, server_;
  NoiseHash first_chaining_key_, first_hash_;  // before the first message
  NoiseHash hash_{};
};

}  // namespace wgvitals::probe
