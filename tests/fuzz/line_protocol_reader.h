// Line protocol, read as its hosts read it. Written from their grammars (Telegraf's
// plugins/parsers/influx/machine.go.rl and escape.go; InfluxDB 1.x' models/points.go), and sharing
// nothing with our writer.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/model/metric.h"

namespace wgvitals::fuzz {

struct Line {
  using Field = std::variant<std::int64_t, std::uint64_t, double, bool, std::string>;

  std::string name;
  std::map<std::string, std::string> tags;
  std::map<std::string, Field> fields;
  std::int64_t time = 0;

  friend bool operator==(const Line&, const Line&) = default;
};

// What has to arrive of a record: all of it but empty labels, and numbers that are none. Our
// documented replacements are made: '_' for a backslash that a host would take for an escape, a
// blank for the end of a line.
inline Line expected_line(const Record& record, std::int64_t time) {
  Line line{std::string(record.family.name.view()), {}, {}, time};
  for (const auto& label : record.labels) {
    if (label.value.empty()) continue;
    std::string value(label.value);
    // At the end stands the string's own NUL, which strchr finds, too.
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (value[i] == '\\' && std::strchr(",= \"", value.c_str()[i + 1]) != nullptr) value[i] = '_';
    }
    line.tags[std::string(label.name->tag.view())] = value;
  }
  for (const auto& [metric, value] : record.readings) {
    if (value.type() == Type::f64 && !(value.f64() - value.f64() == 0)) continue;
    auto& field = line.fields[std::string(metric->field.view())];
    switch (value.type()) {
      case Type::i64:
        field = value.i64();
        break;
      case Type::u64:
        field = value.u64();
        break;
      case Type::f64:
        field = value.f64();
        break;
      case Type::boolean:
        field = value.boolean();
        break;
      case Type::text: {
        std::string text(value.text());
        for (char& c : text) c = c == '\n' || c == '\r' ? ' ' : c;
        field = text;
      }
    }
  }
  return line;
}

enum class ReadBy { telegraf, influxdb };

class LineReader {
 public:
  LineReader(std::string_view text, ReadBy host) : rest_(text), host_(host) {}

  // Empty where the host would refuse it.
  std::optional<Line> read() {
    Line line;
    line.name = take_name();
    if (line.name.empty()) return std::nullopt;
    while (take(',')) {
      const auto key = take_name();
      if (key.empty() || !take('=')) return std::nullopt;
      const auto value = take_tag_value();
      if (!value || !line.tags.emplace(key, *value).second) return std::nullopt;
    }
    if (!take(' ')) return std::nullopt;
    do {
      const auto key = take_name();
      if (key.empty() || !take('=')) return std::nullopt;
      const auto value = take_field_value();
      if (!value || !line.fields.emplace(key, *value).second) return std::nullopt;
    } while (take(','));
    if (!take(' ')) return std::nullopt;
    const auto digits = take_until("\n");
    if (!is_integer(digits) || digits.size() > 20) return std::nullopt;
    line.time = std::strtoll(digits.c_str(), nullptr, 10);
    if (!take('\n') || !rest_.empty()) return std::nullopt;
    return line;
  }

 private:
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string take_until(const char* ends) {
    std::string taken(rest_.substr(0, rest_.find_first_of(ends)));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  // Of the catalogue: nothing in it is ever escaped.
  std::string take_name() {
    const auto name = take_until(",= \n\\\"");
    const bool plain = name.find_first_not_of(
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789_") == std::string::npos;
    return plain ? name : std::string();
  }

  // A backslash and what is behind it are a pair; of two backslashes, InfluxDB takes both and
  // Telegraf only the first.
  std::optional<std::string> take_tag_value() {
    std::string value;
    while (!rest_.empty() && std::strchr(",= ", rest_.front()) == nullptr) {
      std::size_t size = 1;
      if (rest_.front() == '\\') {
        if (rest_.size() < 2) return std::nullopt;
        size = rest_[1] == '\\' && host_ == ReadBy::telegraf ? 1 : 2;
      }
      for (const char c : rest_.substr(0, size)) {
        if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) return std::nullopt;
        value += c;
      }
      rest_.remove_prefix(size);
    }
    if (value.empty()) return std::nullopt;
    return unescaped(value);
  }

  std::string unescaped(const std::string& value) const {
    if (host_ == ReadBy::influxdb) {
      auto text = value;
      for (const auto* escape : {"\\,", "\\ ", "\\="}) {
        for (std::size_t at = 0; (at = text.find(escape, at)) != std::string::npos; ++at) {
          text.erase(at, 1);
        }
      }
      return text;
    }
    if (value.find_first_of(" ,=") == std::string::npos) return value;
    std::string text;
    for (std::size_t i = 0; i < value.size(); ++i) {
      const bool escapes =
          value[i] == '\\' && i + 1 < value.size() && std::strchr(",\" =", value[i + 1]) != nullptr;
      if (escapes) ++i;
      text += value[i];
    }
    return text;
  }

  static bool is_integer(std::string_view text) {
    if (text.starts_with('-')) text.remove_prefix(1);
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos &&
           (text == "0" || text.front() != '0');
  }

  static bool is_float(std::string_view text) {
    if (text.starts_with('-')) text.remove_prefix(1);
    const auto digits = [&text] {
      const auto size = std::min(text.find_first_not_of("0123456789"), text.size());
      text.remove_prefix(size);
      return size > 0;
    };
    bool any = digits();
    if (text.starts_with('.')) {
      text.remove_prefix(1);
      any = digits() || any;
    }
    if (any && (text.starts_with('e') || text.starts_with('E'))) {
      text.remove_prefix(1);
      if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
      any = digits();
    }
    return any && text.empty();
  }

  std::optional<std::string> take_text() {
    std::string text;
    while (!take('"')) {
      if (rest_.empty() || static_cast<unsigned char>(rest_.front()) < ' ') return std::nullopt;
      if (take('\\') && !rest_.starts_with('\\') && !rest_.starts_with('"')) return std::nullopt;
      text += rest_.front();
      rest_.remove_prefix(1);
    }
    return text;
  }

  std::optional<Line::Field> take_field_value() {
    if (take('"')) return take_text();
    auto value = take_until(", ");
    if (value == "true" || value == "false") return value == "true";
    const char kind = value.empty() ? ' ' : value.back();
    if (kind != 'i' && kind != 'u') {
      if (!is_float(value)) return std::nullopt;
      return std::strtod(value.c_str(), nullptr);
    }
    value.pop_back();
    if (!is_integer(value)) return std::nullopt;
    errno = 0;
    Line::Field number;
    if (kind == 'i') {
      number = std::int64_t{std::strtoll(value.c_str(), nullptr, 10)};
    } else {
      number = std::uint64_t{std::strtoull(value.c_str(), nullptr, 10)};
    }
    if (errno != 0 || (kind == 'u' && value.front() == '-')) return std::nullopt;
    return number;
  }

  std::string_view rest_;
  ReadBy host_;
};

}  // namespace wgvitals::fuzz
