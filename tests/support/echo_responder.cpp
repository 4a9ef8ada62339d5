// Answers the ICMP echo requests that come out of a TUN device, as slowly and as badly as it is
// told, and keeps the truth about each: what tests of pings compare with.
//
//   echo_responder DEVICE SETTING...
//
// attaches to the device, which was made and addressed before, says "ready", and goes on until its
// input ends. Settings, also as lines of the input, each answered by "ok" or a line of JSON:
//
//   prefix=10.99.0.0/16   whose addresses answer; IPv6 alike. Before what is set of its addresses
//   NAME=NUMBER           one of `settings` in echo_targets.h
//   dead=PREFIX  refused=PREFIX  alive=PREFIX   never answer; "host unreachable" at once, as from
//                         the first address of the prefix; answer again. "odd": every second one
//   counts  addresses     so far: totals and delays; of each address asked, in the order of `fates`
//   log=FILE              each request so far, a struct Probe
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <queue>
#include <system_error>

#include "common/base/fd.h"
#include "tests/support/echo_log.h"
#include "tests/support/echo_packet.h"
#include "tests/support/echo_targets.h"
// Last.
#include <fmt/format.h>

namespace wgvitals::test {
namespace {

struct Reply {
  std::vector<std::uint8_t> packet;
  std::size_t probe = 0;
  Address* address = nullptr;
  bool twice = false;
};

struct Due {
  std::int64_t when;
  int reply;
  bool operator>(const Due& other) const { return when > other.when; }
};

struct Subnet {
  Net net;
  std::vector<Address> addresses;
};

std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

class Responder {
 public:
  explicit Responder(const char* device) : tun_(::open("/dev/net/tun", O_RDWR | O_NONBLOCK)) {
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    std::strncpy(request.ifr_name, device, sizeof request.ifr_name - 1);
    if (!tun_ || ::ioctl(tun_.get(), TUNSETIFF, &request) != 0) {
      throw std::system_error(errno, std::generic_category(), device);
    }
  }

  // Returns what to say.
  std::string set(std::string_view line);

  int fd() const { return tun_.get(); }
  std::int64_t next() const { return due_.empty() ? 0 : due_.top().when; }  // 0: nothing waits
  void read_some();
  void write_due();

 private:
  void mark(std::string_view text, bool Address::*what, bool value);
  std::string addresses() const;

  void take(EchoRequest request, const Endpoint& target, Subnet& subnet, std::uint32_t offset);
  Fate choose(const Address& address, Chance& chance) const;
  int keep(std::size_t probe, Address& address);
  void write(int number);
  void write_packet(std::span<const std::uint8_t> packet);

