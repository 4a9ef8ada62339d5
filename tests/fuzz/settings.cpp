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

std::string spelt(Bytes& in, const Name& name) {
  std::string spelling(name.view());
  if (in.flag()) spelling = config::collectd_name(spelling);
  if (in.rarely()) spelling = in.text();
  return spelling;
}

config::Item item(Bytes& in, const Option& option) {
  config::Item item{spelt(in, option.name), {}, 1};
  for (auto left = in.below(4); left > 0; --left) item.values.push_back(value(in, option));
  return item;
}

config::Block block(Bytes& in, const config::BlockKind& kind) {
  config::Block block{spelt(in, kind.name), std::string(in.text()), {}, 1};
  for (auto left = in.below(16); left > 0; --left) {
    block.items.push_back(item(in, *kind.options[in.below(kind.options.size())]));
  }
  return block;
}

void check_settings(const config::Settings& settings) {
  for (const auto* option : settings.schema().options) {
    check(is_taken(*option, settings), option->name.view().data());
  }
  for (const auto* kind : settings.schema().blocks) {
    for (const auto* block : settings.blocks(*kind)) check_settings(*block);
  }
}

void read_settings(Bytes& in) {
  config::Settings settings(collect::schema());
  const auto& [options, kinds] = settings.schema();
  config::Section section{"fuzz", {}};
  while (in.more()) {
    const auto which = in.below(kinds.size() + options.size());
    if (which < kinds.size()) {
      section.blocks.push_back(block(in, *kinds[which]));
    } else {
      section.items.push_back(item(in, *options[which - kinds.size()]));
    }
  }
  std::vector<config::Problem> problems;
  settings.read(section, problems);
  for (const auto& problem : problems) {
    check(!config::to_text("fuzz", problem).empty(), "a problem has words");
  }
  check_settings(settings);
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::Bytes in(data, size);
  wgvitals::fuzz::read_settings(in);
  return 0;
}
