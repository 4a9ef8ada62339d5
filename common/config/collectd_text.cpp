#include <fmt/format.h>

#include <algorithm>

#include "common/base/text.h"
#include "common/config/section.h"

namespace wgvitals::config {
namespace {

// One word of a line: a quoted text, a number, a truth or a bare text. Empty at the end or before a
// comment.
struct Word {
  Value value;
  bool quoted = false;
};

std::optional<Word> next_value(std::string_view& rest) {
  rest = text::trim(rest);
  if (rest.empty() || rest.front() == '#') return std::nullopt;
  if (rest.front() == '"') {
    std::string content;
    std::size_t i = 1;
    for (; i < rest.size() && rest[i] != '"'; ++i) {
      if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
      content += rest[i];
    }
    rest.remove_prefix(std::min(i + 1, rest.size()));
    return Word{content, true};
  }
  // A stray '>' is a word of its own.
  const auto word = rest.substr(0, std::max<std::size_t>(1, rest.find_first_of(" \t>")));
  rest.remove_prefix(word.size());
  if (const auto number = text::to_double(word)) return Word{*number, false};
  for (const bool truth : {true, false}) {
    for (const char* name :
         {truth ? "true" : "false", truth ? "yes" : "no", truth ? "on" : "off"}) {
      if (text::equal_ignoring_case(word, name)) return Word{truth, false};
    }
  }
  return Word{std::string(word), false};
}

// The first word between '<' and '>'.
std::string_view block_name(std::string_view inside) {
  inside = inside.substr(0, inside.find('>'));
  return text::next_word(inside).value_or("");
}

bool is_our_block(std::string_view inside) {
  const auto name = text::next_word(inside);
  if (!name || !text::equal_ignoring_case(*name, "plugin")) return false;
  const auto plugin = next_value(inside);
  const auto* text = plugin ? std::get_if<std::string>(&plugin->value) : nullptr;
  return text != nullptr && text::equal_ignoring_case(*text, "wireguard");
}

}  // namespace

Result<Section> parse_collectd(std::string_view text, std::string file) {
  Section section{std::move(file), {}};
  const auto fail = [&](int line, std::string why) {
    return Error{Errc::malformed, 0, to_text(section.file, {line, std::move(why)})};
  };
  struct Block {
    std::string_view name;
    int line;
  };
  std::vector<Block> open;
  std::size_t ours = 0;  // the depth at which our block began, from 1; 0: outside
  int line = 0;
  while (const auto raw = text::next_line(text)) {
    ++line;
    auto rest = text::trim(*raw);
    if (rest.empty() || rest.front() == '#') continue;
    if (rest.starts_with("</")) {
      if (open.empty()) return fail(line, "a block ends that did not begin");
      const auto name = block_name(rest.substr(2));
      if (!text::equal_ignoring_case(name, open.back().name)) {
        return fail(line, fmt::format("</{}> does not end <{}> of line {}", name, open.back().name,
                                      open.back().line));
      }
      if (open.size() == ours) ours = 0;
      open.pop_back();
      continue;
    }
    if (rest.front() == '<') {
      if (rest.find('>') == std::string_view::npos) return fail(line, "'>' is missing");
      open.push_back({block_name(rest.substr(1)), line});
      if (ours != 0) {
        section.items.push_back({std::string(open.back().name), {}, line});
      } else if (is_our_block(rest.substr(1))) {
        ours = open.size();
      }
      continue;
    }
    if (ours == 0 || open.size() != ours) continue;
    Item item{std::string(text::next_word(rest).value_or("")), {}, line};
    while (auto word = next_value(rest)) item.values.push_back(std::move(word->value));
    section.items.push_back(std::move(item));
  }
  if (!open.empty()) return fail(open.back().line, "a block does not end");
  return section;
}

}  // namespace wgvitals::config
