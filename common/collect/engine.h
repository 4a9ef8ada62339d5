// The engine: runs the collectors on one thread of its own, so that no lock of the kernel and no
// hung process ever holds a thread of the host.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "common/base/files.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/config/option.h"
#include "common/model/metric.h"

namespace wgvitals::collect {

// What a host lends the engine.
struct Host {
  std::shared_ptr<Log> log;
  StartThread start_thread = start_plain_thread;
  Root root{};
  bool resident = true;  // false in a one-shot run
  // How long the first gather waits for the probes' first windows, beside its own wait.
  std::chrono::milliseconds first_window{0};
};

extern const config::Option gather_wait;    // what hosts wait until values flow
extern const config::Option peer_instance;  // how collectd names peers: "name", "safe", "raw"

// The engine's options, then each collector's, beginning with the one that switches it, and every
// kind of block.
config::Schema schema();

class Engine {
 public:
  // A collector that cannot be made is said in the log and left out.
  Engine(const config::Settings& settings, const Host& host);
  ~Engine();

  // Once, from a thread that may start threads. Throws std::system_error where the system refuses.
  void start();

  // From one thread of the host: reads anew and emits into `sink`, which is not touched after the
  // return. false: the engine did not come so far within `wait`; then only the engine's `late` was
  // emitted, by the caller's thread. Once values flow, they are waited for.
  bool gather(Sink& sink, std::chrono::milliseconds wait);

  // The host passed over a gather, because the last one was not yet taken. Any thread.
  void count_skipped();

  // Ends the thread. One that is held by the kernel is left behind after `wait`.
  void stop(std::chrono::milliseconds wait = std::chrono::milliseconds(800));

 private:
  class Core;
  StartThread start_thread_;
  std::shared_ptr<Core> core_;
  Thread thread_;
};

}  // namespace wgvitals::collect
