#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
// toml++ 3.3 asserts what a broken file breaks ("[ # comment"); without that, it names the mistake.
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <fmt/format.h>
#include <toml++/toml.h>

#include <cstdlib>

#include "common/config/section.h"

namespace wgvitals::config {
namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// As Telegraf's shim does it: over the whole text, quotes and backslashes escaped, unknown names
// left as they stand.
std::string expand_environment(std::string_view text) {
  std::string expanded;
  while (!text.empty()) {
    const auto dollar = text.find('$');
    expanded += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar);
    const bool braced = text.size() > 1 && text[1] == '{';
    const std::size_t start = braced ? 2 : 1;
    std::size_t end = start;
    while (end < text.size() && is_word(text[end])) ++end;
    const std::string name(text.substr(start, end - start));
    const bool closed = !braced || (end < text.size() && text[end] == '}');
    const char* value = name.empty() || !closed ? nullptr : std::getenv(name.c_str());
    if (value == nullptr) {
      expanded += '$';
      text.remove_prefix(1);
      continue;
    }
    for (const char* c = value; *c != '\0'; ++c) {
      if (*c == '"' || *c == '\\') expanded += '\\';
      expanded += *c;
    }
    text.remove_prefix(end + (braced ? 1 : 0));
  }
  return expanded;
}

int line_of(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

bool add_scalar(const toml::node& node, Item& item) {
  if (const auto* text = node.as_string()) {
    item.values.emplace_back(text->get());
  } else if (const auto* whole = node.as_integer()) {
    item.values.emplace_back(whole->get());
  } else if (const auto* number = node.as_floating_point()) {
    item.values.emplace_back(number->get());
  } else if (const auto* truth = node.as_boolean()) {
    item.values.emplace_back(truth->get());
  } else {
    return false;
  }
  return true;
}

// `keys` stand before the value: names."KEY" = "x" is the item names with the values KEY and x.
void add_items(const toml::node& node, Item item, Section& section,
               std::vector<Problem>& problems) {
  item.line = line_of(node);
  if (const auto* table = node.as_table()) {
    for (const auto& [key, value] : *table) {
      Item below = item;
      below.values.emplace_back(std::string(key.str()));
      add_items(value, std::move(below), section, problems);
    }
    return;
  }
  bool plain = true;
  if (const auto* list = node.as_array()) {
    for (const auto& value : *list) plain = add_scalar(value, item) && plain;
  } else {
    plain = add_scalar(node, item);
  }
  if (plain) {
    section.items.push_back(std::move(item));
  } else {
    problems.push_back({item.line, item.name + ": a value of a kind that no option takes"});
  }
}

const toml::table* find_options(const toml::table& document, std::vector<Problem>& problems) {
  const auto* inputs = document["inputs"].as_table();
  const auto* plugins = inputs != nullptr ? inputs->get("wgvitals") : nullptr;
  if (plugins == nullptr) return inputs == nullptr ? &document : nullptr;
  if (const auto* table = plugins->as_table()) return table;
  const auto* list = plugins->as_array();
  if (list == nullptr || list->empty()) return nullptr;
  if (list->size() > 1) {
    problems.push_back({line_of(*list->get(1)),
                        "a second [[inputs.wgvitals]] is passed over: one "
                        "process serves one"});
  }
  return list->get(0)->as_table();
}

}  // namespace

Result<Section> parse_toml(std::string_view text, std::string file,
                           std::vector<Problem>& problems) {
  const auto expanded = expand_environment(text);
  const auto parsed = toml::parse(expanded);
  if (!parsed) {
    const auto& error = parsed.error();
    return Error{Errc::malformed, 0,
                 to_text(file, {static_cast<int>(error.source().begin.line),
                                fmt::format("not TOML: {}", error.description())})};
  }
  Section section{std::move(file), {}};
  if (const auto* options = find_options(parsed.table(), problems)) {
    for (const auto& [key, value] : *options) {
      add_items(value, {std::string(key.str()), {}, 0}, section, problems);
    }
  } else {
    problems.push_back({0, "no [[inputs.wgvitals]]: every option has its default"});
  }
  return section;
}

}  // namespace wgvitals::config
