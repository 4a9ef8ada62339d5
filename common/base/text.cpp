#include "common/base/text.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace wgvitals::text {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// The length of the well-formed UTF-8 sequence at the front (RFC 3629), 0 where there is none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xed && byte(1) > 0x9f;
  const bool too_high = lead == 0xf4 && byte(1) > 0x8f;
  return overlong || surrogate || too_high ? 0 : length;
}

// A blank of Unicode beside ' ' and the controls.
bool is_wide_blank(std::string_view c) {
  if (c.size() == 3 && c.starts_with("\xe2\x80") && static_cast<unsigned char>(c[2]) <= 0x8a) {
    return true;  // U+2000 to U+200A
  }
  constexpr std::string_view others[] = {"\u00a0", "\u1680", "\u2028", "\u2029",
                                         "\u202f", "\u205f", "\u3000"};
  return std::find(std::begin(others), std::end(others), c) != std::end(others);
}

}  // namespace

std::optional<std::string_view> next_line(std::string_view& rest) {
  if (rest.empty()) return std::nullopt;
  const auto line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  return line;
}

std::optional<std::string_view> next_word(std::string_view& rest) {
  // find_first_of() calls a function for each character.
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  const auto* const start = std::find_if_not(rest.begin(), rest.end(), is_blank);
  const auto* const end = std::find_if(start, rest.end(), is_blank);
  const std::string_view word(start, end);
  rest = std::string_view(end, rest.end());
  return word.empty() ? std::nullopt : std::optional(word);
}

std::string_view trim(std::string_view text) {
  const auto start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(" \t\r\n") - start + 1);
}

std::string_view cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
  return text.substr(0, limit);
}

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

std::optional<double> to_double(std::string_view digits) {
  double number{};
  const auto* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::string to_printable(std::string_view text, char replacement) {
  std::string printable;
  printable.reserve(text.size());
  while (!text.empty()) {
    const auto length = sequence_length(text);
    const auto lead = static_cast<unsigned char>(text.front());
    // C1 controls are two bytes, c2 80 to c2 9f.
    const bool control =
        lead < 0x20 || lead == 0x7f ||
        (length == 2 && lead == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0);
    if (length == 0 || control) {
      printable += replacement;
    } else if (is_wide_blank(text.substr(0, length))) {
      printable += ' ';
    } else {
      printable += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return printable;
}

std::string to_mark(std::string_view text) {
  constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::string mark;
  for (int i = 0; i < 6; ++i) mark += alphabet[hash >> (6 * i) & 63];
  return mark;
}

}  // namespace wgvitals::text
