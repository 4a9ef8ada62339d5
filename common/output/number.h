// Numbers as text, the same in every locale.
#pragma once

#include <charconv>
#include <cmath>
#include <string>

#include "common/model/metric.h"

namespace wgvitals::output {

template <class Number>
void append_number(std::string& out, Number number) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

// A value that a format of plain numbers can show: no text, no NaN, no infinity.
inline bool is_plain_number(const Value& value) {
  return value.type() != Type::text && (value.type() != Type::f64 || std::isfinite(value.f64()));
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
