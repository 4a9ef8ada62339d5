#include "common/config/load.h"

namespace wgvitals::config {

Loaded load_toml(const Root& root, const std::string& path, Schema schema) {
  Loaded loaded{Settings(std::move(schema)), {}, {}};
  const auto text = root.read(path);
  if (!text) {
    loaded.fatal.push_back("configuration: " + to_text(text.error()));
    return loaded;
  }
  const auto section = parse_toml(*text, path, loaded.settings.schema(), loaded.problems);
  if (section) {
    loaded.settings.read(*section, loaded.problems);
  } else {
    loaded.fatal.push_back(section.error().where);
  }
  return loaded;
}

}  // namespace wgvitals::config
