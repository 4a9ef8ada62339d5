// What once and serve are asked alike: what to read, and how to tell it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/config/option.h"
#include "common/model/metric.h"

namespace wgvitals::cli {

struct Asked {
  std::string format;
  bool keep_unsigned = false;
  std::optional<std::string> config;
  std::vector<std::string> only, devices;
  std::string prefix = "wireguard";
  std::string host;
};

// The format is one of `formats`.
void add_options(CLI::App& app, Asked& asked, const std::vector<std::string>& formats);

// Throws CLI::ValidationError where no such collector is known.
config::Settings to_settings(const Asked& asked);

struct Page {
  std::string text;
  bool in_time = true;
};

// One gather in the format asked for. `gather` fills the sink and says whether it was in time.
Page tell(const Asked& asked, const std::function<bool(Sink&)>& gather);

}  // namespace wgvitals::cli
