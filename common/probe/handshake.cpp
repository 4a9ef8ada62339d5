#include "common/probe/handshake.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <utility>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/secret.h"
#include "common/probe/handshake_attempt.h"
#include "common/probe/key_file.h"

namespace wgvitals::probe {
namespace {

using Kind = HandshakeOutcome::Kind;

constexpr std::chrono::milliseconds resolver_poll(20);
constexpr std::chrono::nanoseconds least_gap(Timestamps::least_gap_ns);
constexpr int most_sends = 4;                // each may be told the error of another packet
constexpr int most_packets = 1024;           // read in one turn
constexpr std::size_t longest_packet = 512;  // of those that concern us

Result<Fd> open_socket(AddressFamily family, const SocketPath& path) {
  const bool ipv4 = family == AddressFamily::ipv4;
  Fd socket(::socket(ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return Error{Errc::io, errno, "no socket"};
  const auto set = [&](int level, int option) {
    const int on = 1;
    return ::setsockopt(socket.get(), level, option, &on, sizeof on) == 0;
  };
  const bool well = ipv4 ? set(IPPROTO_IP, IP_RECVERR)
                         : set(IPPROTO_IPV6, IPV6_V6ONLY) && set(IPPROTO_IPV6, IPV6_RECVERR);
  if (!well) return Error{Errc::io, errno, "socket options"};
  (void)set(SOL_SOCKET, SO_TIMESTAMPNS);  // without, our own time of receipt is used
  if (auto applied = apply(path, socket.get()); !applied) return applied.error();
  return socket;
}

// True where it cannot be read, as under systemd's ProtectClock: nothing speaks against it.
bool is_clock_right() {
  const auto clock = read_clock_state();
  return !clock || clock->synchronised;
}

}  // namespace

KeyReader make_key_reader(const std::string& file) {
  if (file.empty()) return {};
  return [file](std::span<std::uint8_t, 32> into) { return read_key_file(file, into); };
}

class HandshakeProbes::Core {
 public:
  Core(Loop& loop, Resolver& resolver, std::vector<HandshakeTarget> targets, double seed)
      : loop_(loop),
        resolver_(resolver),
        secrets_(std::max<std::size_t>(1, targets.size()) * sizeof(HandshakeSecrets)),
        probes_(targets.size()),
        latest_(targets.size()),
        rounds_(loop, to_paces(targets), seed, [this](std::size_t probe) { start(probe); }) {
    for (std::size_t i = 0; i < targets.size(); ++i) probes_[i].target = std::move(targets[i]);
    index_bits_ = static_cast<unsigned>(std::bit_width(targets.size()));
  }

  // On the caller's thread: what is set here is read by the loop's once admit() says so.

  Result<Done> load() {
    if (!crypto_) {
      auto loaded = Crypto::load();
      if (!loaded) return loaded.error();
      crypto_ = *loaded;
      auto folder = find_state_folder();
      if (folder) state_folder_ = *folder;
      if (!folder) state_trouble_ = folder.error();
    }
    for (std::size_t i = 0; i < probes_.size(); ++i) {
      auto& probe = probes_[i];
      if (probe.attempt) continue;
      auto done = load(i);
      probe.key_trouble.reset();
      if (!done) {
        // A file that is asked for and not there is worth a word.
        const auto code = done.error().code == Errc::absent ? Errc::io : done.error().code;
        probe.key_trouble =
            Error{code, done.error().number, probe.target.name + ": " + done.error().where};
      }
    }
    return Done{};
  }

  std::optional<PublicKey> own_key(std::size_t number) const {
    const auto& probe = probes_[number];
    return probe.attempt ? std::optional(probe.own) : std::nullopt;
  }

  void admit() {
    for (auto& probe : probes_) probe.ready = probe.attempt.has_value();
  }

  void refuse(std::size_t number, std::optional<Error> why) {
    auto& probe = probes_[number];
    probe.refused = why.has_value();
    probe.refusal = std::move(why);
  }

  std::vector<Error> wrong() {
    auto errors = latest_.wrong();
    if (state_trouble_) errors.push_back(*state_trouble_);
    for (const auto& [key, timestamps] : timestamps_) {
      if (auto trouble = timestamps->trouble()) errors.push_back(*trouble);
    }
    for (const auto& probe : probes_) {
      if (probe.key_trouble) errors.push_back(*probe.key_trouble);
      if (probe.refusal) errors.push_back(*probe.refusal);
    }
    return errors;
  }

  void set_gather(std::chrono::nanoseconds gather) { rounds_.set_gather(gather); }
  void take(Outcomes& into) { latest_.take(into); }

  // On the loop's thread.

  void begin() { rounds_.begin(); }
  void end() {
    rounds_.end();
    for (auto& probe : probes_) loop_.cancel(std::exchange(probe.timer, 0));
    for (auto& lane : lanes_) close(lane);
  }

 private:
  // Of the probes with one pair of keys.
  struct Turns {
    std::deque<std::size_t> probes;  // the first has its turn, the others wait
    Clock::time_point next;          // not before, for the last initiation
  };

  struct Probe {
    HandshakeTarget target;
    PublicKey own;
    Turns* turns = nullptr;
    std::optional<HandshakeAttempt> attempt;  // once its key was read
    std::shared_ptr<Timestamps> timestamps;
    std::optional<Error> key_trouble, refusal;
    std::atomic<bool> ready = false, refused = false;
    // Of the loop's thread:
    Loop::TimerId timer = 0;
    std::size_t lane = 0;
    Clock::time_point since, deadline;  // of the name
    std::optional<std::chrono::nanoseconds> resolve;
    std::optional<Error> wrong;
    bool answered = false;  // ever
  };

  struct Lane {
    SocketPath path;
    AddressFamily family;
    Fd socket;
  };

  Result<Done> load(std::size_t number) {
    auto& probe = probes_[number];
    auto& secrets = reinterpret_cast<HandshakeSecrets*>(secrets_.bytes().data())[number];
    auto read = probe.target.read_key(secrets.private_key);
    if (read && probe.target.read_psk) read = probe.target.read_psk(secrets.preshared_key);
    if (!read) return read;
    // Files may take their time, which no probe waits for.
    auto initiator = [&] {
      const std::lock_guard lock(working_);
      return Initiator::make(*crypto_, probe.target.server, secrets);
    }();
    if (!initiator) return initiator.error();
    probe.own = initiator->own_key();
    probe.turns = &turns_[{probe.own.bytes, probe.target.server.bytes}];
    auto& timestamps = timestamps_[probe.own.bytes];
    if (!timestamps) timestamps = std::make_shared<Timestamps>(state_folder_, probe.own);
    probe.timestamps = timestamps;
    probe.attempt.emplace(
        probe.target, *initiator,
        HandshakeAttempt::Ways{
            [this, number](Bytes packet, const Endpoint& to) { return send(number, packet, to); },
            [&stamps = *timestamps](auto now, auto ahead) { return stamps.next(now, ahead); },
            [this] { return static_cast<std::uint32_t>(random_()); },
            [this, number] { return make_index(number); }});
    return Done{};
  }

  // The number of the probe stands in the low bits.
  std::uint32_t make_index(std::size_t number) {
    return static_cast<std::uint32_t>(random_()) << index_bits_ |
           static_cast<std::uint32_t>(number);
  }

  Probe* find(std::optional<std::uint32_t> index) {
    if (!index) return nullptr;
    const auto number = *index & ((1u << index_bits_) - 1);
    return number < probes_.size() && probes_[number].ready ? &probes_[number] : nullptr;
  }

  void start(std::size_t number) {
    const std::lock_guard lock(working_);
    guarded(number, &Core::take_turn);
  }

  // What throws, as where memory is short, must not end a probe for ever.
  void guarded(std::size_t number, void (Core::*work)(std::size_t)) {
    try {
      (this->*work)(number);
    } catch (const std::exception& error) {
      loop_.cancel(std::exchange(probes_[number].timer, 0));
      put_off(number, {Errc::io, 0, error.what()});
    }
  }

  // It could not be made, for a reason of our own.
  void put_off(std::size_t number, Error why) {
    why.where.insert(0, probes_[number].target.name + ": ");
    latest_.put_off(number, std::move(why));
    rounds_.put_off(number);
    end_turn(number);
  }

  // A server has one session of a key: another probe's would be taken from it, or its initiation
  // come too soon. So those of one pair of keys take turns, each from its start to its end.
  void take_turn(std::size_t number) {
    auto& probe = probes_[number];
    if (!probe.ready) return rounds_.put_off(number);
    auto& turns = *probe.turns;
    turns.probes.push_back(number);
    if (turns.probes.size() > 1) return;
    if (turns.next > Clock::now()) return wait(number, turns.next, &Core::begin_probe);
    begin_probe(number);
  }

  void end_turn(std::size_t number) {
    auto& probe = probes_[number];
    if (!probe.turns || probe.turns->probes.empty()) return;
    auto& turns = *probe.turns;
    const bool was_first = turns.probes.front() == number;
    std::erase(turns.probes, number);
    if (!was_first) return;
    turns.next = std::max(turns.next, probe.attempt->last_initiation() + least_gap);
    if (!turns.probes.empty()) wait(turns.probes.front(), turns.next, &Core::begin_probe);
  }

  void begin_probe(std::size_t number) {
    auto& probe = probes_[number];
    if (probe.refused) {
      rounds_.put_off(number);
      return end_turn(number);
    }
    probe.since = Clock::now();
    probe.deadline = probe.since + probe.target.timeout;
    probe.resolve.reset();
    probe.wrong.reset();
    resolve(number);
  }

  void resolve(std::size_t number) {
    auto& probe = probes_[number];
    const auto now = Clock::now();
    auto answer = resolver_.find(probe.target.host, probe.target.family);
    const bool failed = answer.state == Resolver::Answer::State::failed;
    if (failed) probe.wrong = Error{Errc::io, 0, probe.target.name + ": " + answer.why};
    if (answer.address.family == AddressFamily::none) {
      if (failed || now >= probe.deadline) return finish_nameless(number, failed);
      wait(number, std::min(now + resolver_poll, probe.deadline), &Core::resolve);
      return;
    }
    if (answer.took.count() > 0) probe.resolve = answer.took;
    answer.address.port = probe.target.port;
    if (auto trouble = find_lane(probe, answer.address.family)) {
      return put_off(number, std::move(*trouble));
    }
    if (probe.resolve && probe.target.step) {
      char text[longest_endpoint];
      probe.target.step(
          {now - probe.since,
           probe.target.host + " is " + std::string(to_address_text(answer.address, text))});
    }
    probe.attempt->begin(answer.address, probe.since, read_clocks());
    follow(number);
  }

  void finish_nameless(std::size_t number, bool failed) {
    auto& probe = probes_[number];
    if (!failed) {
      probe.wrong = Error{Errc::timed_out, 0,
                          probe.target.name + ": " + probe.target.host + ": not resolved in time"};
    }
    HandshakeOutcome outcome;
    outcome.kind = Kind::name_error;
    outcome.advice = to_advice_on_name(probe.target.host);
    finish(number, std::move(outcome));
  }

  void tick(std::size_t number) {
    probes_[number].attempt->tick(read_clocks());
    follow(number);
  }

  // Behind each event of an attempt.
  void follow(std::size_t number) {
    auto& probe = probes_[number];
    auto& attempt = *probe.attempt;
    if (!attempt.is_over()) return wait(number, attempt.due(), &Core::tick);
    auto outcome = attempt.outcome();
    outcome.resolve = probe.resolve;
    if (outcome.kind != Kind::ok) {
      outcome.advice =
          to_advice(probe.target, attempt,
                    {probe.timestamps->was_new() && !probe.answered, is_clock_right()});
    }
    finish(number, std::move(outcome));
  }

  void finish(std::size_t number, HandshakeOutcome outcome) {
    auto& probe = probes_[number];
    loop_.cancel(std::exchange(probe.timer, 0));
    // A name may lead elsewhere by now.
    const bool alive = outcome.rtt.has_value() || outcome.cookie;
    probe.answered = probe.answered || outcome.rtt;
    if (!alive && outcome.kind != Kind::name_error)
      resolver_.refresh(probe.target.host, probe.target.family);
    latest_.put(number, std::move(outcome), std::move(probe.wrong));
    rounds_.done(number, alive);
    end_turn(number);
  }

  void wait(std::size_t number, Clock::time_point when, void (Core::*then)(std::size_t)) {
    auto& probe = probes_[number];
    loop_.cancel(probe.timer);
    probe.timer = loop_.at(when, [this, number, then] {
      const std::lock_guard lock(working_);
      guarded(number, then);
    });
  }

  // Of the probe, opened where it is not; or why it cannot be.
  std::optional<Error> find_lane(Probe& probe, AddressFamily family) {
    const auto& path = probe.target.path;
    const auto found = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& lane) {
      return lane.family == family && lane.path == path;
    });
    probe.lane = static_cast<std::size_t>(found - lanes_.begin());
    if (found == lanes_.end()) lanes_.push_back({path, family, Fd()});
    return open(probe.lane);
  }

