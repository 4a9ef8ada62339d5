// collectd's side of the plugin API, at link time: keeps what a plugin dispatches, logs and
// registers. Of a value list it demands what the real daemon would: a type of the stock types.db,
// with as many values as it has sources.
#pragma once

#include <liboconfig/oconfig.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace wgvitals::test {

class CollectdDaemon {
 public:
  using Meta = std::map<std::string, std::string>;

  struct ValueList {
    std::string identifier;  // "wireguard-wg0/if_octets-laptop"
    std::string values;      // "1:2"; gauges with all their digits
    double time;             // seconds since 1970
    Meta meta;
  };
  struct Notification {
    int severity;
    std::string identifier, host, message;
    Meta meta;
  };

  // The daemon that the C functions of this program belong to, as new.
  static CollectdDaemon& start();

  // What was dispatched since the last call, in its order.
  std::vector<ValueList> take_values();
  std::vector<Notification> take_notifications();
  // What was logged: "warning: text".
  std::vector<std::string> take_log();

  // What the plugin registered, empty before.
  std::function<int(oconfig_item_t&)> config;
  std::function<int()> init, read, shutdown;
  int readers = 0;

  std::vector<std::string> threads;  // names of those it was asked for
  int thread_failure = 0;            // what the next request for one gives back
  int live_metas = 0;                // made and not yet destroyed

  // For the C functions only.
  std::mutex mutex;
  std::vector<ValueList> values;
  std::vector<Notification> notifications;
  std::vector<std::string> log;
};

// "identifier values", a line each, sorted.
std::vector<std::string> to_lines(const std::vector<CollectdDaemon::ValueList>& lists);

}  // namespace wgvitals::test
