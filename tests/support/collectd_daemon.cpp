#include "tests/support/collectd_daemon.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>
// Last.
#include "plugins/collectd/collectd_api.h"

// The daemon's opaque type is ours here.
struct meta_data_s {
  std::map<std::string, std::string> texts;
};

namespace wgvitals::test {
namespace {

std::unique_ptr<CollectdDaemon> the_daemon;

CollectdDaemon& current_daemon() {
  if (!the_daemon) the_daemon = std::make_unique<CollectdDaemon>();
  return *the_daemon;
}

// A type's sources, true where it is a gauge: "if_octets  rx:DERIVE:0:U, tx:DERIVE:0:U".
using Types = std::map<std::string, std::vector<bool>>;

Types read_types() {
  Types types;
  std::ifstream file("/usr/share/collectd/types.db");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    if (!(words >> name) || name.front() == '#') continue;
    for (std::string source; words >> source;) {
      types[name].push_back(source.find(":GAUGE:") != std::string::npos);
    }
  }
  return types;
}

const std::vector<bool>* find_type(const std::string& name) {
  static const Types types = read_types();
  const auto known = types.find(name);
  return known == types.end() ? nullptr : &known->second;
}

template <class List>
std::string to_identifier(const List& list) {
  const auto part = [](const char* name, const char* instance) {
    return *instance == '\0' ? std::string(name) : std::string(name) + '-' + instance;
  };
  return part(list.plugin, list.plugin_instance) + '/' + part(list.type, list.type_instance);
}

std::string to_text(const value_list_t& list) {
  const auto* sources = find_type(list.type);
  if (sources == nullptr) return "of no type in types.db";
  if (sources->size() != list.values_len) return "too few or too many";
  std::string text;
  for (std::size_t i = 0; i < list.values_len; ++i) {
    if (i > 0) text += ':';
    text += (*sources)[i] ? fmt::format("{}", list.values[i].gauge)
                          : fmt::format("{}", list.values[i].derive);
  }
  return text;
}

}  // namespace

CollectdDaemon& CollectdDaemon::start() {
  the_daemon = std::make_unique<CollectdDaemon>();
  return *the_daemon;
}

std::vector<CollectdDaemon::ValueList> CollectdDaemon::take_values() {
  const std::lock_guard lock(mutex);
  return std::exchange(values, {});
}

std::vector<CollectdDaemon::Notification> CollectdDaemon::take_notifications() {
  const std::lock_guard lock(mutex);
  return std::exchange(notifications, {});
}

std::vector<std::string> CollectdDaemon::take_log() {
  const std::lock_guard lock(mutex);
  return std::exchange(log, {});
}

std::vector<std::string> to_lines(const std::vector<CollectdDaemon::ValueList>& lists) {
  std::vector<std::string> lines;
  lines.reserve(lists.size());
  for (const auto& list : lists) lines.push_back(list.identifier + ' ' + list.values);
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace wgvitals::test

using wgvitals::test::current_daemon;
using wgvitals::test::to_identifier;

// A plugin that is loaded at run time finds these in the program.
#pragma GCC visibility push(default)
extern "C" {

static char host_name[] = "test.example";
char* hostname_g = host_name;

cdtime_t cdtime(void) { return TIME_T_TO_CDTIME_T(std::time(nullptr)); }

meta_data_t* meta_data_create(void) {
  ++current_daemon().live_metas;
  return new meta_data_s;
}

void meta_data_destroy(meta_data_t* meta) {
  if (meta == nullptr) return;
  --current_daemon().live_metas;
  delete meta;
}

int meta_data_add_string(meta_data_t* meta, const char* key, const char* value) {
  meta->texts[key] = value;
  return 0;
}

int plugin_dispatch_values(const value_list_t* list) {
  const std::lock_guard lock(current_daemon().mutex);
  current_daemon().values.push_back(
      {to_identifier(*list), wgvitals::test::to_text(*list), CDTIME_T_TO_DOUBLE(list->time),
       list->meta == nullptr ? std::map<std::string, std::string>() : list->meta->texts});
  return 0;
}

int plugin_dispatch_notification(const notification_t* notification) {
  const std::lock_guard lock(current_daemon().mutex);
  wgvitals::test::CollectdDaemon::Meta meta;
  for (const auto* one = notification->meta; one != nullptr; one = one->next) {
    meta[one->name] = one->nm_value.nm_string;
  }
  current_daemon().notifications.push_back({notification->severity, to_identifier(*notification),
                                            notification->host, notification->message,
                                            std::move(meta)});
  return 0;
}

int plugin_notification_meta_add_string(notification_t* notification, const char* name,
                                        const char* value) {
  ++current_daemon().live_metas;
  auto* one = new notification_meta_t{};
  std::strncpy(one->name, name, sizeof one->name - 1);
  one->type = NM_TYPE_STRING;
  one->nm_value.nm_string = ::strdup(value);
  one->next = notification->meta;
  notification->meta = one;
  return 0;
}

int plugin_notification_meta_free(notification_meta_t* meta) {
  while (meta != nullptr) {
    --current_daemon().live_metas;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): ours, by strdup
    ::free(const_cast<char*>(meta->nm_value.nm_string));
    delete std::exchange(meta, meta->next);
  }
  return 0;
}

void plugin_log(int level, const char* format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  (void)std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  const char* name = level == LOG_ERR       ? "error: "
                     : level == LOG_WARNING ? "warning: "
                     : level == LOG_NOTICE  ? "notice: "
                                            : "debug: ";
  const std::lock_guard lock(current_daemon().mutex);
  current_daemon().log.push_back(std::string(name) + line);
}

int plugin_register_complex_config(const char*, int (*callback)(oconfig_item_t*)) {
  current_daemon().config = [callback](oconfig_item_t& block) { return callback(&block); };
  return 0;
}

int plugin_register_init(const char*, plugin_init_cb callback) {
  current_daemon().init = callback;
  return 0;
}

int plugin_register_complex_read(const char*, const char*, plugin_read_cb callback, cdtime_t,
                                 const user_data_t*) {
  current_daemon().read = [callback] { return callback(nullptr); };
  ++current_daemon().readers;
  return 0;
}

int plugin_register_shutdown(const char*, plugin_shutdown_cb callback) {
  current_daemon().shutdown = callback;
  return 0;
}

int plugin_thread_create(pthread_t* thread, void* (*body)(void*), void* argument,
                         const char* name) {
  current_daemon().threads.emplace_back(name);
  if (current_daemon().thread_failure != 0)
    return std::exchange(current_daemon().thread_failure, 0);
  return ::pthread_create(thread, nullptr, body, argument);
}

}  // extern "C"
#pragma GCC visibility pop