  std::optional<Error> open(std::size_t number) {
    auto& lane = lanes_[number];
    if (lane.socket) return std::nullopt;
    auto socket = open_socket(lane.family, lane.path);
    if (!socket) return socket.error();
    loop_.watch(socket->get(), EPOLLIN, [this, number](std::uint32_t events) {
      const std::lock_guard lock(working_);
      if ((events & EPOLLERR) != 0) receive_errors(lanes_[number]);
      receive(lanes_[number]);  // also takes an error that no queue holds
    });
    lane.socket = std::move(*socket);  // once it is watched: that throws where the system is short
    return std::nullopt;
  }

  // Bound to a device that has been replaced: sockets are bound to its index.
  static bool is_stale(const Lane& lane) {
    if (lane.path.device.empty()) return false;
    char name[IFNAMSIZ] = "";
    socklen_t size = sizeof name;
    return ::getsockopt(lane.socket.get(), SOL_SOCKET, SO_BINDTODEVICE, name, &size) != 0 ||
           lane.path.device != name;
  }

  void close(Lane& lane) {
    if (lane.socket) loop_.forget(lane.socket.get());
    lane.socket = Fd();
  }

  HandshakeAttempt::Sending send(std::size_t number, Bytes packet, const Endpoint& to) {
    const auto lane = probes_[number].lane;
    sockaddr_storage address{};
    const auto size = to_sockaddr(to, address);
    HandshakeAttempt::Sending sending{Clock::now(), ENODEV};
    for (int tries = 0; tries < most_sends; ++tries) {
      if (open(lane)) return sending;
      sending = {Clock::now(), 0};
      if (::sendto(lanes_[lane].socket.get(), packet.data(), packet.size(), MSG_DONTWAIT,
                   reinterpret_cast<const sockaddr*>(&address), size) >= 0) {
        return sending;
      }
      sending.error = errno;
      receive_errors(lanes_[lane]);  // it may be what became of another packet, said once
      if (is_stale(lanes_[lane])) close(lanes_[lane]);
    }
    return sending;
  }

