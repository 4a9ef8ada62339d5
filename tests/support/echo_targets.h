// The addresses for which an echo responder answers, and what becomes of each request.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/model/address.h"

namespace wgvitals::test {

enum class Fate : std::uint8_t {
  waiting,   // will be answered
  answered,  // rightly, once or twice
  lost,
  dead,
  refused,
  wrong_source,
  wrong_id,
  wrong_payload,
};
constexpr const char* fates[] = {"waiting", "answered",     "lost",     "dead",
                                 "refused", "wrong_source", "wrong_id", "wrong_payload"};
constexpr std::size_t fate_count = std::size(fates);

// Shares of the requests, from 0 to 1, unless told.
struct Settings {
  double delay = 0;   // ms
  double jitter = 0;  // ms; at most, beside the delay
  double loss = 0;
  double duplicate = 0;
  double held = 0;  // until the next reply to the same address was sent
  double late = 0;
  double late_by = 0;  // ms
  double wrong_source = 0;
  double wrong_id = 0;
  double wrong_payload = 0;
  double seed = 1;
};
struct Setting {
  const char* name;
  double Settings::*value;
};
constexpr Setting settings[] = {
    {"delay", &Settings::delay},       {"jitter", &Settings::jitter},
    {"loss", &Settings::loss},         {"duplicate", &Settings::duplicate},
    {"held", &Settings::held},         {"late", &Settings::late},
    {"late_by", &Settings::late_by},   {"wrong_source", &Settings::wrong_source},
    {"wrong_id", &Settings::wrong_id}, {"wrong_payload", &Settings::wrong_payload},
    {"seed", &Settings::seed},
};

struct Address {
  std::uint32_t counts[fate_count] = {};
  std::uint32_t got = 0;
  bool dead = false;
  bool refused = false;
  int held = -1;  // the reply that waits for the next
};

// The same chances for the same request of an address, in whatever order requests come.
class Chance {
 public:
  Chance(double seed, std::uint32_t offset, std::uint32_t request)
      : state_(static_cast<std::uint64_t>(seed) * 0xd1342543de82ef95u +
               (static_cast<std::uint64_t>(offset) << 32u | request)) {
    (void)draw();
  }

  double draw() {  // from 0 to below 1; splitmix64
    std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30u) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27u) * 0x94d049bb133111ebu;
    return static_cast<double>((mixed ^ mixed >> 31u) >> 11u) * 0x1p-53;
  }
  bool is(double share) { return draw() < share; }

 private:
  std::uint64_t state_;
};

inline double to_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0)) {
    throw std::runtime_error("'" + std::string(text) + "' is no number");
  }
  return value;
}

// A prefix and its addresses, whose offsets count from its first.
class Net {
 public:
  // "10.99.0.0/16", "fd99::/112", or an address alone; at most 2^20 addresses.
  explicit Net(std::string_view text) {
    const auto slash = text.find('/');
    const auto address = parse_address(text.substr(0, slash));
    if (!address) throw std::runtime_error("'" + std::string(text) + "' is no prefix");
    first_ = *address;
    const double length =
        slash == std::string_view::npos ? bits() : to_number(text.substr(slash + 1));
    if (length > bits() || length < bits() - 20) {
      throw std::runtime_error("'" + std::string(text) + "' holds too many addresses, or none");
    }
    size_ = 1u << static_cast<unsigned>(bits() - length);
    if (low(first_) % size_ != 0) {
      throw std::runtime_error("'" + std::string(text) + "' does not begin at its first address");
    }
  }

  bool ipv6() const { return first_.family == AddressFamily::ipv6; }
  const Endpoint& first() const { return first_; }
  std::uint32_t size() const { return size_; }

  std::optional<std::uint32_t> find(const Endpoint& address) const {
    const auto high = first_.address.begin() + end() - 4;
    if (address.family != first_.family ||
        !std::equal(first_.address.begin(), high, address.address.begin())) {
      return std::nullopt;
    }
    const std::uint32_t offset = low(address) - low(first_);
    return offset < size_ ? std::optional(offset) : std::nullopt;
  }

  Endpoint at(std::uint32_t offset) const {
    auto address = first_;  // its low bits are 0
    for (int byte = 1; byte <= 4; ++byte, offset >>= 8u) {
      auto& into = address.address[static_cast<std::size_t>(end() - byte)];
      into = static_cast<std::uint8_t>(into | (offset & 0xffu));
    }
    return address;
  }

 private:
  double bits() const { return ipv6() ? 128 : 32; }
  std::ptrdiff_t end() const { return ipv6() ? 16 : 4; }
  std::uint32_t low(const Endpoint& address) const {
    std::uint32_t value = 0;
    for (auto i = end() - 4; i < end(); ++i) {
      value = value << 8u | address.address[static_cast<std::size_t>(i)];
    }
    return value;
  }

  Endpoint first_;
  std::uint32_t size_ = 0;
};

}  // namespace wgvitals::test
