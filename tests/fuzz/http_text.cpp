// What a web server tells: where a redirect leads, and how long its certificate is good.

#include <ctime>
#include <string>

#include "common/probe/http.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"

namespace wgvitals::fuzz {
namespace {

// A time, in both forms that libcurl's back ends write.
void read_back_expiry(Bytes in) {
  constexpr std::int64_t end_of_9999 = 253'402'300'800;
  const auto time = static_cast<std::time_t>(in.number<std::uint64_t>() % end_of_9999);
  std::tm date{};
  check(::gmtime_r(&time, &date) != nullptr, "it is a time");
  for (const char* form : {"%Y-%m-%d %H:%M:%S GMT", "%b %e %H:%M:%S %Y GMT"}) {
    char text[64];
    check(std::strftime(text, sizeof text, form, &date) > 0, "it has a text");
    check(probe::parse_expiry(text) == time, "a time is read as it was written");
  }
}

void read_back_url(std::string_view text) {
  const auto url = probe::parse_url(text);
  if (!url) return;
  check(!url->host.empty() && url->port != 0, "a good URL has a host and a port");
  const auto again = probe::parse_url(url->shown);
  check(again.has_value(), "what is shown is a URL");
  check(again->host == url->host && again->port == url->port && again->shown == url->shown,
        "what is shown leads to the same place");
  const auto authority = url->shown.substr(0, url->shown.find_first_of("/?#", 8));
  check(authority.find('@') == std::string::npos, "neither user nor password is shown");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  wgvitals::fuzz::read_back_url(text);
  (void)wgvitals::probe::parse_expiry(text);
  wgvitals::fuzz::read_back_expiry(wgvitals::fuzz::Bytes(data, size));
  return 0;
}
