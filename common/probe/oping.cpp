// The engine over liboping. One round at a time: it sends to all hosts at once and waits for all
// their answers. So one set of options is for all, a dead target is probed as often as one that
// lives, and where the sending to one host fails, liboping tells of none: such a round is unsent.

#include <oping.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "common/base/library.h"
#include "common/probe/ping_outbox.h"
#include "common/probe/pinger.h"
#include "common/probe/schedule.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr int common_ttl = 64;         // liboping's own is 255
constexpr seconds longest_timeout{5};  // a round cannot be broken off

struct Functions {
  Library library;
  decltype(&::ping_construct) construct = nullptr;
  decltype(&::ping_destroy) destroy = nullptr;
  decltype(&::ping_setopt) setopt = nullptr;
  decltype(&::ping_send) send = nullptr;
  decltype(&::ping_host_add) host_add = nullptr;
  decltype(&::ping_host_remove) host_remove = nullptr;
  decltype(&::ping_iterator_get) first = nullptr;
  decltype(&::ping_iterator_next) next = nullptr;
  decltype(&::ping_iterator_get_info) info = nullptr;
  decltype(&::ping_get_error) error = nullptr;
};

Result<Functions> load() {
  auto library = Library::open("liboping.so.0", "liboping0");
  if (!library) return library.error();
  Functions functions{.library = std::move(*library)};
  std::optional<Error> missing;
  const auto bind = [&](const char* name, auto*& function) {
    if (auto found = functions.library.find(name, function); !found) missing = found.error();
  };
  bind("ping_construct", functions.construct);
  bind("ping_destroy", functions.destroy);
  bind("ping_setopt", functions.setopt);
  bind("ping_send", functions.send);
  bind("ping_host_add", functions.host_add);
  bind("ping_host_remove", functions.host_remove);
  bind("ping_iterator_get", functions.first);
  bind("ping_iterator_next", functions.next);
  bind("ping_iterator_get_info", functions.info);
  bind("ping_get_error", functions.error);
  if (missing) return *missing;
  return functions;
}

std::string to_host(const Endpoint& address) {
  std::array<char, longest_endpoint> text{};
  return std::string(to_address_text(address, text));
}

struct Answer {
  nanoseconds rtt{-1};  // negative: none
  std::uint8_t ttl = 0;
};

// liboping's object; of the thread alone.
class Hosts {
 public:
  Hosts(const Functions& functions, const PingTarget& like)
      : functions_(functions), object_(functions.construct(), functions.destroy) {
    if (!object_) throw std::bad_alloc();
    double timeout = std::chrono::duration<double>(like.timeout).count();
    int ttl = like.path.ttl != 0 ? like.path.ttl : common_ttl;
    std::string data(like.size, 'w');
    set(PING_OPT_TIMEOUT, &timeout);
    set(PING_OPT_TTL, &ttl);
    set(PING_OPT_DATA, data.data());
    if (auto tos = like.path.tos; tos != 0) set(PING_OPT_QOS, &tos);
    if (auto mark = static_cast<int>(like.path.mark); mark != 0) set(PING_OPT_MARK, &mark);
    if (auto device = like.path.device; !device.empty()) set(PING_OPT_DEVICE, device.data());
    if (auto source = to_host(like.path.source); !source.empty())
      set(PING_OPT_SOURCE, source.data());
  }

  // Why it could not, if so.
  const std::optional<Error>& refused() const { return refused_; }

  // Those that liboping refuses are tried again at the next round.
  void follow(const std::set<std::string>& wanted) {
    for (auto at = hosts_.begin(); at != hosts_.end();) {
      if (wanted.contains(*at)) {
        ++at;
        continue;
      }
      (void)functions_.host_remove(object_.get(), at->c_str());
      at = hosts_.erase(at);
    }
    for (const auto& host : wanted) {
      if (hosts_.contains(host)) continue;
      if (functions_.host_add(object_.get(), host.c_str()) == 0) {
        hosts_.insert(host);
      } else {
        errors_.push_back(said("oping: " + host));
      }
    }
  }

