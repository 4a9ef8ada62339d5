// The vector of Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s that haskell-cryptography/cacophony and
// mcginty/snow publish (vectors/cacophony.txt).

#include "common/probe/noise_state.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <vector>

#include "tests/support/hex.h"

namespace wgvitals::probe {
namespace {

using test::from_hex;

class NoiseVector : public testing::Test {
 protected:
  void SetUp() override {
    auto crypto = Crypto::load();
    if (!crypto) throw std::runtime_error(to_text(crypto.error()));
    crypto_ = *crypto;
    secrets_.private_key =
        from_hex<32>("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1");
    secrets_.ephemeral =
        from_hex<32>("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a");
    secrets_.preshared_key =
        from_hex<32>("54686973206973206d7920417573747269616e20706572737065637469766521");
    ASSERT_TRUE(crypto_->x25519(secrets_.private_key, server_.bytes, secrets_.static_shared));
  }

  NoiseInitiator initiator() const {
    return {*crypto_, crypto_->public_key_of(secrets_.private_key), server_,
            from_hex("4a6f686e2047616c74")};
  }

  const PublicKey server_{
      from_hex<32>("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62")};
  const std::vector<std::uint8_t> second_ = from_hex(
      "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843cb765f2caef0751b8f"
      "007572dab0322217755c0632f365717edbf34d33e87a");
  std::shared_ptr<const Crypto> crypto_;
  HandshakeSecrets secrets_{};
};

TEST_F(NoiseVector, WholeHandshakeAndTransport) {
  auto noise = initiator();
  const auto payload = from_hex("4c756477696720766f6e204d69736573");
  std::vector<std::uint8_t> first(payload.size() + NoiseInitiator::first_overhead);
  noise.write_first(secrets_, payload, first);
  EXPECT_EQ(
      first,
      from_hex("ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944001e21de9f98dd"
               "d8e2ad57527207feb56253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab5"
               "000980c84831215f2441eba616548e832985464cf17e51ee93109008399a21f7e13f"));

  std::vector<std::uint8_t> answer(second_.size() - NoiseInitiator::second_overhead);
  ASSERT_TRUE(noise.read_second(secrets_, second_, answer));
  EXPECT_EQ(answer, from_hex("4d757272617920526f746862617264"));
  EXPECT_EQ(noise.hash(),
            from_hex<32>("f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5"));

  const auto sealed = [&](std::uint64_t counter, const char* plain) {
    const auto bytes = from_hex(plain);
    std::vector<std::uint8_t> into(bytes.size() + tag_size);
    crypto_->seal(secrets_.send_key, counter, {}, bytes, into);
    return into;
  };
  const auto opened = [&](std::uint64_t counter, const char* cipher) {
    const auto bytes = from_hex(cipher);
    std::vector<std::uint8_t> into(bytes.size() - tag_size);
    EXPECT_TRUE(crypto_->open(secrets_.receive_key, counter, {}, bytes, into));
    return into;
  };
  EXPECT_EQ(sealed(0, "462e20412e20486179656b"),
            from_hex("8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"));
  EXPECT_EQ(opened(0, "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"),
            from_hex("4361726c204d656e676572"));
  EXPECT_EQ(sealed(1, "4a65616e2d426170746973746520536179"),
            from_hex("6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d"));
  EXPECT_EQ(opened(1, "dfc346c0d2296ae6cf1acf6f12b8456a1dba228cf8d8b774aacf1c47fc53aa80ebc7a4c292"),
            from_hex("457567656e2042f6686d20766f6e2042617765726b"));
}

TEST_F(NoiseVector, WhatDoesNotDecryptChangesNothing) {
  auto noise = initiator();
  const auto payload = from_hex("4c756477696720766f6e204d69736573");
  std::vector<std::uint8_t> first(payload.size() + NoiseInitiator::first_overhead);
  noise.write_first(secrets_, payload, first);
  std::vector<std::uint8_t> answer(second_.size() - NoiseInitiator::second_overhead);
  auto changed = second_;
  changed[0] ^= 1u;
  EXPECT_FALSE(noise.read_second(secrets_, changed, answer));
  changed.assign(second_.size(), 0);  // of low order
  EXPECT_FALSE(noise.read_second(secrets_, changed, answer));
  EXPECT_FALSE(noise.read_second(secrets_, second_, std::span(answer).first(3)));
  EXPECT_TRUE(noise.read_second(secrets_, second_, answer));
}

TEST_F(NoiseVector, WhatIsOverIsWiped) {
  auto noise = initiator();
  std::vector<std::uint8_t> first(16 + NoiseInitiator::first_overhead);
  noise.write_first(secrets_, from_hex("4c756477696720766f6e204d69736573"), first);
  std::vector<std::uint8_t> answer(second_.size() - NoiseInitiator::second_overhead);
  ASSERT_TRUE(noise.read_second(secrets_, second_, answer));
  const std::array<std::uint8_t, 32> zeros{};
  EXPECT_EQ(secrets_.ephemeral, zeros);
  EXPECT_EQ(secrets_.chaining_key, zeros);
}

}  // namespace
}  // namespace wgvitals::probe
