// liboping, as collectd's ping plugin uses it, as a program of ping_driver.h.

#include <oping.h>

#include <thread>

#include "tests/bench/ping_driver.h"

namespace wgvitals::bench {
namespace {

void check(pingobj_t* object, bool good) {
  if (!good) throw std::runtime_error(::ping_get_error(object));
}

void ping(const Task& task) {
  auto* const object = ::ping_construct();
  double limit = std::chrono::duration<double>(timeout).count();
  check(object, ::ping_setopt(object, PING_OPT_TIMEOUT, &limit) == 0);
  for (const auto& target : task.targets) {
    char text[longest_endpoint + 1] = {};
    to_address_text(target, text);
    check(object, ::ping_host_add(object, text) == 0);
  }
  const double adding = cpu_seconds();

  std::vector<PingResult> results;
  const Cost sending;
  const auto begin = Clock::now();
  for (std::uint32_t round = 0; round < task.rounds; ++round) {
    std::this_thread::sleep_until(begin + interval * round);
    check(object, ::ping_send(object) >= 0);
    std::uint32_t target = 0;
    for (auto* host = ::ping_iterator_get(object); host != nullptr;
         host = ::ping_iterator_next(host), ++target) {
      double latency = -1;
      std::size_t size = sizeof latency;
      (void)::ping_iterator_get_info(host, PING_INFO_LATENCY, &latency, &size);
      const auto rtt = latency < 0 ? PingResult::lost : static_cast<std::int64_t>(latency * 1e6);
      results.push_back({target, round, rtt, 0});
    }
  }
  fmt::print("{{{},\"adding_cpu_s\":{}}}\n", sending.json(), adding);
  ::ping_destroy(object);
  write_results(task, results);
}

}  // namespace
}  // namespace wgvitals::bench

int main(int argc, char** argv) { return wgvitals::bench::run(argc, argv, wgvitals::bench::ping); }
