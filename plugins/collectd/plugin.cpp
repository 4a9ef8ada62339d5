// wireguard.so: a plugin of collectd 5.12. Nothing thrown leaves a callback, and no bad option or
// missing device is a failure that the daemon would answer by exiting or by asking less often.

#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "common/collect/engine.h"
#include "plugins/collectd/config.h"
#include "plugins/collectd/values.h"
// Last.
#include "plugins/collectd/collectd_api.h"

namespace wgvitals::collectd {
namespace {

constexpr const char* name = "wireguard";

class DaemonLog final : public Log {
 public:
  void write(Level level, std::string_view line) override {
    ::plugin_log(to_collectd(level), "wireguard plugin: %.*s", static_cast<int>(line.size()),
                 line.data());
  }

 private:
  static int to_collectd(Level level) {
    switch (level) {
      case Level::error:
        return LOG_ERR;
      case Level::warning:
        return LOG_WARNING;
      case Level::info:
        return LOG_NOTICE;
      case Level::debug:
        return LOG_DEBUG;
    }
    return LOG_ERR;
  }
};

// All state of the plugin, from the first configuration block to the shutdown.
struct Plugin {
  std::shared_ptr<Log> log = std::make_shared<DaemonLog>();
  config::Section section{"<Plugin wireguard>", {}};
  std::optional<Values> values;
  std::optional<collect::Engine> engine;
  std::chrono::milliseconds wait{};

  void start() {
    config::Settings settings(collect::schema());
    std::vector<config::Problem> problems;
    settings.read(section, problems);
    for (const auto& problem : problems) log->warning(config::to_text(section.file, problem));
    wait = settings.duration(collect::gather_wait);
    values.emplace(to_peer_instance(settings.text(collect::peer_instance)));
    // The daemon's own call keeps its interval and context in the thread, which dispatches.
    engine.emplace(settings, collect::Host{.log = log, .start_thread = ::plugin_thread_create});
    engine->start();
  }
};

// The daemon knows no user data for configuration and init: the one global.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
Plugin* plugin = nullptr;

template <class Work>
int guarded(const char* what, Work&& work) noexcept {
  try {
    work();
    return 0;
  } catch (const std::exception& error) {
    ::plugin_log(LOG_ERR, "wireguard plugin: %s: %s", what, error.what());
  } catch (...) {
    ::plugin_log(LOG_ERR, "wireguard plugin: %s: an unknown failure", what);
  }
  return -1;
}

Plugin& the_plugin() {
  if (plugin == nullptr) plugin = new Plugin;
  return *plugin;
}

extern "C" {

static int wgvitals_config(oconfig_item_t* block) {
  (void)guarded("configuration", [&] { add_block(*block, the_plugin().section); });
  return 0;  // another answer would end the daemon
}

// A gather that is late is the engine's own news, no failure: the daemon would double the interval.
static int wgvitals_read(user_data_t*) {
  return guarded("read", [] { (void)plugin->engine->gather(*plugin->values, plugin->wait); });
}

static int wgvitals_init() {
  // The daemon has forked by now; a second init, as after a reload, keeps what runs.
  return guarded("init", [] {
    if (the_plugin().engine) return;
    the_plugin().start();
    (void)::plugin_register_complex_read(nullptr, name, wgvitals_read, 0, nullptr);
  });
}

static int wgvitals_shutdown() {
  const int result = guarded("shutdown", [] {
    if (plugin != nullptr && plugin->engine) plugin->engine->stop();
  });
  delete plugin;
  plugin = nullptr;
  return result;
}

}  // extern "C"

}  // namespace
}  // namespace wgvitals::collectd

extern "C" __attribute__((visibility("default"))) void module_register(void) {
  ::plugin_register_complex_config("wireguard", wgvitals::collectd::wgvitals_config);
  ::plugin_register_init("wireguard", wgvitals::collectd::wgvitals_init);
  ::plugin_register_shutdown("wireguard", wgvitals::collectd::wgvitals_shutdown);
}
