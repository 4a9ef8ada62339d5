#include "common/probe/tcp.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "common/base/fd.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using Kind = TcpOutcome::Kind;

constexpr milliseconds least_share(2000);  // of the timeout, for one address of several
constexpr milliseconds resolver_poll(20);
constexpr std::size_t longest_line = 65'536;

}  // namespace

bool is_shortage(int number) {
  return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM ||
         number == EADDRNOTAVAIL || number == EAGAIN;
}

// On the loop's thread, but for what is Latest's and set_gather().
class TcpProbes::Core {
 public:
  Core(Loop& loop, Resolver& resolver, std::vector<TcpTarget> targets, double seed)
      : loop_(loop),
        resolver_(resolver),
        targets_(std::move(targets)),
        attempts_(targets_.size()),
        latest_(targets_.size()),
        rounds_(
            loop, to_paces(targets_), seed, [this](std::size_t target) { start(target); },
            Rounds::Takes::place) {}

  void begin() { rounds_.begin(); }
  void end() {
    rounds_.end();
    for (auto& attempt : attempts_) close(attempt);
  }
  void set_gather(std::chrono::nanoseconds gather) { rounds_.set_gather(gather); }
  void take(Outcomes& into) { latest_.take(into); }
  std::vector<Error> wrong() { return latest_.wrong(); }

 private:
  struct Attempt {
    Fd socket;
    Loop::TimerId timer = 0;
    Clock::time_point start;     // of the connection, once the name is known
    Clock::time_point deadline;  // of name and connection
    std::vector<Endpoint> addresses;
    std::size_t next = 0;       // of them
    std::optional<Kind> first;  // why the first address failed
    std::size_t sent = 0;       // bytes
    Clock::duration took{};
    std::string line;
    std::optional<Error> wrong;
  };

  static Error named(const TcpTarget& target, const Error& error) {
    return {error.code, error.number,
            target.host + " port " + std::to_string(target.port) + ": " + error.where};
  }

  void start(std::size_t number) {
    auto& attempt = attempts_[number];
    attempt = Attempt();
    attempt.deadline = Clock::now() + targets_[number].timeout;
    resolve(number);
  }

  void resolve(std::size_t number) {
    const auto& target = targets_[number];
    auto& attempt = attempts_[number];
    const auto now = Clock::now();
    auto answer = resolver_.find(target.host, target.family);
    using State = Resolver::Answer::State;
    if (answer.state == State::failed) attempt.wrong = Error{Errc::io, 0, answer.why};
    if (answer.address.family == AddressFamily::none) {
      if (answer.state == State::failed) return finish(number, Kind::connection_failed);
      if (now >= attempt.deadline) return finish(number, Kind::timeout);
      wait(number, std::min(now + resolver_poll, attempt.deadline), &Core::resolve);
      return;
    }
    attempt.start = now;
    attempt.addresses = std::move(answer.others);
    attempt.addresses.insert(attempt.addresses.begin(), answer.address);
    connect_next(number);
  }

  // The addresses in their order, as Go's dialer: the time that is left is shared, and the first
  // failure is the one that is told.
  void connect_next(std::size_t number) {
    const auto& target = targets_[number];
    auto& attempt = attempts_[number];
    for (;;) {
      close(attempt);
      attempt.sent = 0;
      const auto now = Clock::now();
      if (attempt.next == attempt.addresses.size()) {
        return finish(number, attempt.first.value_or(Kind::connection_failed));
      }
      if (now >= attempt.deadline) return finish(number, attempt.first.value_or(Kind::timeout));
      const auto left = attempt.addresses.size() - attempt.next;
      auto address = attempt.addresses[attempt.next++];
      address.port = target.port;
      if (auto failure = open(target, address, attempt)) {
        latest_.put_off(number, named(target, *failure));
        close(attempt);
        return rounds_.put_off(number);
      }
      if (!attempt.socket) continue;
      const auto share = (attempt.deadline - now) / static_cast<long>(left);
      wait(number, std::min(attempt.deadline, now + std::max<Clock::duration>(share, least_share)),
           &Core::too_late);
      loop_.watch(attempt.socket.get(), EPOLLOUT,
                  [this, number](std::uint32_t) { connected(number); });
      return;
    }
  }

