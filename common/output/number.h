// Numbers as text, the same in every locale.
#pragma once

#include <charconv>
#include <cmath>
#include <string>

#include "common/model/metric.h"

namespace wgvitals::output {

constexpr std::size_t longest_number = 32;

// Into room for `longest_number` characters; returns the end.
template <class Number>
char* put_number(char* out, Number number) {
  if (number >= 0 && number < 10) {  // most are
    *out = static_cast<char>('0' + static_cast<int>(number));
    return out + 1;
  }
  return std::to_chars(out, out + longest_number, number).ptr;
}

// The shortest text that is read as the same number. What has at most three decimals, as most of
// ours have, needs no search for it.
inline char* put_number(char* out, double number) {
  constexpr double most = 1e12;  // with three decimals 15 digits: no two of them are one double
  if (std::abs(number) < most) {
    const auto thousandths = static_cast<std::int64_t>(number * 1000 + (number < 0 ? -0.5 : 0.5));
    if (static_cast<double>(thousandths) / 1000 == number) {
      auto rest = static_cast<unsigned>(std::abs(thousandths % 1000));
      if (thousandths < 0) *out++ = '-';
      out = put_number(out, std::abs(thousandths / 1000));
      if (rest != 0) *out++ = '.';
      for (unsigned digit = 100; rest != 0; rest %= digit, digit /= 10) {
        *out++ = static_cast<char>('0' + rest / digit);
      }
      return out;
    }
  }
  return std::to_chars(out, out + longest_number, number).ptr;
}

template <class Number>
void append_number(std::string& out, Number number) {
  char digits[longest_number];
  out.append(digits, put_number(digits, number));
}

inline bool can_be_written(const Value& value) {
  return value.type() != Type::f64 || std::isfinite(value.f64());
}

// A value that a format of plain numbers can show: no text, no NaN, no infinity.
inline bool is_plain_number(const Value& value) {
  return value.type() != Type::text && can_be_written(value);
}

// Integers as they are, truths as 1 and 0. The value is a plain number.
inline void append_value(std::string& out, const Value& value) {
  switch (value.type()) {
    case Type::u64:
      return append_number(out, value.u64());
    case Type::i64:
      return append_number(out, value.i64());
    case Type::f64:
      return append_number(out, value.f64());
    default:
      out += value.boolean() ? '1' : '0';
  }
}

}  // namespace wgvitals::output
