#include "common/model/key.h"

namespace wgvitals {
namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

KeyText to_base64(const PublicKey& key) {
  KeyText text{};
  std::size_t out = 0;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const auto byte : key.bytes) {
    bits = bits << 8 | byte;
    for (held += 8; held >= 6; held -= 6) text[out++] = alphabet[bits >> (held - 6) & 63];
  }
  text[out++] = alphabet[bits << (6 - held) & 63];
  text[out] = '=';
  return text;
}

SafeKeyText to_url_safe(std::string_view base64) {
  SafeKeyText text{};
  for (std::size_t i = 0; i < text.size() && i < base64.size(); ++i) {
    text[i] = base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : base64[i];
  }
  return text;
}

std::optional<PublicKey> key_from_base64(std::string_view text) {
  if (text.size() != 44 || text.back() != '=') return std::nullopt;
  PublicKey key;
  std::size_t out = 0;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text.substr(0, 43)) {
    const int value = sextet(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    key.bytes[out++] = static_cast<std::uint8_t>(bits >> held);
  }
  const bool stray_bits = (bits & ((1u << held) - 1)) != 0;
  if (stray_bits) return std::nullopt;
  return key;
}

std::optional<PublicKey> key_from_hex(std::string_view text) {
  if (text.size() != 64) return std::nullopt;
  PublicKey key;
  for (std::size_t i = 0; i < key.bytes.size(); ++i) {
    const int high = nibble(text[2 * i]);
    const int low = nibble(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    key.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return key;
}

}  // namespace wgvitals
