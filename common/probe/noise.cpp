#include "common/probe/noise.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <string>
#include <string_view>

namespace wgvitals::probe {
namespace {

constexpr std::string_view identifier = "WireGuard v1 zx2c4 Jason@zx2c4.com";
constexpr std::string_view mac1_label = "mac1----", cookie_label = "cookie--";

// Where the fields are.
constexpr std::size_t sender_at = 4, first_at = 8, initiation_mac1_at = 116;
constexpr std::size_t second_at = 12, response_mac1_at = 60, mac_size = 16;
constexpr std::size_t nonce_at = 8, cookie_at = 32, counter_at = 8, data_at = 16;

constexpr std::uint64_t reject_after_messages = std::numeric_limits<std::uint64_t>::max() - 8192;

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

template <class Number>
Number get(Bytes bytes, std::size_t at) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) number |= Number{bytes[at + i]} << (8 * i);
  return number;
}

template <class Number>
void put(std::span<std::uint8_t> bytes, std::size_t at, Number number) {
  for (std::size_t i = 0; i < sizeof number; ++i) {
    bytes[at + i] = static_cast<std::uint8_t>(number >> (8 * i));
  }
}

bool has_type(Bytes packet, MessageType type) {
  return packet.size() >= 4 && get<std::uint32_t>(packet, 0) == static_cast<std::uint32_t>(type);
}

bool equal(Bytes a, Bytes b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// At the end of a function, what its calls have left of secrets is wiped.
class WipeAtEnd {
 public:
  explicit WipeAtEnd(const Crypto& crypto) : crypto_(crypto) {}
  WipeAtEnd(const WipeAtEnd&) = delete;
  WipeAtEnd& operator=(const WipeAtEnd&) = delete;
  ~WipeAtEnd() { crypto_.wipe_traces(); }

 private:
  const Crypto& crypto_;
};

}  // namespace

Tai64n to_tai64n(std::int64_t wall_ns) {
  constexpr std::int64_t second = 1'000'000'000;
  constexpr std::uint64_t epoch = (std::uint64_t{1} << 62u) + 10;  // as tai64n_now of the kernel
  const auto part = (wall_ns % second + second) % second;
  auto seconds = epoch + static_cast<std::uint64_t>((wall_ns - part) / second);
  auto nanoseconds = static_cast<std::uint32_t>(part);
  Tai64n label;
  for (std::size_t i = 8; i-- > 0; seconds >>= 8u) label[i] = static_cast<std::uint8_t>(seconds);
  for (std::size_t i = 12; i-- > 8; nanoseconds >>= 8u) {
    label[i] = static_cast<std::uint8_t>(nanoseconds);
  }
  return label;
}

