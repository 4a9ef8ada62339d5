// Keys in base64 and hexadecimal digits: what is read is written back the same.

#include "common/model/key.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto key = key_from_base64(text)) {
    const auto again = to_base64(*key);
    if (view(again) != text) std::abort();
    const auto safe = to_url_safe(text);
    if (view(safe).find_first_of("+/=") != std::string_view::npos) std::abort();
  }
  (void)key_from_hex(text);
  return 0;
}
