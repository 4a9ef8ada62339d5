#include "common/output/line_protocol.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "common/model/events.h"
#include "common/output/number.h"

namespace wgvitals::output {
namespace {

class Characters {
 public:
  consteval explicit Characters(std::string_view characters) {
    for (const char c : characters) table_[static_cast<unsigned char>(c)] = true;
  }
  bool has(char c) const { return table_[static_cast<unsigned char>(c)]; }
  // How many characters stand before the first of these.
  std::size_t before(std::string_view text) const {
    std::size_t size = 0;
    while (size < text.size() && !has(text[size])) ++size;
    return size;
  }

 private:
  std::array<bool, 256> table_{};
};

constexpr Characters escaped_in_tags(",= "), odd_in_tags(",= \\"), odd_in_texts("\"\\\n\r");

// The most that a field takes, with its comma, equals sign, quotes and type.
std::size_t longest(const Reading& reading) {
  const auto& value = reading.value;
  const auto longest_value =
      value.type() == Type::text ? 2 * value.text().size() + 2 : longest_number + 1;
  return reading.metric->field.view().size() + longest_value + 2;
}

// `out` has the room. Most texts are short, and a call for each would cost more than the copy: two
// halves that may overlap.
template <std::size_t Half>
[[gnu::always_inline]] inline void copy_halves(char* out, std::string_view text) {
  std::memcpy(out, text.data(), Half);
  std::memcpy(out + text.size() - Half, text.data() + text.size() - Half, Half);
}
[[gnu::always_inline]] inline char* put(char* out, std::string_view text) {
  const auto size = text.size();
  if (size >= 8 && size <= 16) {
    copy_halves<8>(out, text);
  } else if (size >= 4 && size <= 8) {
    copy_halves<4>(out, text);
  } else if (size >= 16 && size <= 32) {
    copy_halves<16>(out, text);
  } else {
    std::memcpy(out, text.data(), size);
  }
  return out + size;
}

char* put_quoted(char* out, std::string_view text) {
  *out++ = '"';
  while (true) {
    const auto plain = odd_in_texts.before(text);
    out = put(out, text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    const bool ends_line = text[0] == '\n' || text[0] == '\r';
    *out++ = ends_line ? ' ' : '\\';
    if (!ends_line) *out++ = text[0];
    text.remove_prefix(1);
  }
  *out++ = '"';
  return out;
}

// Parsers take a backslash and its successor for a pair, so none may stand before an escaped
// character, at the end, or before a quote: Telegraf removes it there where something is escaped.
void append_tag_value(std::string& out, std::string_view value) {
  while (true) {
    const auto plain = odd_in_tags.before(value);
    out.append(value, 0, plain);
    value.remove_prefix(plain);
    if (value.empty()) return;
    const bool is_paired = value.size() == 1 || value[1] == '"' || escaped_in_tags.has(value[1]);
    if (value[0] != '\\') {
      out += '\\';
      out += value[0];
    } else {
      out += is_paired ? '_' : '\\';
    }
    value.remove_prefix(1);
  }
}

}  // namespace

bool LineProtocol::Tags::are(std::span<const Label> labels) const {
  if (labels.size() != names.size()) return false;
  std::string_view rest = values;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto& [name, size] = names[i];
    if (labels[i].name != name || labels[i].value != rest.substr(0, size)) return false;
    rest.remove_prefix(size);
  }
  return true;
}

void LineProtocol::Tags::set(std::span<const Label> labels) {
  text.clear();
  values.clear();
  names.clear();
  for (const auto& label : labels) {
    names.emplace_back(label.name, label.value.size());
    values += label.value;
    if (label.value.empty()) continue;
    text += ',';
    text += label.name->tag.view();
    text += '=';
    if (label.name->is_key) {
      text.append(label.value, 0, label.value.size() - 1);
      text += "\\=";
    } else {
      append_tag_value(text, label.value);
    }
  }
}

void LineProtocol::begin(const Now& now) {
  const auto since_1970 =
      std::chrono::duration_cast<std::chrono::nanoseconds>(now.wall.time_since_epoch());
  end_ = " ";
  append_number(end_, since_1970.count());
  end_ += '\n';
  tags_.set({});  // labels live as long as a gather
}

void LineProtocol::take(const Record& record) {
  if (!tags_.are(record.labels)) tags_.set(record.labels);
  const auto name = record.family.name.view();
  auto size = name.size() + tags_.text.size() + end_.size();
  for (const auto& reading : record.readings) size += longest(reading);
  if (line_.size() < size) line_.resize(size);

  char* out = put(line_.data(), name);
  out = put(out, tags_.text);
  const char* const before_fields = out;
  for (const auto& reading : record.readings) {
    if (!can_be_written(reading.value)) continue;
    *out = out == before_fields ? ' ' : ',';
    out = put_field(out + 1, reading);
  }
  if (out == before_fields) return;
  out = put(out, end_);
  out_.append(line_.data(), out);
}

void LineProtocol::take(const Event& event) { take_as_records(event, *this); }

char* LineProtocol::put_field(char* out, const Reading& reading) const {
  const auto& value = reading.value;
  out = put(out, reading.metric->field.view());
  *out++ = '=';
  switch (value.type()) {
    case Type::i64:
      out = put_number(out, value.i64());
      *out++ = 'i';
      return out;
    case Type::u64:
      if (unsigned_ == Unsigned::kept) {
        out = put_number(out, value.u64());
        *out++ = 'u';
        return out;
      }
      out = put_number(out, std::min<std::uint64_t>(value.u64(), INT64_MAX));
      *out++ = 'i';
      return out;
    case Type::f64:
      return put_number(out, value.f64());
    case Type::boolean:
      return put(out, value.boolean() ? "true" : "false");
    case Type::text:
      return put_quoted(out, value.text());
  }
  return out;
}

}  // namespace wgvitals::output
