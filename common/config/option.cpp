#include "common/config/option.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <stdexcept>

#include "common/base/text.h"
#include "common/model/selection.h"

namespace wgvitals::config {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view passed_over = "passed over ('wgvitals check --options' lists all)";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto part = text.substr(0, text.find(separator));
    parts.push_back(part);
    text.remove_prefix(std::min(part.size() + 1, text.size()));
  }
  return parts;
}

std::string show(const Value& value) {
  return std::visit(
      [](const auto& held) -> std::string {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, std::string>) {
          return "\"" + text::to_printable(held.substr(0, 64)) + "\"";
        } else {
          return fmt::format("{}", held);
        }
      },
      value);
}

std::string show(milliseconds time) {
  const auto ms = time.count();
  if (ms % 1000 != 0) return fmt::format("{}ms", ms);
  const auto seconds = ms / 1000;
  if (seconds % 3600 == 0 && seconds > 0) return fmt::format("{}h", seconds / 3600);
  if (seconds % 60 == 0 && seconds > 0) return fmt::format("{}m", seconds / 60);
  return fmt::format("{}s", seconds);
}

// Telegraf's form, "1m30s"; a bare number is seconds, as in collectd.
std::optional<milliseconds> parse_duration(std::string_view text) {
  constexpr double most_ms = 1e15;
  if (const auto seconds = text::to_double(text)) {
    if (!std::isfinite(*seconds) || std::abs(*seconds) > most_ms) return std::nullopt;
    return milliseconds(std::llround(*seconds * 1000));
  }
  double total = 0;
  bool any = false;
  while (!text.empty()) {
    const auto digits = text.substr(0, text.find_first_not_of("0123456789."));
    const auto number = text::to_double(digits);
    if (!number) return std::nullopt;
    text.remove_prefix(digits.size());
    const auto unit = text.substr(0, text.find_first_of("0123456789."));
    const double scale = unit == "ms"  ? 1
                         : unit == "s" ? 1000
                         : unit == "m" ? 60'000
                         : unit == "h" ? 3'600'000
                                       : 0;
    if (scale == 0) return std::nullopt;
    total += *number * scale;
    text.remove_prefix(unit.size());
    any = true;
  }
  if (!any || total > most_ms) return std::nullopt;
  return milliseconds(std::llround(total));
}

std::optional<bool> to_truth(const Value& value) {
  if (const auto* truth = std::get_if<bool>(&value)) return *truth;
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return std::nullopt;
  for (const char* yes : {"true", "yes", "on"}) {
    if (text::equal_ignoring_case(*text, yes)) return true;
  }
  for (const char* no : {"false", "no", "off"}) {
    if (text::equal_ignoring_case(*text, no)) return false;
  }
  return std::nullopt;
}

std::optional<std::int64_t> to_whole(const Value& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return *whole;
  // In quotes, as collectd's own plugins take it.
  if (const auto* text = std::get_if<std::string>(&value)) {
    return text::to_number<std::int64_t>(*text);
  }
  const auto* number = std::get_if<double>(&value);  // collectd knows no other
  if (number != nullptr && std::trunc(*number) == *number && std::abs(*number) < 1e15) {
    return static_cast<std::int64_t>(*number);
  }
  return std::nullopt;
}

std::optional<milliseconds> to_duration(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return parse_duration(*text);
  if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    return parse_duration(std::to_string(*whole));
  }
  const auto* number = std::get_if<double>(&value);
  return number != nullptr ? parse_duration(fmt::format("{}", *number)) : std::nullopt;
}

bool within(const Option& option, std::int64_t number) {
  return number >= option.least && number <= option.most;
}

std::optional<Texts> to_texts(const std::vector<Value>& values) {
  Texts texts;
  for (const auto& value : values) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) return std::nullopt;
    texts.push_back(*text);
  }
  return texts;
}

// "top:10" for the choice "top:N".
bool is_numbered(std::string_view choice, std::string_view text) {
  const auto stem = choice.substr(0, choice.size() - 1);
  return text.starts_with(stem) &&
         text::to_number<std::uint32_t>(text.substr(stem.size())).has_value();
}

