#include "common/collect/engine.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "common/collect/collector.h"
#include "common/collect/families.h"
#include "common/collect/select.h"
#include "common/kernel/namespace.h"

namespace wgvitals::collect {

using config::Option;
using config::Takes;
using std::chrono::milliseconds;

// What is configured, and what the engine says of itself.

constexpr Option gather_wait{
    "gather_wait", Takes::duration,
    "1s",          "Longest time that a gather waits for a reading; then it is late",
    100,           60'000};

constexpr Option peer_instance{
    "peer_instance",
    Takes::choice,
    "name",
    "How collectd's identifiers name a peer: by its friendly name (else "
    "as safe), by its key in base64url (safe), or as wg(8) shows it (raw)",
    0,
    0,
    "name|safe|raw"};

namespace {

constexpr Option sample_interval{
    "sample_interval",
    Takes::duration,
    "5s",
    "Reads between gathers, so that handshakes are counted whatever the host's interval. 0s: off",
    0,
    3'600'000};

constexpr const Option* own_options[] = {&gather_wait,          &sample_interval, &peers_shown,
                                         &peer_include,         &peer_exclude,    &peer_list,
                                         &ignore_selected_peer, &peer_instance};

constexpr LabelName collector_label{"collector"};
constexpr const LabelName* labels[] = {&collector_label};
constexpr Place places[] = {{"wireguard"}};

constexpr Metric success{"success", Type::i64, Kind::gauge, Unit::truth,
                         "The last reading had no failure"};
constexpr Metric duration{"duration_ns", Type::i64, Kind::gauge, Unit::nanoseconds,
                          "Time that the collector took"};
constexpr Metric records{"records", Type::i64, Kind::gauge, Unit::none, "Records told"};
constexpr Metric retries{"retries", Type::u64, Kind::counter, Unit::none,
                         "Readings begun anew because they were torn, since start"};
constexpr Metric errors{"errors", Type::u64, Kind::counter, Unit::none, "Failures since start"};
constexpr Metric capped{"capped", Type::i64, Kind::gauge, Unit::none,
                        "Peers (engine: events) cut by a limit"};
constexpr Metric memory{"memory_bytes", Type::i64, Kind::gauge, Unit::bytes,
                        "Resident memory of the process"};
constexpr Metric late{"late", Type::u64, Kind::counter, Unit::none,
                      "Gathers that did not wait for a slow engine, since start"};
constexpr Metric skipped{"skipped", Type::u64, Kind::counter, Unit::none,
                         "Gathers left out because the last was not yet taken, since start"};
constexpr Metric version{"version", Type::text, Kind::gauge, Unit::none, "Version of wgvitals"};
constexpr const Metric* numbers[] = {&success, &duration, &records, &retries, &errors,
                                     &capped,  &memory,   &late,    &skipped};
constexpr const Metric* texts[] = {&version};
constexpr Family own_numbers{"wgvitals", "The collectors themselves", numbers, labels, places};
constexpr Family own_texts{"wgvitals", "The program", texts, labels, {}};

constexpr Label engine_label[] = {{&collector_label, "engine"}};

// Counts what passes.
class CountingSink final : public Sink {
 public:
  explicit CountingSink(Sink& sink) : sink_(sink) {}
  void begin(const Now& now) override { sink_.begin(now); }
  void take(const Record& record) override {
    ++count_;
    sink_.take(record);
  }
  void take(const Event& event) override { sink_.take(event); }
  std::int64_t count() const { return count_; }

 private:
  Sink& sink_;
  std::int64_t count_ = 0;
};

// What was said once and for all. Bounded.
class Notes {
 public:
  void add(Log& log, std::string text) {
    constexpr std::size_t most = 256;
    if (said_.size() >= most) return;
    if (const auto [note, is_new] = said_.insert(std::move(text)); is_new) log.info(*note);
  }

 private:
  std::set<std::string> said_;
};

// One collector at work, and how it fares.
struct Running {
  std::string_view name;
  std::unique_ptr<Collector> collector;
  std::uint64_t errors = 0, retries = 0;
  std::chrono::nanoseconds spent{};
  bool well = true;
};

class RunningReport final : public Report {
 public:
  RunningReport(Running& running, Complaints& complaints, Notes& notes, Log& log,
                std::chrono::steady_clock::time_point now)
      : running_(running), complaints_(complaints), notes_(notes), log_(log), now_(now) {}

  void failed(const Error& error) override {
    if (error.code == Errc::absent) return;
    ++running_.errors;
    running_.well = false;
    complaints_.complain(log_, Level::warning, std::string(running_.name) + ": " + to_text(error),
                         now_);
  }
  void noted(const Error& why) override {
    notes_.add(log_, std::string(running_.name) + ": " + to_text(why));
  }
  void retried() override { ++running_.retries; }

 private:
  Running& running_;
  Complaints& complaints_;
  Notes& notes_;
  Log& log_;
  std::chrono::steady_clock::time_point now_;
};

// Adds the time until its end to a collector's.
class Stopwatch {
 public:
  explicit Stopwatch(Running& running)
      : running_(running), start_(std::chrono::steady_clock::now()) {}
  ~Stopwatch() { running_.spent += std::chrono::steady_clock::now() - start_; }
  Stopwatch(const Stopwatch&) = delete;

 private:
  Running& running_;
  std::chrono::steady_clock::time_point start_;
};

std::optional<std::int64_t> read_resident_bytes(const Root& root) {
  const auto text = root.read("proc/self/statm");
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  (void)text::next_word(rest);
  const auto pages = text::to_number<std::int64_t>(text::next_word(rest).value_or(""));
  if (!pages) return std::nullopt;
  return *pages * ::sysconf(_SC_PAGESIZE);
}

probe::InNamespace in_namespace(const Root& root) {
  return [root](const std::string& netns, const std::function<Result<Fd>()>& open) {
    return kernel::open_in(kernel::namespace_path(root, netns), open);
  };
}

Now read_clock() { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

// The four passes and all state. Only the engine's thread calls it.
class Passes {
 public:
  Passes(const config::Settings& settings, const Host& host)
      : host_(host),
        limit_(to_limit(settings)),
        resolver_(host_.start_thread),
        loop_(host_.start_thread, host_.log),
        pinger_(probe::make_pinger(host_.start_thread, in_namespace(host_.root))) {
    const Services services{host_.root,
                            host_.resident,
                            settings.duration(gather_wait) * 4 / 5,
                            host_.start_thread,
                            resolver_,
                            loop_,
                            *pinger_};
    for (const auto* entry : table()) {
      if (!settings.truth(entry->enabled)) continue;
      try {
        auto collector = entry->make(services, settings);
        if (collector) running_.push_back({entry->name(), std::move(collector)});
      } catch (const std::exception& error) {
        host_.log->error(std::string(entry->name()) + ": left out: " + error.what());
      }
    }
    peers_.set_selection(to_peer_selection(settings));
  }

  // Read, clock, advance, select.
  void sample(bool for_gather) {
    const auto started = std::chrono::steady_clock::now();
    for (auto& running : running_) {
      if (!for_gather && !running.collector->is_sampled()) continue;
      running.spent = {};
      running.well = true;
      const Stopwatch stopwatch(running);
      guarded(running, started, [&](Report& report) { running.collector->read(devices_, report); });
    }
    now_ = read_clock();
    for (auto& running : running_) {
      if (!for_gather && !running.collector->is_sampled()) continue;
      const Stopwatch stopwatch(running);
      guarded(running, started,
              [&](Report&) { running.collector->advance(now_, devices_, peers_, events_); });
    }
    if (for_gather) complaints_.settle(*host_.log, started);
    cut_ = select(limit_, peers_, scratch_);
  }

  // What has no complete window yet, in words; empty: nothing.
  std::string unsettled() {
    std::string all;
    for (auto& running : running_) {
      if (const auto what = running.collector->unsettled(); !what.empty()) {
        ((all += all.empty() ? "" : ", ") += running.name) += ": " + what;
      }
    }
    return all;
  }

  // The probers' threads.
  void stop() {
    pinger_->stop();
    loop_.stop();
    resolver_.stop();
  }

  void emit(Sink& sink, std::uint64_t late_count, std::uint64_t skipped_count) {
    sink.begin(now_);
    for (auto& running : running_) {
      CountingSink counting(sink);
      {
        const Stopwatch stopwatch(running);
        running.collector->emit(now_, devices_, peers_, counting);
      }
      emit_running(running, counting.count(), sink);
    }
    events_.emit(sink);
    emit_engine(late_count, skipped_count, sink);
    events_.clear();
    for (auto& running : running_) running.collector->told();
  }

 private:
  // One pass of one collector; what it throws is its own failure.
  template <class Pass>
  void guarded(Running& running, std::chrono::steady_clock::time_point now, Pass&& pass) {
    RunningReport report(running, complaints_, notes_, *host_.log, now);
    try {
      pass(report);
    } catch (const std::exception& error) {
      report.failed({Errc::io, 0, error.what()});
    }
  }

  void emit_running(const Running& running, std::int64_t count, Sink& sink) const {
    const Label name[] = {{&collector_label, running.name}};
    Readings<std::size(numbers)> readings;
    readings.add(success, running.well);
    readings.add(duration, running.spent.count());
    readings.add(records, count);
    readings.add(retries, running.retries);
    readings.add(errors, running.errors);
    if (running.name == "wireguard") readings.add(capped, cut_);
    sink.take(Record{own_numbers, name, readings});
  }

  void emit_engine(std::uint64_t late_count, std::uint64_t skipped_count, Sink& sink) const {
    Readings<std::size(numbers)> readings;
    readings.add(memory, read_resident_bytes(host_.root));
    if (host_.resident) {
      readings.add(late, late_count);
      readings.add(skipped, skipped_count);
      readings.add(capped, events_.dropped());
    }
    sink.take(Record{own_numbers, engine_label, readings});
    Readings<std::size(texts)> words;
    words.add(version, WGVITALS_VERSION);
    sink.take(Record{own_texts, engine_label, words});
  }

  Host host_;
  ShownLimit limit_;
  probe::Resolver resolver_;
  probe::Loop loop_;
  std::unique_ptr<probe::Pinger> pinger_;
  std::vector<Running> running_;
  Complaints complaints_;
  Notes notes_;
  Devices devices_;
  Peers peers_;
  Events events_;
  Now now_;
  std::size_t cut_ = 0;
  std::vector<Slot> scratch_;
};

}  // namespace

config::Schema schema() {
  config::Schema schema{{std::begin(own_options), std::end(own_options)}};
  for (const auto* entry : table()) {
    schema.options.push_back(&entry->enabled);
    schema.options.insert(schema.options.end(), entry->options.begin(), entry->options.end());
    schema.blocks.insert(schema.blocks.end(), entry->blocks.begin(), entry->blocks.end());
  }
  return schema;
}

std::vector<const Family*> all_families() {
  std::vector<const Family*> families;
  for (const auto* entry : table()) {
    families.insert(families.end(), entry->families.begin(), entry->families.end());
  }
  for (const auto* family : {&event_numbers, &event_texts, &own_numbers, &own_texts}) {
    families.push_back(family);
  }
  return families;
}

// What the host's threads and the engine's thread share: one request under one mutex.
class Engine::Core {
 public:
  Core(const config::Settings& settings, const Host& host)
      : log_(host.log),
        interval_(settings.duration(sample_interval)),
        first_window_(host.first_window),
        passes_(settings, host) {
    if (!host.resident) interval_ = milliseconds(0);
  }

  bool gather(Sink& sink, milliseconds wait) {
    std::unique_lock lock(mutex_);
    if (request_ == 0) wait += first_window_;
    sink_ = &sink;
    stage_ = Stage::wanted;
    ++request_;
    changed_.notify_all();
    const bool begun = changed_.wait_for(lock, wait, [&] { return stage_ != Stage::wanted; });
    if (begun) {
      changed_.wait(lock, [&] { return stage_ == Stage::idle; });
      return true;
    }
    stage_ = Stage::idle;
    sink_ = nullptr;
    const auto count = ++late_;
    lock.unlock();
    sink.begin(read_clock());
    Readings<1> readings;
    readings.add(late, count);
    sink.take(Record{own_numbers, engine_label, readings});
    return false;
  }

  void count_skipped() { ++skipped_; }

  void stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }

  // The engine's thread.
  void run() {
    std::unique_lock lock(mutex_);
    auto next_sample = std::chrono::steady_clock::now() + interval_;
    while (!stopping_) {
      const auto wanted = [&] { return stopping_ || stage_ == Stage::wanted; };
      if (interval_.count() == 0) {
        changed_.wait(lock, wanted);
      } else {
        changed_.wait_until(lock, next_sample, wanted);
      }
      if (stopping_) break;
      const auto request = request_;
      const bool for_gather = stage_ == Stage::wanted;
      lock.unlock();
      const bool first = request == 1 && !std::exchange(waited_, true);
      if (!first || wait_for_windows()) guarded([&] { passes_.sample(for_gather); });
      next_sample = std::chrono::steady_clock::now() + interval_;
      lock.lock();
      // Only who still waits, and asked before this reading began, gets it.
      if (stage_ != Stage::wanted || request != request_) continue;
      stage_ = Stage::emitting;
      Sink& sink = *sink_;
      changed_.notify_all();
      lock.unlock();
      guarded([&] { passes_.emit(sink, late_, skipped_); });
      lock.lock();
      stage_ = Stage::idle;
      sink_ = nullptr;
      changed_.notify_all();
    }
    lock.unlock();
    guarded([&] { passes_.stop(); });
  }

 private:
  // Where a host asks but once, as `telegraf --test` does, it shall see a ping. false: there was
  // nobody to wait for, and all is read.
  bool wait_for_windows() {
    if (first_window_.count() == 0) return true;
    constexpr milliseconds step(20);
    const auto end = std::chrono::steady_clock::now() + first_window_;
    bool waited = true;
    std::string left;
    guarded([&] {
      passes_.sample(true);  // makes the targets known
      left = passes_.unsettled();
      waited = !left.empty();
      while (!left.empty() && std::chrono::steady_clock::now() + step < end) {
        std::unique_lock lock(mutex_);
        if (changed_.wait_for(lock, step, [&] { return stopping_; })) return;
        lock.unlock();
        left = passes_.unsettled();
      }
    });
    if (!left.empty()) {
      log_->warning("no complete window after " + std::to_string(first_window_.count()) +
                    " ms: " + left);
    }
    return waited;
  }

  enum class Stage : std::uint8_t { idle, wanted, emitting };

  template <class Work>
  void guarded(Work&& work) noexcept {
    try {
      work();
    } catch (const std::exception& error) {
      log_->error(std::string("engine: ") + error.what());
    } catch (...) {
      log_->error("engine: an unknown failure");
    }
  }

  std::shared_ptr<Log> log_;
  milliseconds interval_;
  milliseconds first_window_;
  Passes passes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Sink* sink_ = nullptr;
  Stage stage_ = Stage::idle;
  std::uint64_t request_ = 0;
  bool stopping_ = false;
  bool waited_ = false;  // for the first windows; the engine's thread only
  std::atomic<std::uint64_t> late_ = 0, skipped_ = 0;
};

Engine::Engine(const config::Settings& settings, const Host& host)
    : start_thread_(host.start_thread), core_(std::make_shared<Core>(settings, host)) {}

Engine::~Engine() { stop(); }

void Engine::start() {
  thread_.start(start_thread_, "wgvitals", [core = core_] { core->run(); });
}

bool Engine::gather(Sink& sink, milliseconds wait) { return core_->gather(sink, wait); }

void Engine::count_skipped() { core_->count_skipped(); }

void Engine::stop(milliseconds wait) {
  core_->stop();
  (void)thread_.join(wait);
}

}  // namespace wgvitals::collect