  void receive(Lane& lane) {
    std::array<std::uint8_t, longest_packet> room;
    for (int i = 0; i < most_packets && lane.socket; ++i) {
      const Received message(lane.socket.get(), 0, room);
      if (message.size < 0 && errno == EAGAIN) return;
      if (message.size >= 0) take(message);
    }
  }

  void receive_errors(Lane& lane) {
    std::array<std::uint8_t, longest_packet> room;
    for (int i = 0; i < most_packets && lane.socket; ++i) {
      const Received message(lane.socket.get(), MSG_ERRQUEUE, room);
      if (message.size < 0) return;
      if (message.error && !message.error->own) take_error(message);
    }
  }

  void take(const Received& message) {
    const auto packet = message.content();
    const auto index = receiver_of(packet);
    auto* const probe = find(index);
    if (probe != nullptr && (probe->attempt->knows(*index) || is_at(*probe, message.from))) {
      return hand(*probe, message);
    }
    for_those_at(message.from, [&](Probe& one) { hand(one, message); });
  }

  static bool is_at(const Probe& probe, const Endpoint& address) {
    const auto& server = probe.attempt->server();
    return server.address == address.address && server.port == address.port;
  }

  void hand(Probe& probe, const Received& message) {
    if (probe.attempt->is_over()) return;
    const auto number = static_cast<std::size_t>(&probe - probes_.data());
    probe.attempt->received(message.content(), message.from, message.at.mono, read_clocks());
    guarded(number, &Core::follow);
  }

