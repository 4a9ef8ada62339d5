#include "plugins/telegraf/arguments.h"

#include "common/config/option.h"

namespace wgvitals::telegraf {
namespace {

constexpr config::Option poll_interval_option{
    "poll_interval", config::Takes::duration, "10s", "", 100, 86'400'000};

}  // namespace

Arguments parse_arguments(std::span<const char* const> arguments) {
  Arguments parsed;
  bool disabled = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    const std::string shown(argument);
    if (!argument.starts_with('-')) {
      parsed.problems.push_back("argument '" + shown + "' is passed over");
      continue;
    }
    argument.remove_prefix(argument.starts_with("--") ? 2 : 1);
    const auto equals = argument.find('=');
    const auto name = argument.substr(0, equals);
    std::optional<std::string> value;
    if (equals != std::string_view::npos) value = std::string(argument.substr(equals + 1));
    const auto take_value = [&]() -> std::optional<std::string> {
      if (!value && i + 1 < arguments.size()) value = arguments[++i];
      if (!value) parsed.problems.push_back("argument '" + shown + "' needs a value");
      return value;
    };
    if (name == "config") {
      parsed.config = take_value();
    } else if (name == "poll_interval") {
      const auto text = take_value();
      parsed.poll_interval = text ? config::to_duration(poll_interval_option, *text) : std::nullopt;
      if (text && !parsed.poll_interval) {
        parsed.problems.push_back("-poll_interval: expected " +
                                  config::expectation(poll_interval_option) + ", found '" + *text +
                                  "'; no ticker runs");
      }
    } else if (name == "poll_interval_disabled") {
      disabled = !value || *value == "true" || *value == "1";
    } else if (name == "help" || name == "h") {
      parsed.help = true;
    } else if (name == "version") {
      parsed.version = true;
    } else {
      parsed.problems.push_back("argument '" + shown + "' is unknown and passed over");
    }
  }
  if (disabled) parsed.poll_interval.reset();
  return parsed;
}

}  // namespace wgvitals::telegraf
