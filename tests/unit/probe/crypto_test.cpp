// Each primitive against what others have published of it, or computed.

#include "common/probe/crypto.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/hex.h"

namespace wgvitals::probe {
namespace {

using test::from_hex;

std::shared_ptr<const Crypto> load() {
  auto crypto = Crypto::load();
  if (!crypto) throw std::runtime_error(to_text(crypto.error()));
  return *crypto;
}

Bytes bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::vector<std::uint8_t> counting(std::uint8_t from, std::size_t size) {
  std::vector<std::uint8_t> numbers;
  numbers.reserve(size);
  while (numbers.size() < size) numbers.push_back(from++);
  return numbers;
}

class CryptoTest : public testing::Test {
 protected:
  const std::shared_ptr<const Crypto> crypto_ = load();
};

// RFC 7748, 6.1
const auto alice = from_hex<32>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
const auto bob = from_hex<32>("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
const auto bobs = from_hex<32>("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");

TEST_F(CryptoTest, X25519) {
  EXPECT_EQ(crypto_->public_key_of(bob).bytes, bobs);
  std::array<std::uint8_t, 32> shared{};
  ASSERT_TRUE(crypto_->x25519(alice, bobs, shared));
  EXPECT_EQ(shared, from_hex<32>("4a5d9d5ba4ce2de1728e3bf480350f25"
                                 "e07e21c947d19e3376f09b3c1e161742"));
}

TEST_F(CryptoTest, X25519RefusesLowOrder) {
  std::array<std::uint8_t, 32> shared{};
  for (const auto low : {std::uint8_t{0}, std::uint8_t{1}}) {
    const std::array<std::uint8_t, 32> point{low};
    EXPECT_FALSE(crypto_->x25519(alice, point, shared)) << int{low};
  }
}

// What it computes is in the vector of noise_state_test.cpp.
TEST_F(CryptoTest, ChaChaRefusesWhatWasChanged) {
  const auto key = counting(1, 32);
  const auto plain = counting(0, 20);
  std::vector<std::uint8_t> sealed(plain.size() + tag_size);
  crypto_->seal(Key(key), 7, bytes("with"), plain, sealed);
  std::vector<std::uint8_t> opened(plain.size());
  ASSERT_TRUE(crypto_->open(Key(key), 7, bytes("with"), sealed, opened));
  EXPECT_EQ(opened, plain);
  EXPECT_FALSE(crypto_->open(Key(key), 8, bytes("with"), sealed, opened));
  EXPECT_FALSE(crypto_->open(Key(key), 7, bytes("wiTh"), sealed, opened));
  EXPECT_FALSE(crypto_->open(Key(key), 7, bytes("with"), Bytes(sealed).first(35), opened));
  EXPECT_FALSE(crypto_->open(Key(key), 7, bytes("with"), Bytes(sealed).first(15), opened));
  EXPECT_FALSE(crypto_->open(Key(key), 7, bytes("with"), {}, opened));
}

// draft-irtf-cfrg-xchacha-03, A.3.1
TEST_F(CryptoTest, XChaCha) {
  constexpr std::string_view plain =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  const auto key = counting(0x80, 32), nonce = counting(0x40, 24);
  const auto additional = from_hex("50515253c0c1c2c3c4c5c6c7");
  std::vector<std::uint8_t> sealed(plain.size() + tag_size);
  crypto_->seal(Key(key), Crypto::LongNonce(nonce), additional, bytes(plain), sealed);
  EXPECT_EQ(sealed, from_hex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
                             "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
                             "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
                             "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780a"
                             "cf49"));
  std::vector<std::uint8_t> opened(plain.size());
  ASSERT_TRUE(crypto_->open(Key(key), Crypto::LongNonce(nonce), additional, sealed, opened));
  EXPECT_TRUE(std::equal(opened.begin(), opened.end(), plain.begin(), plain.end()));
  sealed[100] ^= 1u;
  EXPECT_FALSE(crypto_->open(Key(key), Crypto::LongNonce(nonce), additional, sealed, opened));
}

// RFC 7693, appendix B
TEST_F(CryptoTest, Blake2s) {
  const auto hash =
      from_hex<32>("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
  EXPECT_EQ(crypto_->hash({bytes("abc")}), hash);
  EXPECT_EQ(crypto_->hash({bytes("a"), {}, bytes("bc")}), hash);
}

// By Python's hmac and hashlib.
TEST_F(CryptoTest, Hmac) {
  const auto key = counting(0, 32);
  std::array<std::uint8_t, 32> code{};
  for (int turn = 0; turn < 2; ++turn) {
    crypto_->hmac(Key(key), {bytes("a"), bytes("bc")}, code);
    EXPECT_EQ(code,
              from_hex<32>("82623be5bc0a391b24dce53e67d028eff92d586de0485ac37822e597d049c74f"));
    const auto first = code;
    crypto_->hmac_again({bytes("other")}, code);
    EXPECT_NE(code, first);
    crypto_->hmac_again({bytes("abc")}, code);
    EXPECT_EQ(code, first);
    crypto_->wipe_traces();
  }
}

TEST_F(CryptoTest, KeyedBlake2s) {
  std::string text;
  for (int i = 0; i < 15; ++i) text += "WireGuard";
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_EQ(crypto_->mac(counting(0, 32), bytes(text)),
              from_hex<16>("6a4c418430ccd5aed0c8f6c207ae46b3"));
    EXPECT_EQ(crypto_->mac(counting(0, 16), bytes(text).first(132)),
              from_hex<16>("3418703ab5f3eac482d18d956bd4c020"));
  }
}

TEST_F(CryptoTest, RandomNumbersDiffer) {
  std::array<std::uint8_t, 32> one{}, other{};
  ASSERT_TRUE(crypto_->fill_random(one));
  ASSERT_TRUE(crypto_->fill_random(other));
  EXPECT_NE(one, other);
}

}  // namespace
}  // namespace wgvitals::probe
