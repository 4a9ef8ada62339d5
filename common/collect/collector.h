// A collector: one source of facts, and what is said of them. One file, and one line in table.cpp.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/files.h"
#include "common/base/report.h"
#include "common/base/thread.h"
#include "common/config/option.h"
#include "common/model/devices.h"
#include "common/model/events.h"
#include "common/model/metric.h"
#include "common/model/now.h"
#include "common/model/peers.h"
#include "common/probe/loop.h"
#include "common/probe/pinger.h"
#include "common/probe/resolver.h"

namespace wgvitals::collect {

// The engine calls, in the order of its table and from its one thread, first every read, then every
// advance, then every emit. Whatever a collector keeps between them is its own.
class Collector {
 public:
  virtual ~Collector() = default;

  // Readings between gathers, so that nothing that happens in between is missed; false: what it
  // tells is of the moment of the gather, or of counters.
  virtual bool is_sampled() const { return true; }

  // All input: replaces what the last read saw. May fail in part: what was seen is kept, what was
  // not is absent. Blocks no longer than its own deadline, and where the kernel's locks are held.
  // `devices` is filled by the wireguard collector; those behind it look at it.
  virtual void read(Devices& devices, Report& report) = 0;

  // Values from values: fills its columns of the peers' rows, may look at those filled before it.
  virtual void advance(const Now&, const Devices&, Peers&, Events&) {}

  // Values to records. Changes nothing and cannot fail.
  virtual void emit(const Now& now, const Devices& devices, const Peers& peers,
                    Sink& sink) const = 0;

  // What was emitted has reached the host: windows that were told are closed.
  virtual void told() {}

  // What has no complete window yet ("3 of 10 targets"); empty: nothing. The first gather of some
  // hosts asks again and again, after the first advance, until all are empty; so this takes in what
  // the probers have.
  virtual std::string unsettled() { return {}; }
};

// What collectors stand on. The probers start their threads when they are first used, by a read or
// an advance; never when a collector is made.
struct Services {
  const Root& root;
  bool resident;  // false in a one-shot run: what is counted since start is absent
  std::chrono::milliseconds patience;  // what a read may wait for outsiders, that no gather be late
  StartThread start_thread;
  probe::Resolver& resolver;
  probe::Loop& loop;
  probe::Pinger& pinger;
};

// A collector's line in the table.
struct Entry {
  config::Option enabled;  // its name in configuration, self-metrics and catalogue: a truth
  std::span<const Family* const> families;
  std::span<const config::Option* const> options;
  // Null where the configuration gives it nothing to do.
  std::unique_ptr<Collector> (*make)(const Services&, const config::Settings&);
  std::span<const config::BlockKind* const> blocks = {};

  std::string_view name() const { return enabled.name.view(); }
};

// All collectors in the order of dependence.
std::span<const Entry* const> table();

}  // namespace wgvitals::collect
