// WireGuard's handshake as its initiator, and the session that comes of it: Noise_IKpsk2 over
// X25519, ChaCha20-Poly1305 and BLAKE2s with WireGuard's MACs and cookies
// (https://www.wireguard.com/protocol/). From bytes to bytes: no sockets, no clock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/base/result.h"
#include "common/model/key.h"
#include "common/probe/crypto.h"
#include "common/probe/noise_state.h"

namespace wgvitals::probe {

// Message types and sizes (drivers/net/wireguard/messages.h).
enum class MessageType : std::uint8_t { initiation = 1, response = 2, cookie_reply = 3, data = 4 };
inline constexpr std::size_t initiation_size = 148, response_size = 92, cookie_reply_size = 64;
inline constexpr std::size_t data_overhead = 32, keepalive_size = 32;

using Tai64n = std::array<std::uint8_t, 12>;
Tai64n to_tai64n(std::int64_t wall_ns);  // since 1970

// What packets from outside claim to be. They prove nothing.
std::optional<MessageType> type_of(Bytes packet);            // empty: none of the four
std::optional<std::uint32_t> receiver_of(Bytes packet);      // of response, cookie reply and data
std::optional<std::uint32_t> sender_of_quote(Bytes quoted);  // of an initiation's first 8 bytes

// Received counters of data messages: none counts twice, and none that is too far behind.
class ReplayWindow {
 public:
  bool would_take(std::uint64_t counter) const;
  void take(std::uint64_t counter);

 private:
  std::uint64_t next_ = 0;  // one more than the largest
  std::uint64_t seen_ = 0;  // bit i: next_ - 1 - i
};

class Initiator {
 public:
  enum class Verdict : std::uint8_t {
    authentic,
    psk_mismatch,  // our index and a valid MAC1, and does not decrypt
    invalid,       // fails by length, index or MAC1, or has a MAC2: we gave no cookie
  };

  // `secrets` has private_key and preshared_key set; it and `crypto` outlive this. malformed where
  // `server` is a point of low order.
  static Result<Initiator> make(const Crypto& crypto, const PublicKey& server,
                                HandshakeSecrets& secrets);

  const PublicKey& own_key() const { return noise_.own(); }

  // Begins anew: what was under way before, and its session, is forgotten. `index`: another one
  // each time, or a late response to the one before is taken for psk_mismatch. With MAC2 where
  // `cookie` is given. io where the system gives no random numbers.
  Result<std::array<std::uint8_t, initiation_size>> initiate(
      std::uint32_t index, const Tai64n& timestamp,
      const std::optional<std::array<std::uint8_t, 16>>& cookie);

  // Of the initiation under way; after `authentic` there is a session, and another response is
  // invalid. Of the server's index MAC1 is the only proof: that is so in WireGuard.
  Verdict consume_response(Bytes packet);
  bool has_valid_mac1(Bytes response) const;  // of any initiation of this probe
  // Empty where it does not answer the initiation under way or is forged.
  std::optional<std::array<std::uint8_t, 16>> consume_cookie_reply(Bytes packet) const;

  bool has_session() const { return session_; }
  // A data message with this packet inside, padded; an empty one is a keepalive. `into` has room
  // for size padded to 16 and data_overhead. Returns the message's size; 0 without a session.
  std::size_t seal(Bytes inner, std::span<std::uint8_t> into);
  // The inner packet with its padding, in `into` (as large as the message); empty where it is
  // forged, another session's, or came before.
  std::optional<std::span<std::uint8_t>> open(Bytes message, std::span<std::uint8_t> into);

  void forget();  // handshake and session: wiped

 private:
  using Hash = std::array<std::uint8_t, 32>;

  Initiator(const Crypto& crypto, const PublicKey& own, const PublicKey& server,
            HandshakeSecrets& secrets);
  bool answers(Bytes packet, MessageType type) const;

  const Crypto* crypto_;
  HandshakeSecrets* secrets_;
  NoiseInitiator noise_;
  Hash server_mac1_key_, own_mac1_key_, server_cookie_key_;
  std::array<std::uint8_t, 16> sent_mac1_{};
  std::uint32_t index_ = 0, server_index_ = 0;
  std::uint64_t send_counter_ = 0;
  ReplayWindow received_;
  bool under_way_ = false, session_ = false;
};

}  // namespace wgvitals::probe
