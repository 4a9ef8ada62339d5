// The command line, in the manner of Go's flags as Telegraf's external plugins take it.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace wgvitals::telegraf {

struct Arguments {
  std::optional<std::string> config;
  std::optional<std::chrono::milliseconds> poll_interval;  // empty: no ticker
  bool help = false;
  bool version = false;
  std::vector<std::string> problems;  // what was not understood and is passed over
};

// One dash or two; the value behind '=' or as the next argument.
Arguments parse_arguments(std::span<const char* const> arguments);

}  // namespace wgvitals::telegraf
