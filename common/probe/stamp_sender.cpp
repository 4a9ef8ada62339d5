#include "common/probe/stamp_sender.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>
#include <vector>

#include "common/probe/schedule.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds name_wait(50);          // until a name that is being resolved is asked again
constexpr std::size_t packets_a_turn = 64;     // then other sockets of the loop have theirs
constexpr unsigned losses_until_refresh = 10;  // in a row: the name may have moved

double shorten(double phase, milliseconds interval) {
  constexpr milliseconds longest(1000);
  return interval <= longest ? phase : phase * std::chrono::duration<double>(longest) / interval;
}

}  // namespace

class StampSender::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Loop& loop, Resolver& resolver, StampTarget target, double phase)
      : loop_(loop),
        resolver_(resolver),
        target_(std::move(target)),
        packet_(std::max(target_.size, stamp_size)),
        schedule_(target_.interval, target_.slowest, shorten(phase, target_.interval),
                  Clock::now()),
        session_(target_.timeout) {}

  // Any thread.
  void start() {
    loop_.post([self = shared_from_this()] { self->tick(); });
    started_ = true;
  }
  // Where the loop has ended, it has let go of this already.
  void stop() noexcept try {
    if (started_) loop_.post([self = shared_from_this()] { self->end(); });
  } catch (...) {
  }
  StampWindow take() {
    const std::lock_guard lock(mutex_);
    expire();
    auto window = std::exchange(window_, {});
    window.add(session_.take());
    return window;
  }
  std::optional<Error> failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }
  bool settled() {
    const std::lock_guard lock(mutex_);
    expire();
    return settled_ || failure_.has_value();
  }
  void set_gather(std::chrono::nanoseconds gather) {
    const std::lock_guard lock(mutex_);
    gather_ = gather;
  }

 private:
  // The rest on the loop's thread.
  void tick() {
    if (ended_) return;
    const std::lock_guard lock(mutex_);
    expire();
    auto next = schedule_.due();
    if (Clock::now() >= next) next = send() ? schedule_.due() : Clock::now() + name_wait;
    wait_until(next);
  }

  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    loop_.cancel(timer_);
    close();
  }

  void wait_until(Clock::time_point when) {
    loop_.cancel(timer_);
    timer_ = loop_.at(when, [self = shared_from_this()] { self->tick(); });
  }

  void expire() {
    const auto lost = session_.expire(read_stamp_moment().monotonic);
    if (lost > 0) settled_ = true;
    for (unsigned i = 0; i < lost; ++i) {
      schedule_.lost();
      if (++losses_ % losses_until_refresh == 0) resolver_.refresh(target_.host, target_.family);
    }
  }

  // false: its name is not known yet.
  bool send() {
    const auto answer = resolver_.find(target_.host, target_.family);
    const bool known = answer.address.family != AddressFamily::none;
    if (!known && answer.state == Resolver::Answer::State::pending) return false;
    if (!known) {
      failure_ = Error{Errc::io, 0, to_reason(answer.why)};
    } else {
      auto address = answer.address;
      address.port = target_.port;
      if (address != address_) close();
      address_ = address;
      failure_ = send_one();
    }
    schedule_.sent(Clock::now(), gather_);
    return true;
  }

  // Without the name, which whoever tells it has told.
  std::string to_reason(const std::string& why) const {
    return why.starts_with(target_.host + ": ") ? why.substr(target_.host.size() + 2) : why;
  }

  std::optional<Error> send_one() {
    if (!socket_) {
      auto opened = open_stamp_socket(address_.family, target_.path);
      if (!opened) return opened.error();
      socket_ = std::move(*opened);
      loop_.watch(socket_.get(), EPOLLIN,
                  [self = shared_from_this()](std::uint32_t) { self->receive(); });
    }
    const auto clock = read_stamp_clock();
    const auto when = read_stamp_moment();
    const auto request = session_.next(when, clock);
    write_stamp(request, packet_);
    const int failure = send_stamp(socket_.get(), packet_, address_);
    if (failure == 0) {
      session_.sent(request, when);
      return std::nullopt;
    }
    // It may be bound to what is gone, and back under its old name.
    const auto& path = target_.path;
    if (!path.device.empty() || path.source.family != AddressFamily::none) close();
    return Error{Errc::io, failure, "cannot send"};
  }

  // What is under way is dropped: a new socket has another port, which is another session.
  void close() {
    if (!socket_) return;
    loop_.forget(socket_.get());
    socket_ = Fd();
    window_.add(session_.take());
    session_ = StampSession(target_.timeout);
  }

  void receive() {
    if (ended_) return;
    const std::lock_guard lock(mutex_);
    const auto clock = read_stamp_clock();
    for (std::size_t i = 0; i < packets_a_turn && socket_; ++i) {
      const auto datagram = receive_stamp(socket_.get(), buffer_);
      if (!datagram) break;
      if (datagram->from != address_) continue;
      const auto reply = parse_stamp_reply(datagram->bytes);
      if (!reply) continue;
      if (session_.received(*reply, datagram->when, clock) != StampSession::Arrival::answer) {
        continue;
      }
      settled_ = true;
      losses_ = 0;
      schedule_.answered();
    }
    wait_until(schedule_.due());
  }

  Loop& loop_;
  Resolver& resolver_;
  const StampTarget target_;
  bool started_ = false;  // the owner's thread

  // The loop's thread.
  bool ended_ = false;
  Fd socket_;
  Endpoint address_;
  std::vector<std::byte> packet_;
  std::array<std::byte, 2048> buffer_{};  // the fields of a longer reply fit too
  Loop::TimerId timer_ = 0;

  std::mutex mutex_;  // of what follows
  Schedule schedule_;
  StampSession session_;
  StampWindow window_;  // of sessions before
  std::optional<Error> failure_;
  std::chrono::nanoseconds gather_{0};
  unsigned losses_ = 0;  // in a row
  bool settled_ = false;
};

StampSender::StampSender(Loop& loop, Resolver& resolver, StampTarget target, double phase)
    : core_(std::make_shared<Core>(loop, resolver, std::move(target), phase)) {}

StampSender::~StampSender() { core_->stop(); }

void StampSender::start() { core_->start(); }
StampWindow StampSender::take() { return core_->take(); }
std::optional<Error> StampSender::failure() { return core_->failure(); }
bool StampSender::settled() { return core_->settled(); }
void StampSender::set_gather(std::chrono::nanoseconds gather) { core_->set_gather(gather); }

}  // namespace wgvitals::probe