  // By the packet that it quotes; routers quote as little as its UDP header.
  void take_error(const Received& message) {
    const auto index = sender_of_quote(message.content());
    if (auto* probe = find(index); probe != nullptr && probe->attempt->knows(*index)) {
      return probe->attempt->refused(*message.error, message.at.mono);
    }
    if (!message.content().empty()) return;
    for_those_at(message.from,
                 [&](Probe& probe) { probe.attempt->refused(*message.error, message.at.mono); });
  }

  template <class Do>
  void for_those_at(const Endpoint& address, Do&& act) {
    for (auto& probe : probes_) {
      if (probe.ready && !probe.attempt->is_over() && is_at(probe, address)) act(probe);
    }
  }

  Loop& loop_;
  Resolver& resolver_;
  std::mutex
      working_;  // the loop's thread does, or a key is loaded: Crypto is of one thread at a time
  std::shared_ptr<const Crypto> crypto_;
  SecretBuffer secrets_;
  std::optional<std::filesystem::path> state_folder_;
  std::optional<Error> state_trouble_;
  using Key = std::array<std::uint8_t, 32>;
  std::map<Key, std::shared_ptr<Timestamps>> timestamps_;
  std::map<std::pair<Key, Key>, Turns> turns_;  // own and server
  std::vector<Probe> probes_;
  unsigned index_bits_ = 0;
  std::random_device random_;
  std::vector<Lane> lanes_;
  Latest<HandshakeOutcome> latest_;
  Rounds rounds_;
};

HandshakeProbes::HandshakeProbes(Loop& loop, Resolver& resolver,
                                 std::vector<HandshakeTarget> targets, double seed)
    : loop_(loop), core_(std::make_shared<Core>(loop, resolver, std::move(targets), seed)) {}

// What the loop holds of it ends on the loop's thread, if that has not ended before.
HandshakeProbes::~HandshakeProbes() {
  if (begun_) loop_.post([core = core_] { core->end(); });
}

void HandshakeProbes::begin() {
  core_->admit();
  if (!begun_) loop_.post([core = core_] { core->begin(); });
  begun_ = true;
}

Result<Done> HandshakeProbes::load() { return core_->load(); }
std::optional<PublicKey> HandshakeProbes::own_key(std::size_t target) const {
  return core_->own_key(target);
}
void HandshakeProbes::refuse(std::size_t target, std::optional<Error> why) {
  core_->refuse(target, std::move(why));
}
void HandshakeProbes::set_gather(std::chrono::nanoseconds gather) { core_->set_gather(gather); }
void HandshakeProbes::take(Outcomes& into) { core_->take(into); }
std::vector<Error> HandshakeProbes::wrong() { return core_->wrong(); }

}  // namespace wgvitals::probe
