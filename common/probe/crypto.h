// libsodium and libcrypto, loaded when they are first wanted: as much of them as WireGuard's
// handshake needs. X25519 and the ciphers are libsodium's, BLAKE2s and HMAC libcrypto's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>

#include "common/base/result.h"
#include "common/model/key.h"

namespace wgvitals::probe {

using Bytes = std::span<const std::uint8_t>;
using Key = std::span<const std::uint8_t, 32>;
using KeyInto = std::span<std::uint8_t, 32>;

inline constexpr std::size_t tag_size = 16;  // of Poly1305

// 32 bytes on the stack, wiped at the end.
struct WipedKey {
  WipedKey() = default;
  WipedKey(const WipedKey&) = delete;
  WipedKey& operator=(const WipedKey&) = delete;
  ~WipedKey() { wipe(bytes); }
  static void wipe(std::span<std::uint8_t> secret);

  std::array<std::uint8_t, 32> bytes{};
};

// Its contexts are used again at each call: one thread at a time. Another thread loads its own.
// Throws std::bad_alloc where libcrypto has no memory.
class Crypto {
 public:
  // The error names the package to install.
  static Result<std::shared_ptr<const Crypto>> load();
  ~Crypto();
  Crypto(const Crypto&) = delete;
  Crypto& operator=(const Crypto&) = delete;

  // X25519 with the base point.
  PublicKey public_key_of(Key private_key) const;
  // False where `point` is of low order.
  bool x25519(Key private_key, Key point, KeyInto into) const;

  // ChaCha20-Poly1305; `into` has room for the tag, too. Of a forged message come zeros.
  void seal(Key key, std::uint64_t counter, Bytes additional, Bytes plain,
            std::span<std::uint8_t> into) const;
  bool open(Key key, std::uint64_t counter, Bytes additional, Bytes sealed,
            std::span<std::uint8_t> into) const;
  // XChaCha20-Poly1305.
  using LongNonce = std::span<const std::uint8_t, 24>;
  void seal(Key key, LongNonce nonce, Bytes additional, Bytes plain,
            std::span<std::uint8_t> into) const;
  bool open(Key key, LongNonce nonce, Bytes additional, Bytes sealed,
            std::span<std::uint8_t> into) const;

  // Of the parts, one behind the other.
  std::array<std::uint8_t, 32> hash(std::initializer_list<Bytes> parts) const;  // BLAKE2s
  void hmac(Key key, std::initializer_list<Bytes> parts, KeyInto into) const;   // HMAC-BLAKE2s
  // With the key of the hmac() before, which is not made ready again.
  void hmac_again(std::initializer_list<Bytes> parts, KeyInto into) const;
  // Keyed BLAKE2s of 16 bytes.
  std::array<std::uint8_t, 16> mac(Bytes key, Bytes message) const;

  // io where the system has none yet. Never waits.
  Result<Done> fill_random(std::span<std::uint8_t> into) const;

  // Wipes what the calls of the calling function have left of secrets: on the stack, in vector
  // registers and in the contexts.
  void wipe_traces() const;

 private:
  struct Parts;
  explicit Crypto(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

// X25519 with the base point, with libraries of its own; no function where they are missing.
std::function<std::optional<PublicKey>(Key)> make_public_key_of();

}  // namespace wgvitals::probe