std::optional<MessageType> type_of(Bytes packet) {
  for (const auto type : {MessageType::initiation, MessageType::response, MessageType::cookie_reply,
                          MessageType::data}) {
    if (has_type(packet, type)) return type;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> receiver_of(Bytes packet) {
  const bool response = has_type(packet, MessageType::response);
  const std::size_t at = response ? 8 : 4;
  const bool has_one = response || has_type(packet, MessageType::cookie_reply) ||
                       has_type(packet, MessageType::data);
  if (!has_one || packet.size() < at + 4) return std::nullopt;
  return get<std::uint32_t>(packet, at);
}

std::optional<std::uint32_t> sender_of_quote(Bytes quoted) {
  if (!has_type(quoted, MessageType::initiation) || quoted.size() < sender_at + 4) {
    return std::nullopt;
  }
  return get<std::uint32_t>(quoted, sender_at);
}

bool ReplayWindow::would_take(std::uint64_t counter) const {
  if (counter >= reject_after_messages) return false;
  if (counter >= next_) return true;
  const auto behind = next_ - 1 - counter;
  return behind < 64 && (seen_ >> behind & 1u) == 0;
}

void ReplayWindow::take(std::uint64_t counter) {
  if (counter >= next_) {
    const auto ahead = counter - next_ + 1;
    seen_ = ahead < 64 ? seen_ << ahead : 0;
    next_ = counter + 1;
  }
  seen_ |= std::uint64_t{1} << (next_ - 1 - counter);
}

Initiator::Initiator(const Crypto& crypto, const PublicKey& own, const PublicKey& server,
                     HandshakeSecrets& secrets)
    : crypto_(&crypto),
      secrets_(&secrets),
      noise_(crypto, own, server, bytes_of(identifier)),
      server_mac1_key_(crypto.hash({bytes_of(mac1_label), server.bytes})),
      own_mac1_key_(crypto.hash({bytes_of(mac1_label), own.bytes})),
      server_cookie_key_(crypto.hash({bytes_of(cookie_label), server.bytes})) {}

Result<Initiator> Initiator::make(const Crypto& crypto, const PublicKey& server,
                                  HandshakeSecrets& secrets) {
  const WipeAtEnd wipe(crypto);
  const auto own = crypto.public_key_of(secrets.private_key);
  if (!crypto.x25519(secrets.private_key, server.bytes, secrets.static_shared)) {
    return Error{Errc::malformed, 0,
                 std::string(view(to_base64(server))) +
                     ": a public key that no server can have (a point of low order); ask the "
                     "server for its own: wg show INTERFACE public-key"};
  }
  return Initiator(crypto, own, server, secrets);
}

Result<std::array<std::uint8_t, initiation_size>> Initiator::initiate(
    std::uint32_t index, const Tai64n& timestamp,
    const std::optional<std::array<std::uint8_t, 16>>& cookie) {
  forget();
  if (auto filled = crypto_->fill_random(secrets_->ephemeral); !filled) return filled.error();
  const WipeAtEnd wipe(*crypto_);
  std::array<std::uint8_t, initiation_size> message{};
  const std::span all(message);
  put(all, 0, static_cast<std::uint32_t>(MessageType::initiation));
  put(all, sender_at, index);
  noise_.write_first(*secrets_, timestamp, all.subspan(first_at, initiation_mac1_at - first_at));
  sent_mac1_ = crypto_->mac(server_mac1_key_, all.first(initiation_mac1_at));
  const auto behind =
      std::copy(sent_mac1_.begin(), sent_mac1_.end(), message.begin() + initiation_mac1_at);
  if (cookie) {
    const auto mac2 = crypto_->mac(*cookie, all.first(initiation_mac1_at + mac_size));
    std::copy(mac2.begin(), mac2.end(), behind);
  }
  index_ = index;
  under_way_ = true;
  return message;
}

bool Initiator::answers(Bytes packet, MessageType type) const {
  return has_type(packet, type) && receiver_of(packet) == index_;
}

bool Initiator::has_valid_mac1(Bytes response) const {
  return response.size() == response_size && has_type(response, MessageType::response) &&
         equal(crypto_->mac(own_mac1_key_, response.first(response_mac1_at)),
               response.subspan(response_mac1_at, mac_size));
}

Initiator::Verdict Initiator::consume_response(Bytes packet) {
  if (!under_way_ || !answers(packet, MessageType::response) || !has_valid_mac1(packet)) {
    return Verdict::invalid;
  }
  const auto mac2 = packet.subspan(response_mac1_at + mac_size);
  if (std::any_of(mac2.begin(), mac2.end(), [](std::uint8_t byte) { return byte != 0; })) {
    return Verdict::invalid;
  }
  const WipeAtEnd wipe(*crypto_);
  const auto second = packet.subspan(second_at, response_mac1_at - second_at);
  if (!noise_.read_second(*secrets_, second, {})) return Verdict::psk_mismatch;
  server_index_ = get<std::uint32_t>(packet, sender_at);
  send_counter_ = 0;
  received_ = {};
  under_way_ = false;
  session_ = true;
  return Verdict::authentic;
}

std::optional<std::array<std::uint8_t, 16>> Initiator::consume_cookie_reply(Bytes packet) const {
  if (!under_way_ || packet.size() != cookie_reply_size ||
      !answers(packet, MessageType::cookie_reply)) {
    return std::nullopt;
  }
  const auto nonce = packet.subspan<nonce_at, cookie_at - nonce_at>();
  std::array<std::uint8_t, 16> cookie;
  if (!crypto_->open(server_cookie_key_, nonce, sent_mac1_, packet.subspan(cookie_at), cookie)) {
    return std::nullopt;
  }
  return cookie;
}

std::size_t Initiator::seal(Bytes inner, std::span<std::uint8_t> into) {
  const auto padded = (inner.size() + 15) / 16 * 16;
  assert(into.size() >= padded + data_overhead);
  if (!session_) return 0;
  const WipeAtEnd wipe(*crypto_);
  put(into, 0, static_cast<std::uint32_t>(MessageType::data));
  put(into, sender_at, server_index_);
  put(into, counter_at, send_counter_);
  const auto plain = into.subspan(data_at, padded);
  std::fill(std::copy(inner.begin(), inner.end(), plain.begin()), plain.end(), std::uint8_t{0});
  crypto_->seal(secrets_->send_key, send_counter_++, {}, plain, into.subspan(data_at));
  return padded + data_overhead;
}

std::optional<std::span<std::uint8_t>> Initiator::open(Bytes message,
                                                       std::span<std::uint8_t> into) {
  if (!session_ || message.size() < data_overhead || !answers(message, MessageType::data)) {
    return std::nullopt;
  }
  const auto counter = get<std::uint64_t>(message, counter_at);
  if (!received_.would_take(counter)) return std::nullopt;
  const WipeAtEnd wipe(*crypto_);
  if (!crypto_->open(secrets_->receive_key, counter, {}, message.subspan(data_at), into)) {
    return std::nullopt;
  }
  received_.take(counter);
  return into.first(message.size() - data_overhead);
}

void Initiator::forget() {
  for (auto* const secret : {&secrets_->ephemeral, &secrets_->chaining_key, &secrets_->send_key,
                             &secrets_->receive_key}) {
    WipedKey::wipe(*secret);
  }
  under_way_ = session_ = false;
}

}  // namespace wgvitals::probe
