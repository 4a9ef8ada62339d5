// Keys in base64 and hexadecimal digits: what is read is written back the same.

#include "common/model/key.h"

#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto key = key_from_base64(text)) {
    const auto again = to_base64(*key);
    fuzz::check(view(again) == text, "base64 is written as it was read");
    const auto safe = to_url_safe(text);
    fuzz::check(view(safe).find_first_of("+/=") == std::string_view::npos, "safe is safe");
  }
  if (const auto key = key_from_hex(text)) {
    constexpr const char* digits = "0123456789abcdef";
    for (std::size_t i = 0; i < size; ++i) {
      const int half = key->bytes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
      fuzz::check(digits[half] == (text[i] | 0x20) || digits[half] == text[i], "digits are read");
    }
  }
  return 0;
}