  // What each host answered; empty where the round failed.
  std::map<std::string, Answer> ask() {
    std::map<std::string, Answer> answers;
    if (hosts_.empty()) return answers;
    if (functions_.send(object_.get()) < 0) {
      errors_.push_back(said("oping: a round of " + std::to_string(hosts_.size()) + " hosts"));
      return answers;
    }
    for (auto* at = functions_.first(object_.get()); at != nullptr; at = functions_.next(at)) {
      std::array<char, 256> host{};
      double latency_ms = -1;
      int ttl = 0;
      auto size = host.size();
      if (functions_.info(at, PING_INFO_USERNAME, host.data(), &size) != 0) continue;
      size = sizeof latency_ms;
      if (functions_.info(at, PING_INFO_LATENCY, &latency_ms, &size) != 0) continue;
      size = sizeof ttl;
      (void)functions_.info(at, PING_INFO_RECV_TTL, &ttl, &size);
      answers[host.data()] = {nanoseconds(static_cast<std::int64_t>(latency_ms * 1e6)),
                              static_cast<std::uint8_t>(ttl)};
    }
    return answers;
  }

  std::vector<Error> take_errors() { return std::exchange(errors_, {}); }

 private:
  void set(int option, void* value) {
    if (functions_.setopt(object_.get(), option, value) != 0 && !refused_)
      refused_ = said("oping: option " + std::to_string(option));
  }

  Error said(const std::string& where) const {
    const char* error = functions_.error(object_.get());
    return {Errc::io, 0, where + ": " + (error == nullptr ? "failed" : error)};
  }

  const Functions& functions_;
  std::unique_ptr<pingobj_t, decltype(&::ping_destroy)> object_;
  std::set<std::string> hosts_;
  std::vector<Error> errors_;
  std::optional<Error> refused_;
};

struct Target {
  std::string host;
  PingOwner owner = PingOwner::ping;
  std::uint32_t number = 0;
  std::uint64_t serial = 0;  // 0: none here; another one after each add() and move()
};

struct Shared {
  Shared(Functions found, const PingTarget& first)
      : functions(std::move(found)), like(first), left(first.count) {}

  const Functions functions;
  const PingTarget like;  // whose options are everybody's
  std::mutex mutex;
  std::condition_variable wanted;
  std::vector<Target> targets;
  std::vector<PingId> free;
  PingOutbox outbox;
  std::vector<Error> failures;  // of the last round
  std::uint64_t serials = 0;
  std::uint16_t left;  // rounds of the burst
  bool stopping = false;
};

void settle(Shared& shared, const std::vector<Target>& asked,
            const std::map<std::string, Answer>& answers, Clock::time_point began) {
  for (std::size_t i = 0; i < asked.size(); ++i) {
    auto& target = shared.targets[i];
    if (asked[i].serial == 0 || asked[i].serial != target.serial) continue;
    PingOutcome outcome;
    outcome.id = static_cast<PingId>(i);
    outcome.number = target.number++;
    outcome.sent_ns = began.time_since_epoch().count();
    const auto answer = answers.find(target.host);
    if (answer == answers.end()) {
      outcome.kind = PingOutcome::Kind::unsent;
      outcome.error = EIO;  // liboping does not tell which host it was, nor always why
    } else if (answer->second.rtt.count() >= 0) {
      outcome.kind = PingOutcome::Kind::answered;
      outcome.rtt_ns = answer->second.rtt.count();
      outcome.ttl = answer->second.ttl;
    }
    shared.outbox.put(target.owner, outcome);
  }
}

void run_rounds(Shared& shared) {
  Hosts hosts(shared.functions, shared.like);
  const nanoseconds interval = shared.like.interval;
  const double share = std::min(1.0, 1e9 / static_cast<double>(interval.count()));
  Schedule schedule(interval, 1, share * to_phase(std::random_device{}() / 4294967296.0, 0),
                    Clock::now());
  std::unique_lock lock(shared.mutex);
  for (;;) {
    const bool burst = shared.like.count > 0;
    shared.wanted.wait(lock, [&] { return shared.stopping || !burst || shared.left > 0; });
    shared.wanted.wait_until(lock, schedule.due(), [&] { return shared.stopping; });
    if (shared.stopping) return;
    const auto asked = shared.targets;
    std::set<std::string> wanted;
    for (const auto& target : asked) {
      if (target.serial != 0) wanted.insert(target.host);
    }
    lock.unlock();
    const auto began = Clock::now();
    std::map<std::string, Answer> answers;
    if (!hosts.refused()) {
      hosts.follow(wanted);
      answers = hosts.ask();
    }
    lock.lock();
    schedule.sent(began, {});
    if (burst && shared.left > 0) --shared.left;
    shared.failures = hosts.take_errors();
    if (hosts.refused()) shared.failures.push_back(*hosts.refused());
    settle(shared, asked, answers, began);
  }
}