  // Begins to connect; what is a failure of ours is returned, one of the target is noted.
  std::optional<Error> open(const TcpTarget& target, const Endpoint& address, Attempt& attempt) {
    sockaddr_storage raw{};
    const auto size = to_sockaddr(address, raw);
    Fd socket(::socket(raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) {
      if (!is_shortage(errno)) return fail(attempt, errno);  // a family that this host lacks
      return Error{Errc::io, errno, "no socket"};
    }
    if (auto applied = apply(target.path, socket.get()); !applied) {
      const auto& error = applied.error();
      if (error.code == Errc::denied) return error;
      attempt.wrong = named(target, error);
      return fail(attempt, error.number);  // a device that is gone, say
    }
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&raw), size) != 0 &&
        errno != EINPROGRESS) {
      if (!is_shortage(errno)) return fail(attempt, errno);
      // No port is left, or none of our addresses leads there, as with a family that this host is
      // routed but has no address of: another one of the target's may do.
      const bool only = attempt.next == attempt.addresses.size() && !attempt.first;
      if (errno == EADDRNOTAVAIL && !only) return std::nullopt;
      return Error{Errc::io, errno, "cannot connect"};
    }
    attempt.socket = std::move(socket);
    return std::nullopt;
  }

  static std::optional<Error> fail(Attempt& attempt, int number) {
    if (!attempt.first) {
      attempt.first = number == ETIMEDOUT ? Kind::timeout : Kind::connection_failed;
    }
    return std::nullopt;
  }

  void too_late(std::size_t number) {
    fail(attempts_[number], ETIMEDOUT);
    connect_next(number);
  }

  void connected(std::size_t number) {
    auto& attempt = attempts_[number];
    int failure = 0;
    socklen_t size = sizeof failure;
    (void)::getsockopt(attempt.socket.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure != 0) {
      fail(attempt, failure);
      return connect_next(number);
    }
    attempt.took = Clock::now() - attempt.start;
    send(number);
  }

  void send(std::size_t number) {
    const auto& target = targets_[number];
    auto& attempt = attempts_[number];
    const auto rest = std::string_view(target.send).substr(attempt.sent);
    if (!rest.empty()) {
      const auto count = ::send(attempt.socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count < 0 && errno != EAGAIN) return finish(number, Kind::connection_failed);
      if (count > 0) attempt.sent += static_cast<std::size_t>(count);
      if (attempt.sent < target.send.size()) {
        loop_.watch(attempt.socket.get(), EPOLLOUT,
                    [this, number](std::uint32_t) { send(number); });
        return;
      }
      attempt.took = Clock::now() - attempt.start;
    }
    if (!target.expect) return finish(number, Kind::success);
    wait(number, Clock::now() + target.read_timeout, &Core::line_ended);
    loop_.watch(attempt.socket.get(), EPOLLIN, [this, number](std::uint32_t) { read(number); });
  }

  void read(std::size_t number) {
    auto& attempt = attempts_[number];
    std::array<char, 4096> bytes;
    const auto count = ::recv(attempt.socket.get(), bytes.data(), bytes.size(), 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return line_ended(number);
    const std::string_view piece(bytes.data(), static_cast<std::size_t>(count));
    const auto end = piece.find('\n');
    attempt.line += piece.substr(0, end);
    if (end != std::string_view::npos || attempt.line.size() > longest_line) {
      attempt.line += '\n';  // an empty line is a line
      line_ended(number);
    }
  }

  // A line, or what there is of it at the connection's end or the deadline (as Go's
  // bufio.Reader.ReadLine has it).
  void line_ended(std::size_t number) {
    auto& attempt = attempts_[number];
    attempt.took = Clock::now() - attempt.start;
    auto& line = attempt.line;
    if (line.empty()) return finish(number, Kind::read_failed);
    if (line.back() == '\n') line.pop_back();
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const bool found = !line.empty() && targets_[number].expect->matches(line);
    finish(number, found ? Kind::success : Kind::string_mismatch);
  }

  void finish(std::size_t number, Kind kind) {
    auto& attempt = attempts_[number];
    const bool connected = kind != Kind::timeout && kind != Kind::connection_failed;
    TcpOutcome outcome{kind, std::nullopt};
    if (connected) outcome.took = attempt.took;
    close(attempt);
    latest_.put(number, outcome, std::move(attempt.wrong));
    attempt = Attempt();
    rounds_.done(number, connected);
  }

  void wait(std::size_t number, Clock::time_point when, void (Core::*then)(std::size_t)) {
    auto& attempt = attempts_[number];
    loop_.cancel(attempt.timer);
    attempt.timer = loop_.at(when, [this, number, then] { (this->*then)(number); });
  }

  void close(Attempt& attempt) {
    loop_.cancel(std::exchange(attempt.timer, 0));
    if (attempt.socket) loop_.forget(attempt.socket.get());
    attempt.socket = Fd();
  }

  Loop& loop_;
  Resolver& resolver_;
  std::vector<TcpTarget> targets_;
  std::vector<Attempt> attempts_;
  Latest<TcpOutcome> latest_;
  Rounds rounds_;
};

TcpProbes::TcpProbes(Loop& loop, Resolver& resolver, std::vector<TcpTarget> targets, double seed)
    : loop_(loop), core_(std::make_shared<Core>(loop, resolver, std::move(targets), seed)) {}

// What the loop holds of it ends on the loop's thread, if that has not ended before.
TcpProbes::~TcpProbes() {
  if (begun_) loop_.post([core = core_] { core->end(); });
}

Result<Done> TcpProbes::begin() {
  if (!begun_) loop_.post([core = core_] { core->begin(); });
  begun_ = true;
  return Done{};
}

void TcpProbes::set_gather(std::chrono::nanoseconds gather) { core_->set_gather(gather); }
void TcpProbes::take(Outcomes& into) { core_->take(into); }
std::vector<Error> TcpProbes::wrong() { return core_->wrong(); }

}  // namespace wgvitals::probe