  Fd tun_;
  std::vector<Subnet> subnets_;
  Settings settings_;
  std::array<std::uint8_t, 65536> buffer_{};
  std::size_t size_ = 0;  // of the packet in it
  EchoLog log_;
  std::vector<Reply> replies_;
  std::vector<int> free_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
};

std::string Responder::set(std::string_view line) {
  const auto equal = std::min(line.find('='), line.size());
  const auto name = line.substr(0, equal);
  const auto value = line.substr(std::min(equal + 1, line.size()));
  if (name == "counts") return log_.json();
  if (name == "addresses") return addresses();
  for (const auto& setting : settings) {
    if (name != setting.name) continue;
    settings_.*setting.value = to_number(value);
    return "ok";
  }
  if (name == "prefix") {
    const Net net(value);
    subnets_.push_back({net, std::vector<Address>(net.size())});
  } else if (name == "dead") {
    mark(value, &Address::dead, true);
  } else if (name == "refused") {
    mark(value, &Address::refused, true);
  } else if (name == "alive") {
    mark(value, &Address::dead, false);
    mark(value, &Address::refused, false);
  } else if (name == "log") {
    log_.save(std::string(value));
  } else {
    throw std::runtime_error(fmt::format("'{}' is no setting", name));
  }
  return "ok";
}

void Responder::mark(std::string_view text, bool Address::*what, bool value) {
  if (text == "odd") {
    for (auto& [net, addresses] : subnets_) {
      for (std::size_t i = 1; i < addresses.size(); i += 2) addresses[i].*what = value;
    }
    return;
  }
  const Net part(text);
  for (auto& [net, addresses] : subnets_) {
    const auto offset = net.find(part.first());
    if (!offset) continue;
    const auto end = std::min<std::size_t>(*offset + part.size(), addresses.size());
    for (std::size_t i = *offset; i < end; ++i) addresses[i].*what = value;
    return;
  }
  throw std::runtime_error(fmt::format("'{}' is in none of the prefixes", text));
}

std::string Responder::addresses() const {
  std::string text = "{";
  for (const auto& [net, addresses] : subnets_) {
    for (std::uint32_t i = 0; i < net.size(); ++i) {
      if (addresses[i].got == 0) continue;
      char buffer[longest_endpoint];
      text += fmt::format("{}\"{}\":[{}]", text.size() > 1 ? "," : "",
                          to_address_text(net.at(i), buffer), fmt::join(addresses[i].counts, ","));
    }
  }
  return text + "}";
}

void Responder::read_some() {
  for (int i = 0; i < 64; ++i) {  // not without end: what is due must leave meanwhile
    const auto size = ::read(tun_.get(), buffer_.data(), buffer_.size());
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) throw std::system_error(errno, std::generic_category(), "the device");
    size_ = static_cast<std::size_t>(size);
    const auto request = EchoRequest::read(std::span(buffer_).first(size_));
    const auto target = request ? request->target() : Endpoint();
    bool ours = false;
    for (auto& subnet : subnets_) {
      const auto offset = subnet.net.find(target);
      if (ours || !offset) continue;
      ours = true;
      take(*request, target, subnet, *offset);
    }
    if (!ours) ++log_.other;
  }
}

void Responder::take(EchoRequest request, const Endpoint& target, Subnet& subnet,
                     std::uint32_t offset) {
  const auto read = now();
  auto& address = subnet.addresses[offset];
  Chance chance(settings_.seed, offset, address.got++);
  const Fate fate = choose(address, chance);
  ++address.counts[static_cast<std::size_t>(fate)];
  const bool ipv6 = target.family == AddressFamily::ipv6;
  log_.probes.push_back({offset | (ipv6 ? ipv6_mark : 0u), fate, read, 0});
  if (fate == Fate::lost || fate == Fate::dead) return;
  if (fate == Fate::refused) return write_packet(request.refusal(subnet.net.first()));

  request.answer();
  if (fate == Fate::wrong_source) request.spoil_source();
  if (fate == Fate::wrong_id) request.spoil_identifier();
  if (fate == Fate::wrong_payload) request.spoil_payload();
  const int number = keep(log_.probes.size() - 1, address);
  auto& reply = replies_[static_cast<std::size_t>(number)];
  double wait = settings_.delay + chance.draw() * settings_.jitter;
  const bool right = fate == Fate::waiting;
  reply.twice = chance.is(settings_.duplicate) && right;
  if (chance.is(settings_.held) && right && address.held < 0) {
    address.held = number;
    ++log_.held;
    return;
  }
  if (chance.is(settings_.late) && right) {
    wait += settings_.late_by;
    ++log_.late;
  }
  due_.push({read + std::llround(wait * 1e6), number});
}

Fate Responder::choose(const Address& address, Chance& chance) const {
  const bool lost = chance.is(settings_.loss);
  const double wrong = chance.draw();
  if (address.dead) return Fate::dead;
  if (address.refused) return Fate::refused;
  if (lost) return Fate::lost;
  double share = settings_.wrong_source;
  if (wrong < share) return Fate::wrong_source;
  if (wrong < (share += settings_.wrong_id)) return Fate::wrong_id;
  return wrong < share + settings_.wrong_payload ? Fate::wrong_payload : Fate::waiting;
}

// A place for what is in the buffer.
int Responder::keep(std::size_t probe, Address& address) {
  if (free_.empty()) {
    free_.push_back(static_cast<int>(replies_.size()));
    replies_.emplace_back();
  }
  const int number = free_.back();
  free_.pop_back();
  auto& reply = replies_[static_cast<std::size_t>(number)];
  reply.packet.assign(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(size_));
  reply.probe = probe;
  reply.address = &address;
  return number;
}

void Responder::write_due() {
  // The clock is read again: writing takes its time.
  while (!due_.empty() && due_.top().when <= now()) {
    const int number = due_.top().reply;
    due_.pop();
    write(number);
  }
}

void Responder::write(int number) {
  auto& reply = replies_[static_cast<std::size_t>(number)];
  auto& probe = log_.probes[reply.probe];
  auto& address = *reply.address;
  probe.written = now();
  write_packet(reply.packet);
  if (reply.twice) {
    write_packet(reply.packet);
    ++log_.duplicates;
  }
  if (probe.fate == Fate::waiting) {
    probe.fate = Fate::answered;
    --address.counts[static_cast<std::size_t>(Fate::waiting)];
    ++address.counts[static_cast<std::size_t>(Fate::answered)];
  }
  free_.push_back(number);
  if (address.held >= 0) write(std::exchange(address.held, -1));
}

void Responder::write_packet(std::span<const std::uint8_t> packet) {
  if (::write(tun_.get(), packet.data(), packet.size()) < 0) ++log_.failed;
}

void say(const std::string& line) {
  fmt::print("{}\n", line);
  (void)std::fflush(stdout);
}

// Carries out the whole lines of what has come. false: that was all.
bool listen(Responder& responder, std::string& come) {
  char part[4096];
  const auto size = ::read(STDIN_FILENO, part, sizeof part);
  if (size <= 0) return false;
  come.append(part, static_cast<std::size_t>(size));
  for (auto end = come.find('\n'); end != std::string::npos; end = come.find('\n')) {
    say(responder.set(std::string_view(come).substr(0, end)));
    come.erase(0, end + 1);
  }
  return true;
}

int run(int argc, char** argv) {
  if (argc < 2) throw std::runtime_error("echo_responder DEVICE SETTING...");
  Responder responder(argv[1]);
  for (int i = 2; i < argc; ++i) (void)responder.set(argv[i]);
  (void)::prctl(PR_SET_TIMERSLACK, 1UL);  // else what is due leaves 50 us late
  say("ready");

  std::string come;
  for (;;) {
    pollfd waits[] = {{responder.fd(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    const auto left = std::max<std::int64_t>(responder.next() - now(), 0);
    const timespec wait{left / 1'000'000'000, left % 1'000'000'000};
    (void)::ppoll(waits, 2, responder.next() == 0 ? nullptr : &wait, nullptr);
    if (waits[0].revents != 0) responder.read_some();
    responder.write_due();
    if (waits[1].revents != 0 && !listen(responder, come)) return 0;
  }
}

}  // namespace
}  // namespace wgvitals::test

int main(int argc, char** argv) {
  try {
    return wgvitals::test::run(argc, argv);
  } catch (const std::exception& error) {
    (void)std::fprintf(stderr, "echo_responder: %s\n", error.what());
    return 2;
  }
}
