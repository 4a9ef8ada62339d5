// What a gather costs in this process: the kernel's answer for N peers, made by
// tests/support/netlink_messages.h in the kernel's order and sizes, is read, paired and written in
// every format. Nothing but memory is touched, so the floor is a bare copy of the same datagrams.
//
//   bench_replay [PEERS...]            a table for each size; by default 1, 100, 10000
//   bench_replay --gathers G PEERS     only that many gathers into line protocol, to be counted by
//   a
//                                      profiler: the difference of two runs is the cost of the rest

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "common/base/text.h"
#include "common/kernel/wireguard_netlink.h"
#include "common/output/graphite.h"
#include "common/output/json.h"
#include "common/output/line_protocol.h"
#include "common/output/prometheus.h"
#include "tests/support/allocations.h"
#include "tests/support/gathering.h"
#include "tests/support/keys.h"
#include "tests/support/netlink_messages.h"

namespace wgvitals {
namespace {

constexpr std::uint16_t family = 31;
constexpr std::uint32_t peers_a_message = 120;  // about the kernel's 32 KiB

// No two peers alike, and numbers as long as those of a tunnel in use.
test::KernelPeer make_peer(std::uint32_t number) {
  const auto byte = [&](unsigned shift) { return std::to_string(number >> shift & 0xff); };
  return {.key = test::key(number),
          .endpoint = "203." + byte(16) + "." + byte(8) + "." + byte(0),
          .port = static_cast<std::uint16_t>(1024 + number % 60'000),
          .keepalive = 25,
          .handshake_s = 1'795'210'000 + number % 300,
          .handshake_ns = 123'456'789,
          .rx_bytes = 5'000'000'000 + 7ull * number,
          .tx_bytes = 9'000'000'000 + 11ull * number,
          .allowed_ips = {{"10." + byte(16) + "." + byte(8) + "." + byte(0), 32}}};
}

std::vector<test::Message> record(std::uint32_t peers) {
  std::vector<test::Message> datagrams;
  for (std::uint32_t first = 0; first < peers; first += peers_a_message) {
    std::vector<test::KernelPeer> part;
    const auto end = std::min(first + peers_a_message, peers);
    for (auto number = first; number < end; ++number) part.push_back(make_peer(number));
    datagrams.push_back(first == 0 ? test::device_message(family, {7, "wg0", 51820}, part)
                                   : test::more_peers(family, part));
  }
  return datagrams;
}

test::Message done() {
  test::MessageBuilder builder(NLMSG_DONE);
  builder.fixed(0);
  return builder.message();
}

// Answers like the kernel, from memory.
class Replay final : public Datagram {
 public:
  explicit Replay(const std::vector<test::Message>& device) : device_(device) {}

  Result<Done> send(std::span<const std::byte> message) override {
    const auto& request = *reinterpret_cast<const nlmsghdr*>(message.data());
    sequence_ = request.nlmsg_seq;
    next_ = 0;
    answer_ = request.nlmsg_type == RTM_GETLINK    ? &links_
              : request.nlmsg_type == GENL_ID_CTRL ? &family_
                                                   : &device_;
    return Done{};
  }

  Result<std::size_t> receive(std::span<std::byte> buffer, std::chrono::milliseconds) override {
    const auto& datagram = next_ < answer_->size() ? (*answer_)[next_++] : done_;
    std::memcpy(buffer.data(), datagram.data(), datagram.size());
    reinterpret_cast<nlmsghdr*>(buffer.data())->nlmsg_seq = sequence_;
    return datagram.size();
  }

 private:
  const std::vector<test::Message>& device_;
  std::vector<test::Message> links_{test::link_message(test::named_link("wg0"))};
  std::vector<test::Message> family_{test::family_message(family)};
  test::Message done_ = done();
  const std::vector<test::Message>* answer_ = nullptr;
  std::uint32_t sequence_ = 0;
  std::size_t next_ = 0;
};

class Reader {
 public:
  explicit Reader(const std::vector<test::Message>& datagrams)
      : kernel_(
            [&datagrams](int) -> Result<std::unique_ptr<Datagram>> {
              return std::unique_ptr<Datagram>(std::make_unique<Replay>(datagrams));
            },
            "", 4026) {}

  void read(Devices& devices) {
    devices.clear();
    kernel_.read({}, devices, report_);
  }

 private:
  class NoReport final : public Report {
    void failed(const Error& error) override {
      (void)std::fprintf(stderr, "%s\n", to_text(error).c_str());
      std::exit(1);
    }
    void retried() override {}
  };

  kernel::KernelWireGuard kernel_;
  NoReport report_;
};

class Nowhere final : public Sink {
 public:
  void begin(const Now&) override {}
  void take(const Record& record) override { readings += record.readings.size(); }
  void take(const Event&) override {}

  std::size_t readings = 0;
};

struct Cost {
  double first = 0, best = 0, hundredth = 0;  // nanoseconds
  std::size_t allocations = 0;                // of the last
};

// Runs it often enough to meet a quiet moment.
Cost measure(int times, const std::function<void()>& work) {
  Cost cost;
  for (int i = 0; i < times; ++i) {
    const auto allocations = test::allocations();
    const auto begun = std::chrono::steady_clock::now();
    work();
    const double spent =
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begun).count();
    cost.allocations = test::allocations() - allocations;
    if (i == 0) cost.first = cost.best = spent;
    cost.best = std::min(cost.best, spent);
    cost.hundredth = spent;
  }
  return cost;
}

std::size_t heap() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

void print(const char* what, const Cost& cost, std::uint32_t peers, double floor) {
  std::printf("| %-28s | %9.1f | %9.1f | %9.1f | %7.2f | %11zu |\n", what, cost.first / peers,
              cost.hundredth / peers, cost.best / peers, cost.best / floor, cost.allocations);
  (void)std::fflush(stdout);
}

void show(std::uint32_t peers) {
  const auto datagrams = record(peers);
  const int times = peers > 100'000 ? 20 : 100;
  std::vector<std::byte> buffer(64 * 1024);
  const auto floor = measure(times, [&] {
    for (const auto& datagram : datagrams) {
      std::memcpy(buffer.data(), datagram.data(), datagram.size());
      asm volatile("" : : "r"(buffer.data()) : "memory");
    }
  });

  const auto before = heap();
  Reader reader(datagrams);
  test::Gathering gathering;
  Nowhere nowhere;
  const auto parse = measure(times, [&] { reader.read(gathering.devices); });
  const auto pair = measure(times, [&] { gathering.gather(nowhere); });
  const auto memory = heap() - before;

  std::string text;
  output::LineProtocol lines(text, output::Unsigned::kept);
  const auto whole = measure(times, [&] {
    text.clear();
    reader.read(gathering.devices);
    gathering.gather(lines);
  });
  const auto line_bytes = text.size();
  output::Graphite graphite(text, "wireguard", "gate");
  const auto to_graphite = measure(times / 10, [&] {
    text.clear();
    gathering.gather(graphite);
  });
  const auto to_prometheus = measure(times / 10, [&] {
    output::Prometheus page;
    gathering.gather(page);
    (void)page.text();
  });
  const auto to_json = measure(times / 10, [&] {
    output::Json document;
    gathering.gather(document);
    (void)document.finish();
  });

  std::printf("\n%u peers, %d gathers; %zu bytes of memory and %zu of line protocol a peer\n\n",
              peers, times, memory / peers, line_bytes / peers);
  std::puts(
      "| ns a peer                    |     first |      last |      best | x floor | allocations "
      "|");
  std::puts(
      "| ---                          |       --: |       --: |       --: |     --: |         --: "
      "|");
  print("floor: copy of the datagrams", floor, peers, floor.best);
  print("read and parse", parse, peers, floor.best);
  print("pair, records to nowhere", pair, peers, floor.best);
  print("read, pair, line protocol", whole, peers, floor.best);
  print("pair, Graphite", to_graphite, peers, floor.best);
  print("pair, Prometheus", to_prometheus, peers, floor.best);
  print("pair, JSON", to_json, peers, floor.best);
}

void run(int gathers, std::uint32_t peers) {
  const auto datagrams = record(peers);
  Reader reader(datagrams);
  test::Gathering gathering;
  std::string text;
  output::LineProtocol lines(text, output::Unsigned::kept);
  for (int i = 0; i < gathers; ++i) {
    text.clear();
    reader.read(gathering.devices);
    gathering.gather(lines);
  }
  std::printf("%zu bytes\n", text.size());
}

int measure_all(const std::vector<std::string>& arguments) {
  std::vector<std::uint32_t> sizes;
  int gathers = 0;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--gathers" && i + 1 < arguments.size()) {
      gathers = text::to_number<int>(arguments[++i]).value_or(0);
    } else if (const auto size = text::to_number<std::uint32_t>(arguments[i]); size && *size > 0) {
      sizes.push_back(*size);
    } else {
      (void)std::fprintf(stderr, "usage: bench_replay [--gathers G] [PEERS...]\n");
      return 2;
    }
  }
  if (sizes.empty()) sizes = {1, 100, 10'000};
  for (const auto size : sizes) {
    if (gathers > 0) {
      run(gathers, size);
    } else {
      show(size);
    }
  }
  return 0;
}

}  // namespace
}  // namespace wgvitals

int main(int count, char** words) {
  try {
    return wgvitals::measure_all({words + 1, words + count});
  } catch (const std::exception& error) {
    (void)std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
