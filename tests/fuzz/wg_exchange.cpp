#include "tests/fuzz/wg_exchange.h"

#include <sys/random.h>

#include "tests/fuzz/check.h"

// In the place of libc's: each run has the same ephemeral key.
extern "C" ssize_t getrandom(void* buffer, std::size_t length, unsigned) {
  std::memset(buffer, 0x5a, length);
  return static_cast<ssize_t>(length);
}

namespace wgvitals::fuzz {
namespace {

constexpr test::WgResponder::Secret client_key{1, 2, 3}, server_key{4, 5, 6}, psk{7, 8, 9};

template <class Array>
WgExchange::Packet packet(const Array& bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace

WgExchange::WgExchange(bool session) {
  auto crypto = probe::Crypto::load();
  check(crypto.has_value(), "libsodium and libcrypto are there");
  crypto_ = *crypto;
  server_ = std::make_unique<test::WgResponder>(
      *crypto_, test::WgResponder::Keys{server_key, crypto_->public_key_of(client_key), psk});
  secrets_.private_key = client_key;
  secrets_.preshared_key = psk;
  auto made = probe::Initiator::make(*crypto_, server_->public_key(), secrets_);
  check(made.has_value(), "the server's key is good");
  initiator_ = std::make_unique<probe::Initiator>(*made);
  const auto initiation = initiator_->initiate(index, probe::to_tai64n(1), std::nullopt);
  check(initiation.has_value(), "there are random numbers");
  check(server_->consume_initiation(*initiation).has_value(), "the server knows the key");
  cookie_reply_ = packet(server_->cookie_reply(*initiation, cookie));
  response_ = packet(server_->respond(5, test::WgResponder::Secret{10, 11, 12}));
  if (session) {
    check(initiator_->consume_response(response_) == probe::Initiator::Verdict::authentic,
          "the response is authentic");
  }
  first_ = std::make_unique<probe::Initiator>(*initiator_);
  first_secrets_ = secrets_;
}

void WgExchange::rewind() {
  *initiator_ = *first_;
  secrets_ = first_secrets_;
}

WgExchange::Packet changed(WgExchange::Packet packet, Bytes& bytes) {
  const auto place = [&] { return bytes.number<std::uint16_t>() % packet.size(); };
  for (auto changes = bytes.below(16); changes > 0; --changes) {
    const auto kind = bytes.below(6);
    if (kind == 0 || packet.empty()) {
      packet.resize(bytes.number<std::uint16_t>() % 512, bytes.number<std::uint8_t>());
    } else if (kind == 1) {
      packet.resize(place());
    } else if (kind == 2) {
      packet[place()] = bytes.number<std::uint8_t>();
    } else if (kind == 3) {
      packet[place()] ^= static_cast<std::uint8_t>(1u << bytes.below(8));
    } else if (kind == 4) {
      packet[place()] = packet[place()];
    } else {
      for (const auto byte : bytes.text()) packet.push_back(static_cast<std::uint8_t>(byte));
    }
  }
  return packet;
}

}  // namespace wgvitals::fuzz
