// Handshakes with many servers by our engine (common/probe/handshake.h), and what their X25519 and
// ciphers alone cost, as sparsely and in a loop:
//
//   bench_handshake ROUNDS < SERVERS
//
// reads "PORT PUBLIC_KEY" of each server on 127.0.0.1, has ROUNDS handshakes with each, spread
// over 4 s, and says in JSON what they cost and came to.

#include <sodium.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "common/probe/handshake.h"
#include "tests/bench/handshake_keys.h"
#include "tests/support/kept_log.h"
// Last.
#include <fmt/format.h>

namespace wgvitals::bench {
namespace {

using namespace std::chrono_literals;
using Bytes = std::array<std::uint8_t, 64>;

double cpu_us(clockid_t clock) {
  timespec time{};
  (void)::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

long resident_bytes() {
  std::ifstream file("/proc/self/statm");
  long all = 0, resident = 0;
  file >> all >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

// A handshake's ephemeral key and its es, ee and se (ss is the same each time); the static key,
// the timestamp, the empty response and the keepalive. How many calls failed.
int run_ciphers() {
  Bytes one{}, other{}, key{}, nonce{}, sealed{};
  unsigned long long size = 0;
  ::randombytes_buf(one.data(), 32);
  int failures = ::crypto_scalarmult_base(other.data(), one.data());
  for (int k = 0; k < 3; ++k) {
    failures += ::crypto_scalarmult(key.data(), one.data(), other.data());
  }
  for (const unsigned plain : {32u, 12u, 0u}) {
    failures += ::crypto_aead_chacha20poly1305_ietf_encrypt(
        sealed.data(), &size, one.data(), plain, key.data(), 32, nullptr, nonce.data(), key.data());
  }
  return failures + ::crypto_aead_chacha20poly1305_ietf_decrypt(other.data(), nullptr, nullptr,
                                                                sealed.data(), 16, key.data(), 32,
                                                                nonce.data(), key.data());
}

// Of one handshake, of many with a pause before each: behind one, caches and the processor's clock
// are what they are for a probe; without, what they are for a loop of ciphers.
double floor_us(std::size_t count, std::chrono::microseconds pause) {
  double spent = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
    const double before = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    if (run_ciphers() != 0) throw std::runtime_error("libsodium does not do what it should");
    spent += cpu_us(CLOCK_THREAD_CPUTIME_ID) - before;
  }
  return spent / static_cast<double>(count);
}

std::vector<probe::HandshakeTarget> read_targets() {
  std::vector<probe::HandshakeTarget> targets;
  unsigned port = 0;
  for (std::string key; std::cin >> port >> key;) {
    auto& target = targets.emplace_back();
    target.name = std::to_string(port);
    target.host = "127.0.0.1";
    target.port = static_cast<std::uint16_t>(port);
    target.server = key_from_base64(key).value();
    target.read_key = [](std::span<std::uint8_t, 32> into) -> Result<Done> {
      const auto own = client_key();
      std::copy(own.begin(), own.end(), into.begin());
      return Done{};
    };
    target.pace.interval = std::chrono::seconds(4);
    target.timeout = std::chrono::milliseconds(1900);
    target.retries = 0;
  }
  return targets;
}

void run(unsigned rounds) {
  if (::sodium_init() < 0) throw std::runtime_error("libsodium does not start");
  auto targets = read_targets();
  const auto count = targets.size();
  std::vector<std::string> ports;
  ports.reserve(count);
  for (const auto& target : targets) ports.push_back(target.name);

  double hot = floor_us(count, 0us), paced = floor_us(count, 4000us);
  probe::Loop loop(start_plain_thread, std::make_shared<test::KeptLog>());
  probe::Resolver resolver(start_plain_thread);
  const auto resident = resident_bytes();
  probe::HandshakeProbes probes(loop, resolver, std::move(targets), 0.5);
  if (const auto loaded = probes.load(); !loaded) throw std::runtime_error(to_text(loaded.error()));
  const double before = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
  probes.begin();
  probe::HandshakeProbes::Outcomes outcomes(count), kept(count);
  std::size_t done = 0, ok = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(4 * rounds + 10);
  while (done < count * rounds && std::chrono::steady_clock::now() < end) {
    // Seldom, as hosts do: what it costs to take outcomes is none of a handshake's.
    std::this_thread::sleep_for(std::chrono::seconds(1));
    probes.take(outcomes);
    for (std::size_t i = 0; i < count; ++i) {
      if (!outcomes[i]) continue;
      ++done;
      ok += outcomes[i]->kind == probe::HandshakeOutcome::Kind::ok;
      kept[i] = std::exchange(outcomes[i], std::nullopt);
    }
  }
  const double spent = cpu_us(CLOCK_PROCESS_CPUTIME_ID) - before;
  const auto memory = resident_bytes() - resident;
  loop.stop();
  hot = std::min(hot, floor_us(count, 0us));
  paced = std::min(paced, floor_us(count, 4000us));
  fmt::print(
      "{{\"done\":{},\"ok\":{},\"cpu_us\":{},\"hot_floor_us\":{},\"floor_us\":{},\"bytes_a_probe\":"
      "{},\"rtt_ns\":{{",
      done, ok, spent / static_cast<double>(done), hot, paced, memory / static_cast<long>(count));
  for (std::size_t i = 0; i < count; ++i) {
    const auto rtt = kept[i] && kept[i]->rtt ? kept[i]->rtt->count() : -1;
    fmt::print("{}\"{}\":{}", i == 0 ? "" : ",", ports[i], rtt);
  }
  fmt::print("}}}}\n");
}

}  // namespace
}  // namespace wgvitals::bench

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("bench_handshake ROUNDS < SERVERS");
    wgvitals::bench::run(static_cast<unsigned>(std::atoi(argv[1])));
    return 0;
  } catch (const std::exception& error) {
    (void)std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
