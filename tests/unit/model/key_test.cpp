#include "common/model/key.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/keys.h"

namespace wgvitals {
namespace {

// wg genkey | wg pubkey, and the same bytes in hex.
constexpr std::string_view base64 = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
constexpr std::string_view hex = "c53201039adba14be71f886da1d8dbe9eebded08cb111b75340078999aa9f038";

TEST(Key, IsTheSameInBase64AndHex) {
  const auto from_base64 = key_from_base64(base64);
  ASSERT_TRUE(from_base64);
  EXPECT_EQ(from_base64, key_from_hex(hex));
  EXPECT_EQ(view(to_base64(*from_base64)), base64);
}

TEST(Key, ComesBackFromBase64) {
  PublicKey zeros;
  PublicKey ones;
  ones.bytes.fill(0xff);
  EXPECT_EQ(view(to_base64(zeros)), std::string(43, 'A') + "=");
  EXPECT_EQ(view(to_base64(ones)), std::string(42, '/') + "8=");
  for (const auto& key : {zeros, ones}) EXPECT_EQ(key_from_base64(view(to_base64(key))), key);
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const auto key = test::key(i * 2654435761u);
    EXPECT_EQ(key_from_base64(view(to_base64(key))), key);
  }
}

TEST(Key, TakesHexInEitherCase) {
  std::string upper(hex);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  EXPECT_EQ(key_from_hex(upper), key_from_hex(hex));
}

TEST(Key, IsRefusedInBase64) {
  const std::string good(base64);
  auto with = [&](std::size_t at, char c) {
    auto text = good;
    text[at] = c;
    return text;
  };
  const struct {
    const char* what;
    std::string text;
  } cases[] = {
      {"empty", ""},
      {"too short", good.substr(1)},
      {"too long", "A" + good},
      {"without its end", good.substr(0, 43)},
      {"another character for its end", with(43, 'A')},
      {"an end in the middle", with(10, '=')},
      {"two ends", with(42, '=')},
      {"the URL-safe alphabet", with(5, '-')},
      {"a blank", with(0, ' ')},
      {"a line end", with(43, '\n')},
      {"a byte above ASCII", with(7, '\xc3')},
      {"one stray bit", with(42, 'h')},
      {"two stray bits", with(42, 'j')},
  };
  for (const auto& test : cases) EXPECT_EQ(key_from_base64(test.text), std::nullopt) << test.what;
}

TEST(Key, IsRefusedInHex) {
  const std::string good(hex);
  for (const std::string& wrong : {std::string(), good.substr(1), "0" + good, "g" + good.substr(1),
                                   good.substr(0, 63) + " ", "0x" + good.substr(2)}) {
    EXPECT_EQ(key_from_hex(wrong), std::nullopt) << wrong;
  }
}

TEST(KeyUrlSafe, HasNoCharacterThatPathsKnow) {
  EXPECT_EQ(view(to_url_safe("+/+/BA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=")).substr(0, 6),
            "-_-_BA");
  EXPECT_EQ(view(to_url_safe(base64)), base64.substr(0, 43));
}

TEST(KeyUrlSafe, TakesAShorterText) {
  EXPECT_EQ(view(to_url_safe("a+")).substr(0, 3), std::string_view("a-\0", 3));
}

}  // namespace
}  // namespace wgvitals
