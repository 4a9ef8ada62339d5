// A WireGuard server with one peer, from bytes to bytes, known to be good: what tests of the
// initiator talk to. Written after the paper (https://www.wireguard.com/papers/wireguard.pdf, 5.4)
// and apart from the initiator: they share the primitives alone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/model/key.h"
#include "common/probe/crypto.h"

namespace wgvitals::test {

class WgResponder {
 public:
  using Bytes = std::span<const std::uint8_t>;
  using Secret = std::array<std::uint8_t, 32>;
  using Timestamp = std::array<std::uint8_t, 12>;
  using Cookie = std::array<std::uint8_t, 16>;
  struct Keys {
    Secret private_key;
    PublicKey peer;
    Secret preshared_key{};  // zeros: none
  };

  // `crypto` outlives this.
  WgResponder(const probe::Crypto& crypto, const Keys& keys);

  const PublicKey& public_key() const { return own_; }

  // Takes an initiation as a server that is not loaded: of the right length, with valid MAC1, from
  // the peer, with a timestamp later than all before. Returns that; empty: a server would be
  // silent. After it respond() is possible, once.
  std::optional<Timestamp> consume_initiation(Bytes initiation);
  // With a new session, which takes the place of the last one. `ephemeral`: else random.
  std::array<std::uint8_t, 92> respond(std::uint32_t own_index,
                                       const std::optional<Secret>& ephemeral = std::nullopt);
  // MAC1 anew, over a response that was changed.
  void sign(std::span<std::uint8_t, 92> response) const;

  // As a loaded server: its answer to an initiation, and whether the next one is good.
  std::array<std::uint8_t, 64> cookie_reply(Bytes initiation, const Cookie& cookie,
                                            const std::array<std::uint8_t, 24>& nonce = {1, 2,
                                                                                         3}) const;
  bool has_valid_mac2(Bytes initiation, const Cookie& cookie) const;

  // Data of the session. Every message is opened as often as it comes.
  std::vector<std::uint8_t> seal(Bytes inner);                         // padded
  std::optional<std::vector<std::uint8_t>> open(Bytes message) const;  // with its padding

  void forget_timestamp() { last_.reset(); }

 private:
  // What is known of a handshake: H, C and the peer's part in it.
  struct Handshake {
    Secret hash, chain;
    std::array<std::uint8_t, 32> ephemeral;
    std::uint32_t peer_index = 0;
  };
  Secret label_hash(const char* label, const PublicKey& key) const;
  // KDF_n of the paper: its first, second and third output.
  std::array<Secret, 3> kdf(const Secret& key, Bytes input) const;
  Secret dh(const Secret& secret, Bytes point) const;

  const probe::Crypto& crypto_;
  Keys keys_;
  PublicKey own_;
  std::optional<Handshake> handshake_;
  std::optional<Timestamp> last_;
  std::uint32_t index_ = 0, peer_index_ = 0;
  std::uint64_t counter_ = 0;
  Secret sending_{}, receiving_{};
};

}  // namespace wgvitals::test
