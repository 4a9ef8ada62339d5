// What the programs that ping for a bench have in common:
//
//   PROGRAM ROUNDS RESULTS < ADDRESSES
//
// pings each address ROUNDS times, a second apart, waits 900 ms for each answer, writes a struct
// PingResult for each into the file RESULTS, and says in JSON what it took.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "common/model/address.h"
// Last.
#include <fmt/format.h>

namespace wgvitals::bench {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds interval{1000};
constexpr std::chrono::milliseconds timeout{900};
constexpr std::uint16_t payload = 56;

struct PingResult {
  enum Missing : std::int64_t { lost = -1, unsent = -2, late = -3, duplicate = -4, reordered = -5 };
  std::uint32_t target;  // its place among the addresses
  std::uint32_t number;  // of the probe to it, from 0
  std::int64_t rtt;      // ns, or one of Missing
  std::int64_t sent;     // CLOCK_MONOTONIC, ns; 0: not told
};

inline double cpu_seconds() {
  rusage usage{};
  (void)::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// CPU and wall time since it was made.
class Cost {
 public:
  void leave_out(double cpu) { cpu_ += cpu; }

  std::string json() const {
    const std::chrono::duration<double> wall = Clock::now() - begin_;
    return fmt::format("\"cpu_s\":{},\"wall_s\":{}", cpu_seconds() - cpu_, wall.count());
  }

 private:
  double cpu_ = cpu_seconds();
  Clock::time_point begin_ = Clock::now();
};

struct Task {
  std::uint32_t rounds;
  std::string file;
  std::vector<Endpoint> targets;
};

inline Task read_task(int argc, char** argv) {
  if (argc != 3) throw std::runtime_error("PROGRAM ROUNDS RESULTS < ADDRESSES");
  Task task{static_cast<std::uint32_t>(std::atoi(argv[1])), argv[2], {}};
  for (std::string line; std::getline(std::cin, line);) {
    const auto address = parse_address(line);
    if (!address) throw std::runtime_error("'" + line + "' is no address");
    task.targets.push_back(*address);
  }
  if (task.rounds == 0 || task.targets.empty()) throw std::runtime_error("nothing to ping");
  return task;
}

inline void write_results(const Task& task, const std::vector<PingResult>& results) {
  std::ofstream file(task.file, std::ios::binary);
  file.write(reinterpret_cast<const char*>(results.data()),
             static_cast<std::streamsize>(results.size() * sizeof(PingResult)));
  if (!file.flush()) throw std::runtime_error(task.file + " cannot be written");
}

// main(), around what may throw.
inline int run(int argc, char** argv, void (*ping)(const Task&)) {
  try {
    ping(read_task(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}

}  // namespace wgvitals::bench
