#include "common/probe/echoes.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

namespace wgvitals::probe {
namespace {

using std::chrono::nanoseconds;

// Steps of the wall clock are larger; reading both clocks apart seldom takes so long.
constexpr std::int64_t clock_step_ns = 250'000;

std::int64_t to_ns(Clock::time_point time) { return time.time_since_epoch().count(); }

// By the kernel's stamp of receipt, unless the wall clock was set in between.
nanoseconds to_rtt(const Instant& sent, std::int64_t stamp_ns, const Instant& now) {
  const auto passed = now.mono - sent.mono;
  const auto moved = now.wall_ns - sent.wall_ns - passed.count();
  if (stamp_ns == 0 || std::abs(moved) > clock_step_ns) return passed;
  return std::clamp(nanoseconds(stamp_ns - sent.wall_ns), nanoseconds(0), passed);
}

// A scope that only one of them names does not part them.
bool same_host(const Endpoint& left, const Endpoint& right) {
  return left.family == right.family && left.address == right.address &&
         (left.scope == 0 || right.scope == 0 || left.scope == right.scope);
}

Endpoint without_scope(Endpoint address) {
  address.scope = 0;
  return address;
}

bool later(std::uint32_t left, std::uint32_t right) {
  return static_cast<std::int32_t>(left - right) > 0;
}

Result<Done> check(const PingTarget& target) {
  const auto malformed = [](const char* why) { return Error{Errc::malformed, 0, why}; };
  if (target.address.family == AddressFamily::none || target.address.family != target.path.family)
    return malformed("the target's address is not of its path's family");
  if (target.interval.count() <= 0 || target.timeout.count() <= 0)
    return malformed("interval and timeout must be longer than 0");
  if (target.timeout > target.interval * most_outstanding)
    return Error{Errc::malformed, 0,
                 "timeout " + std::to_string(target.timeout.count()) +
                     " ms is longer than 64 intervals of " +
                     std::to_string(target.interval.count()) + " ms: make it shorter"};
  if (target.size < least_ping_size || target.size > 65'000)
    return malformed("the size must be from 16 to 65000 bytes");
  return Done{};
}

}  // namespace

std::size_t Echoes::AddressHash::operator()(const Endpoint& endpoint) const {
  return std::hash<std::string_view>()(
      {reinterpret_cast<const char*>(endpoint.address.data()), endpoint.address.size()});
}

Result<PingId> Echoes::add(PingOwner owner, const PingTarget& wanted, std::uint32_t path,
                           Clock::time_point now) {
  if (auto checked = check(wanted); !checked) return checked.error();
  if (free_.empty()) {
    free_.push_back(static_cast<PingId>(targets_.size()));
    targets_.emplace_back();
  }
  const auto id = free_.back();
  free_.pop_back();
  auto& target = targets_[id];
  const auto first = target.next;
  target = {};
  target.alive = true;
  target.first = target.next = target.newest_answered = first;
  target.owner = owner;
  target.address = wanted.address;
  target.address.port = 0;
  target.path = path;
  target.interval = wanted.interval;
  target.timeout = wanted.timeout;
  target.size = wanted.size;
  target.count = target.left = wanted.count;
  std::vector<std::uint8_t> filler(wanted.size - least_ping_size);
  fill(filler);
  target.filler_sum = to_sum(filler);
  const auto first_within = std::min<nanoseconds>(wanted.interval, std::chrono::seconds(1));
  const double share =
      static_cast<double>(first_within.count()) / static_cast<double>(target.interval.count());
  target.schedule = Schedule(target.interval, wanted.slowest, share * to_phase(seed_, id), now);
  count(target, 1);
  by_address_.emplace(without_scope(target.address), id);
  plan(id, target, target.schedule.due(), now);
  return id;
}

Echoes::Removed Echoes::remove(PingId id) {
  auto& target = targets_[id];
  forget_address(id, target.address);
  while (target.out != none) release(target.out);
  target.alive = false;
  requests_.remove(id);
  ++target.next;  // that of a request under way
  count(target, -1);
  outbox_.leave(target.owner, id);
  return {target.owner, target.path};
}

void Echoes::count(const Target& target, int change) {
  rate_ += change * 1e9 / static_cast<double>(target.interval.count());
  if (target.interval < std::chrono::milliseconds(250)) hasty_ += static_cast<unsigned>(change);
}

void Echoes::move(PingId id, const Endpoint& address) {
  auto& target = targets_[id];
  forget_address(id, target.address);
  target.address = address;
  target.address.port = 0;
  by_address_.emplace(without_scope(target.address), id);
}

void Echoes::forget_address(PingId id, const Endpoint& address) {
  auto [at, end] = by_address_.equal_range(without_scope(address));
  while (at != end && at->second != id) ++at;
  if (at != end) by_address_.erase(at);
}

void Echoes::gathered(Clock::time_point now) {
  // They are uneven where the host has them so (Telegraf's collection_jitter).
  if (last_gather_ != never) {
    gaps_[gap_++ % gaps_.size()] = now - last_gather_;
    const auto known = std::min(gap_, gaps_.size());
    gather_ = *std::min_element(gaps_.begin(), gaps_.begin() + known);
  }
  last_gather_ = now;
  for (PingId id = 0; id < targets_.size(); ++id) {
    auto& target = targets_[id];
    if (!target.alive || target.count == 0 || target.left > 0) continue;
    // A dead one gets fewer, but one at least.
    const auto fewer = target.count / target.schedule.factor();
    target.left = static_cast<std::uint16_t>(std::max(1u, fewer));
    // At the phase that it was given.
    auto due = target.schedule.due();
    if (due < now) due += ((now - due) / target.interval + 1) * target.interval;
    plan(id, target, due, now);
  }
}

void Echoes::take_due(Clock::time_point until, std::size_t most, std::vector<Request>& into) {
  requests_.take_due(until, [&](PingId id, std::uint32_t next) {
    if (into.size() >= most) return false;
    if (next < targets_.size()) __builtin_prefetch(&targets_[next]);
    auto& target = targets_[id];
    const Echo echo{cookie_, id, target.next, 0, static_cast<std::uint16_t>(target.next)};
    into.push_back(
        {id, target.path, target.address, echo, target.size, target.filler_sum, target.planned});
    target.planned = never;
    return true;
  });
}

// None where the target was removed while its request was under way.
Echoes::Target* Echoes::awaited(const Request& request) {
  auto& target = targets_[request.id];
  return target.alive && target.next == request.echo.number ? &target : nullptr;
}

void Echoes::plan(PingId id, Target& target, Clock::time_point when, Clock::time_point now) {
  target.planned = when;
  requests_.put(id, when, now);
}

void Echoes::advance(PingId id, Target& target, Clock::time_point due, Clock::time_point now) {
  ++target.next;
  target.answered <<= 1;
  target.stuck = never;
  if (target.count == 0) {
    target.schedule.sent(std::max(due, now), gather_);
  } else {
    target.schedule.sent_of_burst(std::max(due, now));
    if (--target.left == 0) return;
  }
  plan(id, target, target.schedule.due(), now);
}

void Echoes::sent(const Request& request, const Instant& when) {
  auto* target = awaited(request);
  if (target == nullptr) return;
  if (free_probe_ == none) {
    free_probe_ = static_cast<std::uint32_t>(probes_.size());
    probes_.emplace_back();
  }
  const auto at = free_probe_;
  free_probe_ = probes_[at].next;
  probes_[at] = {request.address, when, request.id, request.echo.number, target->out, 0};
  target->out = at;
  expiries_.put(at, when.mono + target->timeout, when.mono);
  advance(request.id, *target, request.due, when.mono);
}

void Echoes::unsent(const Request& request, Clock::time_point when, int error) {
  auto* target = awaited(request);
  if (target == nullptr) return;
  PingOutcome outcome;
  outcome.number = request.echo.number;
  outcome.kind = PingOutcome::Kind::unsent;
  outcome.error = static_cast<std::uint16_t>(error);
  outcome.sent_ns = to_ns(when);
  settle(request.id, *target, outcome);
  advance(request.id, *target, request.due, when);
}

void Echoes::postponed(const Request& request, Clock::time_point when, Clock::time_point again,
                       int error) {
  auto* target = awaited(request);
  if (target == nullptr) return;
  if (target->stuck == never) target->stuck = when;
  if (when - target->stuck >= target->timeout) return unsent(request, when, error);
  plan(request.id, *target, again, when);
}

Echoes::Target* Echoes::find(PingId id) {
  return id < targets_.size() && targets_[id].alive ? &targets_[id] : nullptr;
}

// The link to it, or nullptr.
std::uint32_t* Echoes::find_out(Target& target, std::uint32_t number) {
  for (auto* link = &target.out; *link != none; link = &probes_[*link].next) {
    if (probes_[*link].number == number) return link;
  }
  return nullptr;
}

void Echoes::release(std::uint32_t& link) {
  const auto at = link;
  expiries_.remove(at);
  link = probes_[at].next;
  probes_[at].next = free_probe_;
  free_probe_ = at;
}

void Echoes::settle(PingId id, const Target& target, PingOutcome outcome) {
  outcome.id = id;
  outcome.number -= target.first;
  outbox_.put(target.owner, outcome);
}

void Echoes::answered(const IcmpMessage& message, const Endpoint& from, std::uint8_t ttl,
                      std::int64_t stamp_ns, const Instant& now) {
  const auto& echo = message.echo;
  auto* target = message.marked && echo.cookie == cookie_ ? find(echo.target) : nullptr;
  if (target == nullptr || echo.sequence != static_cast<std::uint16_t>(echo.number)) return;
  auto* link = find_out(*target, echo.number);
  if (link == nullptr) return answer_to_settled(echo.target, *target, message, from, ttl);
  const auto& probe = probes_[*link];
  if (!same_host(probe.address, from)) return;

  const auto rtt = to_rtt(probe.sent, stamp_ns, now);
  PingOutcome outcome;
  outcome.number = echo.number;
  outcome.ttl = ttl;
  outcome.sent_ns = to_ns(probe.sent.mono);
  if (rtt > target->timeout) {  // before its expiry was looked at
    outcome.error = probe.error;
    release(*link);
    target->schedule.lost();
    settle(echo.target, *target, outcome);
    return answer_to_settled(echo.target, *target, message, from, ttl);
  }
  outcome.kind = PingOutcome::Kind::answered;
  outcome.rtt_ns = rtt.count();
  release(*link);
  settle(echo.target, *target, outcome);
  if (target->ever_answered && later(target->newest_answered, echo.number)) {
    outcome.kind = PingOutcome::Kind::reordered;
    settle(echo.target, *target, outcome);
  } else {
    target->newest_answered = echo.number;
    target->ever_answered = true;
  }
  if (const auto age = target->next - 1 - echo.number; age < 64)
    target->answered |= std::uint64_t{1} << age;
  target->schedule.answered();
  if (target->planned != never && target->stuck == never &&
      target->schedule.due() < target->planned)
    plan(echo.target, *target, target->schedule.due(), now.mono);
}

// Late, or once more.
void Echoes::answer_to_settled(PingId id, Target& target, const IcmpMessage& message,
                               const Endpoint& from, std::uint8_t ttl) {
  const auto age = target.next - 1 - message.echo.number;
  if (age >= std::min<std::uint32_t>(64, target.next - target.first)) return;
  if (!same_host(target.address, from)) return;
  const auto bit = std::uint64_t{1} << age;
  PingOutcome outcome;
  outcome.number = message.echo.number;
  outcome.ttl = ttl;
  outcome.kind =
      (target.answered & bit) != 0 ? PingOutcome::Kind::duplicate : PingOutcome::Kind::late;
  target.answered |= bit;
  settle(id, target, outcome);
}

void Echoes::refused(AddressFamily family, const IcmpMessage& message) {
  const int error = to_errno(family, message.type, message.code);
  if (message.marked) {
    auto* target = message.echo.cookie == cookie_ ? find(message.echo.target) : nullptr;
    if (target != nullptr) note_error(*target, message, error);
    return;
  }
  // Of each target there, at most the one probe with this sequence number.
  const auto [begin, end] = by_address_.equal_range(message.destination);
  for (auto at = begin; at != end; ++at) note_error(targets_[at->second], message, error);
}

// The answer may still come: an error alone settles nothing.
void Echoes::note_error(Target& target, const IcmpMessage& message, int error) {
  for (auto at = target.out; at != none; at = probes_[at].next) {
    auto& probe = probes_[at];
    if (static_cast<std::uint16_t>(probe.number) != message.echo.sequence) continue;
    if (message.marked && probe.number != message.echo.number) continue;
    if (same_host(probe.address, message.destination))
      probe.error = static_cast<std::uint16_t>(error);
  }
}

void Echoes::expire(Clock::time_point now) {
  expiries_.take_due(now, [&](std::uint32_t at, std::uint32_t) {
    const auto& probe = probes_[at];
    auto& target = targets_[probe.target];
    PingOutcome outcome;
    outcome.number = probe.number;
    outcome.error = probe.error;
    outcome.sent_ns = to_ns(probe.sent.mono);
    target.schedule.lost();
    settle(probe.target, target, outcome);
    release(*find_out(target, probe.number));
    return true;
  });
}

}  // namespace wgvitals::probe
