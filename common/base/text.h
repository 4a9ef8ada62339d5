// Taking text apart, piece by piece, without copies: each `next_` cuts a piece off the front of
// `rest`.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace wgvitals::text {

std::optional<std::string_view> next_line(std::string_view& rest);  // without its end
std::optional<std::string_view> next_word(std::string_view& rest);  // parted by blanks and tabs
std::string_view trim(std::string_view text);

// Its front, of at most so many bytes: no UTF-8 sequence is cut in two.
std::string_view cut(std::string_view text, std::size_t limit);

bool equal_ignoring_case(std::string_view left, std::string_view right);  // ASCII

// The whole of `digits` as a number; empty where it is anything else or does not fit.
template <class Number>
std::optional<Number> to_number(std::string_view digits, int base = 10) {
  Number number{};
  const auto* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number, base);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

// The same for a double, with a point whatever the locale.
std::optional<double> to_double(std::string_view digits);

// What every output can carry: valid UTF-8 without control characters (each offending byte becomes
// `replacement`) and with no other blank than ' ' (some hosts part their lines at any of
// Unicode's).
std::string to_printable(std::string_view text, char replacement = '_');

// Six characters that tell texts apart, the same in every run: letters, digits, '-' and '_'.
std::string to_mark(std::string_view text);

}  // namespace wgvitals::text
