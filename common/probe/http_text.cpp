#include <algorithm>
#include <array>
#include <string>

#include "common/base/text.h"
#include "common/probe/http.h"

namespace wgvitals::probe {
namespace {

constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

Error refuse(std::string_view text, std::string_view why) {
  const auto shown = text.substr(text.rfind('@') + 1);  // npos + 1 is 0
  return Error{Errc::malformed, 0, "\"" + std::string(shown) + "\" " + std::string(why)};
}

// The next number of `rest`, behind anything else.
std::optional<int> next_number(std::string_view& rest) {
  const auto begin = std::min(rest.find_first_of("0123456789"), rest.size());
  const auto end = std::min(rest.find_first_not_of("0123456789", begin), rest.size());
  const auto digits = rest.substr(begin, end - begin);
  rest.remove_prefix(end);
  return text::to_number<int>(digits);
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  const auto scheme_end = text.find("://");
  const auto scheme = text.substr(0, scheme_end);
  const bool secure = text::equal_ignoring_case(scheme, "https");
  if (scheme_end == std::string_view::npos ||
      !(secure || text::equal_ignoring_case(scheme, "http"))) {
    return refuse(text, "does not begin with http:// or https://");
  }
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\\' || c == '\x7f') {
      return refuse(text, "has a blank, a control character or a backslash");
    }
  }
  const auto rest = text.substr(scheme_end + 3);
  const auto authority = rest.substr(0, rest.find_first_of("/?#"));
  const auto place = authority.substr(authority.rfind('@') + 1);

  auto host_end = std::min(place.find(':'), place.size());
  auto host = place.substr(0, host_end);
  if (place.starts_with('[')) {
    const auto bracket = place.find(']');
    if (bracket == std::string_view::npos) return refuse(text, "has a bracket without its end");
    host_end = bracket + 1;
    host = place.substr(1, bracket - 1);
  }
  Url url;
  url.host = host;
  if (const auto zone = url.host.find("%25"); zone != std::string::npos)
    url.host.erase(zone + 1, 2);
  url.port = secure ? 443 : 80;
  if (host_end < place.size()) {
    const auto port = text::to_number<std::uint16_t>(place.substr(host_end + 1));
    if (place[host_end] != ':' || !port || *port == 0) return refuse(text, "has no good port");
    url.port = *port;
  }
  if (url.host.empty()) return refuse(text, "names no host");
  url.shown = std::string(text.substr(0, scheme_end + 3)) + std::string(place) +
              std::string(rest.substr(authority.size()));
  return url;
}

std::optional<std::int64_t> parse_expiry(std::string_view text) {
  std::optional<int> year, month, day;
  auto rest = text::trim(text);
  for (std::size_t i = 0; i < months.size(); ++i) {
    if (rest.starts_with(months[i])) month = static_cast<int>(i) + 1;
  }
  const bool year_last = month.has_value();
  if (!year_last) {
    year = next_number(rest);
    month = next_number(rest);
  }
  day = next_number(rest);
  const auto hour = next_number(rest), minute = next_number(rest), second = next_number(rest);
  if (year_last) year = next_number(rest);
  if (!year || !month || !day || !hour || !minute || !second || *day < 1 || *day > 31 ||
      *month < 1 || *month > 12 || *hour > 23 || *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  using std::chrono::sys_days;
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (*year > 9999 || !date.ok()) return std::nullopt;
  const std::int64_t days = sys_days(date).time_since_epoch().count();
  return days * 86'400 + *hour * 3600 + *minute * 60 + *second;
}

}  // namespace wgvitals::probe
