#include "common/output/line_protocol.h"

#include <algorithm>
#include <chrono>

#include "common/model/events.h"
#include "common/output/number.h"

namespace wgvitals::output {
namespace {

bool is_special(char c) { return c == ',' || c == '=' || c == ' '; }

}  // namespace

void LineProtocol::begin(const Now& now) {
  const auto since_1970 =
      std::chrono::duration_cast<std::chrono::nanoseconds>(now.wall.time_since_epoch());
  end_ = " ";
  append_number(end_, since_1970.count());
  end_ += '\n';
}

void LineProtocol::take(const Record& record) {
  const auto start = out_.size();
  out_ += record.family.name.view();
  for (const auto& label : record.labels) {
    if (!label.value.empty()) put_tag(label);
  }
  bool any = false;
  for (const auto& reading : record.readings) any = put_field(reading, !any) || any;
  if (any) {
    out_ += end_;
  } else {
    out_.resize(start);
  }
}

void LineProtocol::take(const Event& event) { take_as_records(event, *this); }

// Parsers take a backslash and its successor for a pair, so none may stand before an escaped
// character or at the end.
void LineProtocol::put_tag(const Label& label) {
  out_ += ',';
  out_ += label.name->tag.view();
  out_ += '=';
  const auto value = label.value;
  std::size_t plain = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const bool ends_a_part = i + 1 == value.size() || is_special(value[i + 1]);
    if (!is_special(c) && !(c == '\\' && ends_a_part)) continue;
    out_ += value.substr(plain, i - plain);
    plain = i + 1;
    if (c == '\\') {
      out_ += '_';
    } else {
      out_ += '\\';
      out_ += c;
    }
  }
  out_ += value.substr(plain);
}

bool LineProtocol::put_field(const Reading& reading, bool first) {
  const auto& value = reading.value;
  if (value.type() == Type::f64 && !std::isfinite(value.f64())) return false;
  out_ += first ? ' ' : ',';
  out_ += reading.metric->field.view();
  out_ += '=';
  switch (value.type()) {
    case Type::i64:
      append_number(out_, value.i64());
      out_ += 'i';
      break;
    case Type::u64:
      if (unsigned_ == Unsigned::kept) {
        append_number(out_, value.u64());
        out_ += 'u';
      } else {
        append_number(out_, std::min<std::uint64_t>(value.u64(), INT64_MAX));
        out_ += 'i';
      }
      break;
    case Type::f64:
      append_number(out_, value.f64());
      break;
    case Type::boolean:
      out_ += value.boolean() ? "true" : "false";
      break;
    case Type::text:
      out_ += '"';
      for (const char c : value.text()) {
        if (c == '"' || c == '\\') out_ += '\\';
        out_ += c == '\n' || c == '\r' ? ' ' : c;
      }
      out_ += '"';
  }
  return true;
}

}  // namespace wgvitals::output