void run(Shared& shared) {
  std::string why;
  try {
    return run_rounds(shared);
  } catch (const std::exception& error) {
    why = error.what();
  } catch (...) {
    why = "unknown";
  }
  const std::lock_guard lock(shared.mutex);
  shared.failures = {{Errc::io, 0, "oping: its thread ended: " + why}};
}

// What one liboping object cannot do.
std::optional<std::string> why_not(const PingTarget& target) {
  if (target.address.family == AddressFamily::none || target.interval.count() <= 0 ||
      target.timeout.count() <= 0)
    return "needs an address, an interval and a timeout";
  if (target.timeout > longest_timeout) return "a timeout of more than 5 s";
  if (target.address.scope != 0) return "link-local addresses";
  if (!target.path.netns.empty()) return "other network namespaces";
  if (target.path.dont_fragment) return "dont_fragment";
  return std::nullopt;
}

bool same_options(const PingTarget& left, const PingTarget& right) {
  auto path = right.path;
  if (path.source.family == AddressFamily::none) path.family = left.path.family;
  return left.path == path && left.interval == right.interval && left.timeout == right.timeout &&
         left.size == right.size && left.count == right.count;
}

class OpingPinger final : public Pinger {
 public:
  explicit OpingPinger(StartThread start_thread) : start_thread_(start_thread) {}
  ~OpingPinger() override { OpingPinger::stop(); }

  Result<PingId> add(PingOwner owner, const PingTarget& wanted) override {
    const auto refuse = [](const std::string& what) {
      return Error{Errc::malformed, 0, "oping: " + what + "; engine = \"wgvitals\" can"};
    };
    if (const auto why = why_not(wanted)) return refuse("cannot do " + *why);
    if (shared_ && !same_options(shared_->like, wanted))
      return refuse("has one set of options for all targets: this one's differ");
    if (auto begun = begin(wanted); !begun) return begun.error();
    const std::lock_guard lock(shared_->mutex);
    if (shared_->free.empty()) {
      if (shared_->targets.size() == most_oping_targets)
        return refuse("takes at most 128 targets: beyond, it loses answers");
      shared_->free.push_back(static_cast<PingId>(shared_->targets.size()));
      shared_->targets.emplace_back();
    }
    const auto id = shared_->free.back();
    shared_->free.pop_back();
    shared_->targets[id] = {to_host(wanted.address), owner, 0, ++shared_->serials};
    return id;
  }

  void remove(PingId id) override {
    const std::lock_guard lock(shared_->mutex);
    auto& target = shared_->targets[id];
    shared_->outbox.leave(target.owner, id);
    target.serial = 0;
  }

  void move(PingId id, const Endpoint& address) override {
    const std::lock_guard lock(shared_->mutex);
    auto& target = shared_->targets[id];
    target.host = to_host(address);
    target.serial = ++shared_->serials;  // what is asked now says nothing of it
  }

  bool take(PingOwner owner, std::vector<PingOutcome>& into) override {
    into.clear();
    if (!shared_) return true;
    const std::lock_guard lock(shared_->mutex);
    return shared_->outbox.take(owner, into, shared_->free);
  }

  void gathered() override {
    if (!shared_) return;
    const std::lock_guard lock(shared_->mutex);
    if (shared_->left == 0) shared_->left = shared_->like.count;
    shared_->wanted.notify_all();
  }

  std::vector<Error> failures(PingOwner /*owner*/) override {  // there is but one
    if (!shared_) return {};
    const std::lock_guard lock(shared_->mutex);
    return shared_->failures;
  }

  // A round under way goes on to its timeout.
  void stop() override {
    if (!shared_) return;
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->stopping = true;
      shared_->wanted.notify_all();
    }
    (void)thread_.join(std::chrono::milliseconds(200));  // it holds nothing but what it shares
  }

 private:
  Result<Done> begin(const PingTarget& like) {
    if (thread_.running()) return Done{};
    if (shared_) return Error{Errc::io, 0, "oping: stopped"};
    auto functions = load();
    if (!functions) return functions.error();
    auto shared = std::make_shared<Shared>(std::move(*functions), like);
    try {
      thread_.start(start_thread_, "wgv-oping", [shared] { run(*shared); });
    } catch (const std::system_error& error) {
      return Error{Errc::io, error.code().value(), "oping: its thread"};
    }
    shared_ = std::move(shared);
    return Done{};
  }

  std::shared_ptr<Shared> shared_;  // the thread's too, which may be left behind
  StartThread start_thread_;
  Thread thread_;
};

}  // namespace

std::unique_ptr<Pinger> make_oping(StartThread start_thread) {
  return std::make_unique<OpingPinger>(start_thread);
}

}  // namespace wgvitals::probe
