// A peer's public key: its identity. There is no type for private or preshared keys: none is kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace wgvitals {

struct PublicKey {
  std::array<std::uint8_t, 32> bytes{};
  friend bool operator==(const PublicKey&, const PublicKey&) = default;
};

using KeyText = std::array<char, 44>;      // base64, as wg(8) prints it: ends in '='
using SafeKeyText = std::array<char, 43>;  // base64url without '=': fits paths and identifiers

KeyText to_base64(const PublicKey& key);
SafeKeyText to_url_safe(std::string_view base64);  // of 44 characters

inline std::string_view view(const KeyText& text) { return {text.data(), text.size()}; }
inline std::string_view view(const SafeKeyText& text) { return {text.data(), text.size()}; }

// Empty where `text` is no key: of another length, alphabet, or with stray bits at the end.
std::optional<PublicKey> key_from_base64(std::string_view text);  // 44 characters
std::optional<PublicKey> key_from_hex(std::string_view text);     // 64 digits, either case

}  // namespace wgvitals
