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

// What stands behind the name, up to '>', which a quoted text may hold.
std::string title_of(std::string_view inside) {
  inside = text::trim(inside);
  inside.remove_prefix(block_name(inside).size());
  const auto word = next_value(inside);
  const bool ends = !word || (!word->quoted && word->value == Value(std::string(">")));
  return ends ? std::string() : to_title(word->value);
}

bool is_our_block(std::string_view inside) {
  const auto name = text::next_word(inside);
  if (!name || !text::equal_ignoring_case(*name, "plugin")) return false;
  const auto plugin = next_value(inside);
  const auto* text = plugin ? std::get_if<std::string>(&plugin->value) : nullptr;
  return text != nullptr && text::equal_ignoring_case(*text, "wireguard");
}

Item to_item(std::string_view rest, int line) {
  Item item{std::string(text::next_word(rest).value_or("")), {}, line};
  while (auto word = next_value(rest)) item.values.push_back(std::move(word->value));
  return item;
}

struct Begun {
  std::string_view name;
  int line;
};

// What is begun and not ended, and what was read of it.
class Reader {
 public:
  explicit Reader(std::string file) : section_{std::move(file), {}} {}

  void begin(std::string_view inside, int line) {
    open_.push_back({block_name(inside), line});
    const auto& name = open_.back().name;
    if (ours_ == 0) {
      if (is_our_block(inside)) ours_ = open_.size();
    } else if (open_.size() == ours_ + 1) {
      section_.blocks.push_back({std::string(name), title_of(inside), {}, line});
    } else {
      section_.blocks.back().items.push_back({fmt::format("<{}>", name), {}, line});
    }
  }
  void end() {
    if (open_.size() == ours_) ours_ = 0;
    open_.pop_back();
  }
  void take(std::string_view option, int line) {
    if (ours_ == 0 || open_.size() > ours_ + 1) return;
    auto& items = open_.size() == ours_ ? section_.items : section_.blocks.back().items;
    items.push_back(to_item(option, line));
  }

  const Begun* last() const { return open_.empty() ? nullptr : &open_.back(); }
  Section& section() { return section_; }

 private:
  Section section_;
  std::vector<Begun> open_;
  std::size_t ours_ = 0;  // the depth at which our block began, from 1; 0: outside
};

}  // namespace

Result<Section> parse_collectd(std::string_view text, std::string file) {
  Reader reader(std::move(file));
  const auto fail = [&](int line, std::string why) {
    return Error{Errc::malformed, 0, to_text(reader.section().file, {line, std::move(why)})};
  };
  int line = 0;
  while (const auto raw = text::next_line(text)) {
    ++line;
    const auto rest = text::trim(*raw);
    if (rest.empty() || rest.front() == '#') continue;
    const auto* last = reader.last();
    if (rest.starts_with("</")) {
      if (last == nullptr) return fail(line, "a block ends that did not begin");
      const auto name = block_name(rest.substr(2));
      if (!text::equal_ignoring_case(name, last->name)) {
        return fail(
            line, fmt::format("</{}> does not end <{}> of line {}", name, last->name, last->line));
      }
      reader.end();
    } else if (rest.front() == '<') {
      if (rest.find('>') == std::string_view::npos) return fail(line, "'>' is missing");
      reader.begin(rest.substr(1), line);
    } else {
      reader.take(rest, line);
    }
  }
  if (const auto* last = reader.last()) return fail(last->line, "a block does not end");
  return std::move(reader.section());
}

}  // namespace wgvitals::config
