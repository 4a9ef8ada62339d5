// What an echo responder remembers of the requests, and tells in JSON.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/echo_targets.h"
// Last.
#include <fmt/format.h>

namespace wgvitals::test {

constexpr std::uint32_t ipv6_mark = 1u << 31u;

struct Probe {
  std::uint32_t address;  // its offset; with ipv6_mark
  Fate fate;
  std::int64_t read;     // CLOCK_MONOTONIC, ns
  std::int64_t written;  // 0: not
};

struct EchoLog {
  std::vector<Probe> probes;  // in the order in which they came
  std::uint64_t duplicates = 0;
  std::uint64_t held = 0;
  std::uint64_t late = 0;
  std::uint64_t other = 0;   // packets that ask for no echo of ours
  std::uint64_t failed = 0;  // writes

  std::string json() const {
    std::uint64_t totals[fate_count] = {};
    std::vector<std::int64_t> delays{0};
    for (const auto& probe : probes) {
      ++totals[static_cast<std::size_t>(probe.fate)];
      if (probe.fate == Fate::answered) delays.push_back(probe.written - probe.read);
    }
    std::string text = fmt::format("{{\"got\":{}", probes.size());
    const auto add = [&](const char* name, auto value) {
      text += fmt::format(",\"{}\":{}", name, value);
    };
    for (std::size_t i = 0; i < fate_count; ++i) add(fates[i], totals[i]);
    add("duplicates", duplicates);
    add("held", held);
    add("late", late);
    add("other", other);
    add("failed", failed);

    if (delays.size() > 1) delays.erase(delays.begin());
    std::sort(delays.begin(), delays.end());
    const auto last = static_cast<double>(delays.size() - 1);
    const double sum = std::accumulate(delays.begin(), delays.end(), 0.0);
    add("delay_ms_mean", sum / (last + 1) / 1e6);
    for (const int percent : {0, 50, 99, 100}) {
      const auto delay = delays[static_cast<std::size_t>(last * percent / 100)];
      add(fmt::format("delay_ms_p{}", percent).c_str(), static_cast<double>(delay) / 1e6);
    }
    return text + "}";
  }

  void save(const std::string& path) const {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(probes.data()),
               static_cast<std::streamsize>(probes.size() * sizeof(Probe)));
    if (!file.flush()) throw std::runtime_error(path + " cannot be written");
  }
};

}  // namespace wgvitals::test