// One value for the options that take one.
std::optional<Setting> to_setting(const Option& option, const Value& value) {
  switch (option.takes) {
    case Takes::truth:
      if (const auto truth = to_truth(value)) return *truth;
      return std::nullopt;
    case Takes::whole: {
      const auto whole = to_whole(value);
      if (whole && within(option, *whole)) return *whole;
      return std::nullopt;
    }
    case Takes::duration: {
      const auto time = to_duration(value);
      if (time && within(option, time->count())) return *time;
      return std::nullopt;
    }
    case Takes::choice:
    case Takes::text: {
      const auto* text = std::get_if<std::string>(&value);
      if (text == nullptr) return std::nullopt;
      if (option.takes == Takes::text) return *text;
      for (const auto choice : split(option.choices, '|')) {
        const bool takes_number = choice.ends_with(":N");
        if (!takes_number && text::equal_ignoring_case(choice, *text)) return std::string(choice);
        if (takes_number && is_numbered(choice, *text)) return *text;
      }
      return std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

Setting to_fallback(const Option& option) {
  switch (option.takes) {
    case Takes::texts:
    case Takes::patterns: {
      Texts texts;
      for (const auto part : split(option.fallback, '|')) texts.emplace_back(part);
      return texts;
    }
    case Takes::pairs:
    case Takes::triples:
      return std::vector<Texts>{};
    case Takes::whole:
      return text::to_number<std::int64_t>(option.fallback).value();
    default:
      return to_setting(option, Value(std::string(option.fallback))).value();
  }
}

bool same_name(std::string_view configured, std::string_view name) {
  return text::equal_ignoring_case(configured, name) ||
         text::equal_ignoring_case(configured, collectd_name(name));
}

}  // namespace

std::string collectd_name(std::string_view name) {
  std::string camel;
  bool capital = true;
  for (const char c : name) {
    if (c == '_') {
      capital = true;
    } else {
      camel += capital ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
      capital = false;
    }
  }
  return camel;
}

std::string expectation(const Option& option) {
  switch (option.takes) {
    case Takes::truth:
      return "true or false";
    case Takes::whole:
      return fmt::format("a whole number from {} to {}", option.least, option.most);
    case Takes::duration:
      return fmt::format("a time from {} to {} such as \"{}\"", show(milliseconds(option.least)),
                         show(milliseconds(option.most)), option.fallback);
    case Takes::text:
      return "a text in quotes";
    case Takes::choice: {
      std::string list;
      for (const auto choice : split(option.choices, '|')) {
        list += fmt::format("{}\"{}\"", list.empty() ? "one of " : ", ", choice);
      }
      return list;
    }
    case Takes::texts:
      return "texts in quotes";
    case Takes::patterns:
      return "names or /regular expressions/ in quotes";
    case Takes::pairs:
      return "a key and a text";
    case Takes::triples:
      return "a public key, a label and a text";
  }
  return {};
}

std::string to_toml_fallback(const Option& option) {
  switch (option.takes) {
    case Takes::truth:
    case Takes::whole:
      return std::string(option.fallback);
    case Takes::texts:
    case Takes::patterns: {
      std::string list;
      for (const auto part : split(option.fallback, '|')) {
        list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", part);
      }
      return "[" + list + "]";
    }
    case Takes::pairs:
    case Takes::triples:
      return "{}";
    default:
      return fmt::format("\"{}\"", option.fallback);
  }
}

const BlockKind* find_block(const Schema& schema, std::string_view name) {
  const auto found = std::find_if(schema.blocks.begin(), schema.blocks.end(),
                                  [&](auto* kind) { return same_name(name, kind->name.view()); });
  return found != schema.blocks.end() ? *found : nullptr;
}

Settings::Settings(Schema schema) : schema_(std::move(schema)) {
  for (const auto* option : schema_.options) settings_.push_back(to_fallback(*option));
}

void Settings::read(const Section& section, std::vector<Problem>& problems) {
  std::vector<const Option*> begun;  // lists whose fallback has been replaced
  for (const auto& item : section.items) read(item, begun, problems);
  for (const auto& block : section.blocks) read(block, problems);
}

void Settings::read(const Block& block, std::vector<Problem>& problems) {
  const auto* kind = find_block(schema_, block.name);
  if (kind == nullptr) {
    problems.push_back({block.line, fmt::format("{}: unknown block, {}", block.name, passed_over)});
    return;
  }
  Settings settings(Schema{{kind->options.begin(), kind->options.end()}});
  settings.title_ = block.title;
  settings.line_ = block.line;
  std::vector<Problem> found;
  settings.read({{}, block.items}, found);
  add_problems(block, std::move(found), problems);
  blocks_.emplace_back(kind, std::move(settings));
}

void Settings::read(const Item& item, std::vector<const Option*>& begun,
                    std::vector<Problem>& problems) {
  const auto complain = [&](std::string text) {
    problems.push_back({item.line, item.name + ": " + std::move(text)});
  };
  const auto* option = find(item.name);
  if (option == nullptr) {
    complain(fmt::format("unknown option, {}", passed_over));
    return;
  }
  auto& setting = settings_[index_of(*option)];
  const auto expected = [&] {
    std::string found;
    for (const auto& value : item.values) found += (found.empty() ? "" : " ") + show(value);
    complain(fmt::format("expected {}, found {}; using {}", expectation(*option),
                         found.empty() ? "nothing" : found, to_toml_fallback(*option)));
  };
  const auto texts = to_texts(item.values);
  switch (option->takes) {
    case Takes::texts:
    case Takes::patterns: {
      if (!texts) {
        expected();
        break;
      }
      // Several lines add up, as in collectd; the first replaces the fallback.
      auto& list = std::get<Texts>(setting);
      if (std::find(begun.begin(), begun.end(), option) == begun.end()) {
        list.clear();
        begun.push_back(option);
      }
      for (const auto& text : *texts) {
        const auto pattern = Pattern::parse(text);
        if (option->takes == Takes::texts || pattern) {
          list.push_back(text);
        } else {
          complain("a regular expression does not compile, passed over: " + pattern.error().where);
        }
      }
      break;
    }
    case Takes::pairs:
    case Takes::triples: {
      const std::size_t wanted = option->takes == Takes::pairs ? 2 : 3;
      if (!texts || texts->size() != wanted) {
        complain(fmt::format("expected {}; this line is passed over", expectation(*option)));
        break;
      }
      std::get<std::vector<Texts>>(setting).push_back(*texts);
      break;
    }
    default: {
      auto read = item.values.size() == 1 ? to_setting(*option, item.values.front())
                                          : std::optional<Setting>();
      if (read) {
        setting = std::move(*read);
      } else {
        setting = to_fallback(*option);
        expected();
      }
    }
  }
}

std::vector<const Settings*> Settings::blocks(const BlockKind& kind) const {
  std::vector<const Settings*> blocks;
  for (const auto& [of, settings] : blocks_) {
    if (of == &kind) blocks.push_back(&settings);
  }
  return blocks;
}

std::size_t Settings::index_of(const Option& option) const {
  const auto& options = schema_.options;
  const auto found = std::find(options.begin(), options.end(), &option);
  if (found == options.end()) throw std::logic_error("an option outside its schema");
  return static_cast<std::size_t>(found - options.begin());
}

const Option* Settings::find(std::string_view name) const {
  for (const auto* option : schema_.options) {
    if (same_name(name, option->name.view())) return option;
    for (const auto alias : split(option->aliases, ' ')) {
      if (same_name(name, alias)) return option;
    }
  }
  return nullptr;
}

std::optional<std::chrono::milliseconds> to_duration(const Option& option,
                                                     const std::string& text) {
  Settings settings(Schema{{&option}});
  std::vector<Problem> problems;
  settings.read({"", {{std::string(option.name.view()), {text}, 0}}}, problems);
  if (!problems.empty()) return std::nullopt;
  return settings.duration(option);
}

}  // namespace wgvitals::config
