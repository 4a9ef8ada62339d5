#include "common/probe/stamp_reflector.h"

#include <sys/epoll.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace wgvitals::probe {
namespace {

constexpr std::chrono::seconds look_wait(2);  // until it is seen to that it listens
constexpr std::size_t packets_a_turn = 64;    // then other sockets of the loop have theirs
constexpr std::size_t largest_request = 65'535;

}  // namespace

bool holds(const Prefix& prefix, const Endpoint& address) {
  if (prefix.family != address.family || prefix.family == AddressFamily::none) return false;
  const std::size_t whole = prefix.length / 8u;
  const unsigned rest = prefix.length % 8u;
  if (whole + (rest > 0 ? 1 : 0) > address.address.size()) return false;
  if (!std::equal(prefix.address.data(), prefix.address.data() + whole, address.address.data())) {
    return false;
  }
  return rest == 0 || (prefix.address[whole] ^ address.address[whole]) >> (8 - rest) == 0;
}

StampDoor::StampDoor(std::uint16_t port, std::vector<Prefix> allowed, unsigned a_second)
    : port_(port), allowed_(std::move(allowed)), allowance_(a_second) {}

bool StampDoor::answer(const StampDatagram& datagram, const StampClock& clock,
                       Clock::time_point now, StampReply& reply) {
  const auto request = parse_stamp_request(datagram.bytes);
  if (!request || datagram.from.port == port_ || datagram.from.port == 0) return false;
  const bool allowed = std::any_of(allowed_.begin(), allowed_.end(), [&](const Prefix& prefix) {
    return holds(prefix, datagram.from);
  });
  if (!allowed || !allowance_.take(now)) return false;
  const auto number = numbers_.next(datagram.from, request->session, now);
  if (!number) return false;
  reply.number = *number;
  reply.error = to_stamp_error(clock.synchronised, clock.error_ns);
  reply.session = request->session;
  reply.received = to_ntp(datagram.when.wall);
  reply.request = *request;
  reply.ttl = datagram.ttl;
  return true;
}

class StampReflector::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Loop& loop, Habits habits)
      : loop_(loop),
        path_(std::move(habits.path)),
        door_(path_.source.port, std::move(habits.allowed), habits.packets_a_second) {}

  // Any thread.
  void start() {
    loop_.post([self = shared_from_this()] { self->listen(); });
    started_ = true;
  }
  // Where the loop has ended, it has let go of this already.
  void stop() noexcept try {
    if (started_) loop_.post([self = shared_from_this()] { self->end(); });
  } catch (...) {
  }
  std::optional<Error> failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  // The rest on the loop's thread.
  void listen() {
    if (ended_) return;
    const auto& device = path_.device;
    if (socket_ && !device.empty() && !is_bound_to(socket_.get(), device)) close();
    if (!socket_) open();
    if (socket_ && device.empty()) return;
    timer_ =
        loop_.at(Loop::Clock::now() + look_wait, [self = shared_from_this()] { self->listen(); });
  }

  void open() {
    auto opened = open_stamp_socket(path_.source.family, path_);
    {
      const std::lock_guard lock(mutex_);
      failure_ = opened ? std::nullopt : std::optional(opened.error());
    }
    if (!opened) return;
    socket_ = std::move(*opened);
    buffer_.resize(largest_request);
    loop_.watch(socket_.get(), EPOLLIN,
                [self = shared_from_this()](std::uint32_t) { self->answer(); });
  }

  void close() {
    if (socket_) loop_.forget(socket_.get());
    socket_ = Fd();
  }

  void answer() {
    const auto clock = read_stamp_clock();
    for (std::size_t i = 0; i < packets_a_turn; ++i) {
      const auto datagram = receive_stamp(socket_.get(), buffer_);
      if (!datagram) return;
      StampReply reply;
      if (!door_.answer(*datagram, clock, Loop::Clock::now(), reply)) continue;
      reply.sent = to_ntp(read_stamp_moment().wall);
      write_stamp(reply, datagram->bytes);
      // What cannot be sent is lost on its way back, which is how its sender sees it.
      (void)send_stamp(socket_.get(), datagram->bytes, datagram->from);
    }
  }

  void end() {
    ended_ = true;
    loop_.cancel(timer_);
    close();
  }

  Loop& loop_;
  const SocketPath path_;
  bool started_ = false;  // the owner's thread

  // The loop's thread.
  StampDoor door_;
  bool ended_ = false;
  Fd socket_;
  std::vector<std::byte> buffer_;
  Loop::TimerId timer_ = 0;

  std::mutex mutex_;
  std::optional<Error> failure_;
};

StampReflector::StampReflector(Loop& loop, Habits habits)
    : core_(std::make_shared<Core>(loop, std::move(habits))) {}

StampReflector::~StampReflector() { core_->stop(); }

void StampReflector::start() { core_->start(); }
std::optional<Error> StampReflector::failure() { return core_->failure(); }

}  // namespace wgvitals::probe
