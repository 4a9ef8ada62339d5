// The schema: whatever a configuration says, each option ends up with a value that it takes.

#include <array>

#include "common/base/text.h"
#include "common/collect/engine.h"
#include "common/model/selection.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"

namespace wgvitals::fuzz {
namespace {

using config::Option;
using config::Takes;

// One of the values that are likely to mean something, or any.
config::Value value(Bytes& in, const Option& option) {
  constexpr std::array units{"", "ms", "s", "m", "h", "1s", "."};
  switch (in.below(8)) {
    case 0:
      return in.flag();
    case 1:
      return in.number<std::int64_t>();
    case 2:
      return in.number<double>();
    case 3:
      return std::int64_t{in.number<std::int16_t>()};
    case 4:
      return double{in.number<float>()};
    case 5:
      return std::to_string(in.number<std::uint16_t>()) + units[in.below(units.size())];
    case 6:
      return std::string(in.flag() ? option.fallback : option.choices);
    default:
      return std::string(in.text());
  }
}

bool is_choice(std::string_view choices, std::string_view text) {
  while (!choices.empty()) {
    const auto choice = choices.substr(0, choices.find('|'));
    choices.remove_prefix(std::min(choice.size() + 1, choices.size()));
    if (choice == text) return true;
    const auto stem = choice.substr(0, choice.find('N'));
    if (stem != choice && text.starts_with(stem) &&
        text::to_number<std::uint32_t>(text.substr(stem.size()))) {
      return true;
    }
  }
  return false;
}

bool is_taken(const Option& option, const config::Settings& settings) {
  const auto within = [&](std::int64_t number) {
    return option.least <= number && number <= option.most;
  };
  const auto rows_of = [&](std::size_t size) {
    const auto& rows = settings.rows(option);
    return std::all_of(rows.begin(), rows.end(), [&](auto& row) { return row.size() == size; });
  };
  switch (option.takes) {
    case Takes::truth:
      (void)settings.truth(option);  // throws where it holds something else
      return true;
    case Takes::whole:
      return within(settings.whole(option));
    case Takes::duration:
      return within(settings.duration(option).count());
    case Takes::choice:
      return is_choice(option.choices, settings.text(option));
    case Takes::text:
      (void)settings.text(option);
      return true;
    case Takes::texts:
      (void)settings.texts(option);
      return true;
    case Takes::patterns: {
      const auto& texts = settings.texts(option);
      return std::all_of(texts.begin(), texts.end(),
                         [](const auto& text) { return Pattern::parse(text).has_value(); });
    }
    case Takes::pairs:
      return rows_of(2);
    case Takes::triples:
      return rows_of(3);
  }
  return false;
}

void read_settings(Bytes& in) {
  const auto schema = collect::all_options();
  config::Section section{"fuzz", {}};
  while (in.more()) {
    const auto& option = *schema[in.below(schema.size())];
    const auto name = option.name.view();
    config::Item item{in.flag() ? std::string(name) : config::collectd_name(name), {}, 1};
    if (in.rarely()) item.name = in.text();
    for (auto left = in.below(4); left > 0; --left) item.values.push_back(value(in, option));
    section.items.push_back(std::move(item));
  }
  config::Settings settings(schema);
  std::vector<config::Problem> problems;
  settings.read(section, problems);
  for (const auto& problem : problems) {
    check(!config::to_text("fuzz", problem).empty(), "a problem has words");
  }
  for (const auto* option : schema) check(is_taken(*option, settings), option->name.view().data());
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::Bytes in(data, size);
  wgvitals::fuzz::read_settings(in);
  return 0;
}
