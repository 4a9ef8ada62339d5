// Our engine (common/probe/pinger.h) as a program of ping_driver.h.

#include <pthread.h>
#include <time.h>

#include <thread>

#include "common/probe/pinger.h"
#include "tests/bench/ping_driver.h"

namespace wgvitals::bench {
namespace {

using Kind = probe::PingOutcome::Kind;

pthread_t& engine_thread() {
  static pthread_t thread{};
  return thread;
}

int start_thread(pthread_t* thread, void* (*body)(void*), void* argument, const char* name) {
  const int error = start_plain_thread(thread, body, argument, name);
  engine_thread() = *thread;
  return error;
}

double cpu_seconds_of(pthread_t thread) {
  clockid_t clock{};
  timespec time{};
  (void)::pthread_getcpuclockid(thread, &clock);
  (void)::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::int64_t to_rtt(const probe::PingOutcome& outcome) {
  switch (outcome.kind) {
    case Kind::answered:
      return outcome.rtt_ns;
    case Kind::lost:
      return PingResult::lost;
    case Kind::unsent:
      return PingResult::unsent;
    case Kind::late:
      return PingResult::late;
    case Kind::duplicate:
      return PingResult::duplicate;
    case Kind::reordered:
      break;
  }
  return PingResult::reordered;
}

// The targets' places, by their identifiers.
std::vector<std::uint32_t> add(probe::Pinger& pinger, const Task& task) {
  std::vector<std::uint32_t> places;
  for (std::uint32_t place = 0; place < task.targets.size(); ++place) {
    probe::PingTarget target;
    target.address = task.targets[place];
    target.path.family = target.address.family;
    target.interval = interval;
    target.timeout = timeout;
    target.size = payload;
    target.count = static_cast<std::uint16_t>(task.rounds);
    target.slowest = 1;
    const auto id = pinger.add(probe::PingOwner::ping, target);
    if (!id) throw std::runtime_error(to_text(id.error()));
    places.resize(std::max<std::size_t>(places.size(), id.value() + 1));
    places[id.value()] = place;
  }
  return places;
}

void ping(const Task& task) {
  const auto pinger = probe::make_pinger(
      start_thread,
      [](const std::string&, const std::function<Result<Fd>()>& open) { return open(); });
  const double before = cpu_seconds_of(::pthread_self());
  Cost cost;
  const auto places = add(*pinger, task);
  const double adding = cpu_seconds_of(::pthread_self()) - before;
  cost.leave_out(adding);  // the engine's thread runs already

  std::vector<PingResult> results;
  std::vector<probe::PingOutcome> outcomes;
  std::string failures;
  std::size_t settled = 0;
  const auto all = task.targets.size() * task.rounds;
  const auto end = Clock::now() + interval * (task.rounds + 1) + timeout + std::chrono::seconds(5);
  results.reserve(all);
  while (settled < all && Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (!pinger->take(probe::PingOwner::ping, outcomes)) failures += "outcomes were dropped; ";
    for (const auto& outcome : outcomes) {
      results.push_back({places[outcome.id], outcome.number, to_rtt(outcome), outcome.sent_ns});
      if (outcome.kind <= Kind::unsent) ++settled;
    }
    for (const auto& error : pinger->failures(probe::PingOwner::ping))
      failures += to_text(error) + "; ";
  }
  fmt::print("{{{},\"adding_cpu_s\":{},\"engine_cpu_s\":{},\"settled\":{},\"failures\":\"{}\"}}\n",
             cost.json(), adding, cpu_seconds_of(engine_thread()), settled, failures);
  pinger->stop();
  write_results(task, results);
}

}  // namespace
}  // namespace wgvitals::bench

int main(int argc, char** argv) { return wgvitals::bench::run(argc, argv, wgvitals::bench::ping); }
