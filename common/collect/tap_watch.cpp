#include "common/collect/tap_watch.h"

#include <sys/epoll.h>

#include <chrono>
#include <mutex>
#include <system_error>
#include <utility>

#include "common/trace/tap.h"

namespace wgvitals::collect {
namespace {

// More in so short a time, and the socket is left alone for as long: of a flood, no more than that
// much is taken.
constexpr std::size_t most_packets = 64;
constexpr std::chrono::milliseconds pause(4);

}  // namespace

class TapWatch::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(probe::Loop& loop, Fd tap, trace::Mac1For mac1_for)
      : loop_(loop),
        buffer_(trace::largest_packet),
        tap_(std::move(tap)),
        seen_(std::move(mac1_for)) {}

  // Any thread.
  void start() {
    loop_.post([self = shared_from_this()] { self->watch(); });
  }
  // Where the loop has ended, it has let go of this already.
  void stop() noexcept try {
    loop_.post([self = shared_from_this()] { self->end(); });
  } catch (...) {
  }
  void set_devices(std::span<const trace::TracedDevice> devices) {
    const std::lock_guard lock(mutex_);
    seen_.set_devices(devices);
  }
  void take(Tapped& into) {
    const std::lock_guard lock(mutex_);
    seen_.decide(trace::Handshakes::Clock::now());
    dropped_ += trace::take_drops(tap_.get());
    into.times = seen_.take_times();
    into.counts.assign(seen_.counts().begin(), seen_.counts().end());
    into.refused = seen_.refusals().sources();
    into.dropped = dropped_;
    into.failure = failure_;
  }

 private:
  // The loop's thread.
  void watch() try {
    loop_.watch(tap_.get(), EPOLLIN,
                [self = shared_from_this()](std::uint32_t) { self->receive(); });
  } catch (const std::system_error& error) {
    const std::lock_guard lock(mutex_);
    failure_ = Error{Errc::io, error.code().value(), "watching handshakes"};
  }

  void receive() {
    const std::lock_guard lock(mutex_);
    // A flood that comes no faster than it is taken wakes us up for each packet.
    if (const auto now = probe::Loop::Clock::now(); now >= renewed_ + pause) {
      renewed_ = now;
      left_ = most_packets;
    }
    for (; left_ > 0; --left_) {
      const auto sighting = trace::receive(tap_.get(), buffer_);
      if (!sighting) {
        failure_ = sighting.error();
        return loop_.forget(tap_.get());
      }
      if (!*sighting) return;
      seen_.see(**sighting);
    }
    loop_.forget(tap_.get());
    resumes_ =
        loop_.at(probe::Loop::Clock::now() + pause, [self = shared_from_this()] { self->watch(); });
  }

  void end() {
    loop_.cancel(resumes_);
    loop_.forget(tap_.get());
  }

  probe::Loop& loop_;

  // The loop's thread.
  std::vector<std::uint8_t> buffer_;
  probe::Loop::TimerId resumes_ = 0;
  probe::Loop::Clock::time_point renewed_{};
  std::size_t left_ = 0;  // packets that may be taken until it is renewed

  std::mutex mutex_;  // of what follows
  const Fd tap_;
  trace::Handshakes seen_;
  std::uint64_t dropped_ = 0;
  std::optional<Error> failure_;
};

TapWatch::TapWatch(probe::Loop& loop, Fd tap, trace::Mac1For mac1_for)
    : core_(std::make_shared<Core>(loop, std::move(tap), std::move(mac1_for))) {
  core_->start();
}

TapWatch::~TapWatch() { core_->stop(); }

void TapWatch::set_devices(std::span<const trace::TracedDevice> devices) {
  core_->set_devices(devices);
}
void TapWatch::take(Tapped& into) { core_->take(into); }

}  // namespace wgvitals::collect
