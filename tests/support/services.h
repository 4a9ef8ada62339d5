// What collectors stand on, for tests: real services whose threads are never begun unless a test
// uses them, and an engine of pings that does what it is told.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/collect/collector.h"
#include "tests/support/kept_log.h"

namespace wgvitals::test {

class FakePinger final : public probe::Pinger {
 public:
  Result<probe::PingId> add(probe::PingOwner, const probe::PingTarget& target) override {
    if (!refusal.empty()) return Error{refused_as, 0, refusal};
    targets[next] = target;
    return next++;
  }
  void remove(probe::PingId id) override { targets.erase(id); }
  void move(probe::PingId id, const Endpoint& address) override {
    targets.at(id).address = address;
  }
  bool take(probe::PingOwner, std::vector<probe::PingOutcome>& into) override {
    into = std::exchange(outcomes, {});
    return true;
  }
  void gathered() override { ++gathers; }
  std::vector<Error> failures(probe::PingOwner owner) override {
    return owner == probe::PingOwner::ping ? std::exchange(failed, {}) : std::vector<Error>();
  }
  void stop() override {}

  // The n-th target's probes, a second apart.
  void answer(probe::PingId id, double rtt_ms) { settle(id, rtt_ms, 0); }
  void lose(probe::PingId id) { settle(id, -1, 0); }
  void settle(probe::PingId id, double rtt_ms, std::uint16_t error,
              probe::PingOutcome::Kind kind = probe::PingOutcome::Kind::lost) {
    auto& outcome = outcomes.emplace_back();
    outcome.id = id;
    outcome.number = numbers[id]++;
    outcome.kind = rtt_ms >= 0 ? probe::PingOutcome::Kind::answered : kind;
    outcome.ttl = 64;
    outcome.error = error;
    outcome.sent_ns = std::int64_t{1'000'000'000} * outcome.number;
    outcome.rtt_ns = static_cast<std::int64_t>(rtt_ms * 1e6);
  }

  std::map<probe::PingId, probe::PingTarget> targets;
  std::vector<probe::PingOutcome> outcomes;
  std::vector<Error> failed;
  std::string refusal;
  Errc refused_as = Errc::malformed;
  int gathers = 0;
  probe::PingId next = 0;

 private:
  std::map<probe::PingId, std::uint32_t> numbers;
};

struct TestServices {
  explicit TestServices(bool resident = true, Root top = Root())
      : root(std::move(top)),
        services{root, resident, std::chrono::seconds(1), start_plain_thread, resolver,
                 loop, pinger} {}

  Root root;
  std::shared_ptr<KeptLog> log = std::make_shared<KeptLog>();
  probe::Resolver resolver{start_plain_thread};
  probe::Loop loop{start_plain_thread, log};
  FakePinger pinger;
  collect::Services services;
};

}  // namespace wgvitals::test
