// A configuration file as settings.
#pragma once

#include <string>
#include <vector>

#include "common/base/files.h"
#include "common/config/option.h"

namespace wgvitals::config {

struct Loaded {
  Settings settings;
  std::vector<Problem> problems;   // options passed over, or at their fallbacks
  std::vector<std::string> fatal;  // why the file as a whole could not be used
};

// The execd's TOML. An unreadable or broken file leaves the fallbacks.
Loaded load_toml(const Root& root, const std::string& path, Schema schema);

}  // namespace wgvitals::config
