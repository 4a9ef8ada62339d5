#include "common/probe/loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <exception>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/fd.h"

namespace wgvitals::probe {
namespace {

constexpr std::uint64_t woken = 0, timed = 1, first_watch = 2;  // what epoll says of a descriptor

// A TLS library's write to a connection that has ended shall not end the process.
void block_sigpipe() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGPIPE);
  (void)::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

std::size_t count_places() {
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return Loop::most_places;
  return std::clamp<std::size_t>(descriptors.rlim_cur / 4, 1, Loop::most_places);
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

Fd checked(int fd, const char* what) {
  if (fd < 0) fail(what);
  return Fd(fd);
}

}  // namespace

class Loop::Core {
 public:
  explicit Core(std::shared_ptr<Log> log) : log_(std::move(log)) {}

  // Before the thread is started.
  void open() {
    const std::lock_guard lock(mutex_);
    epoll_ = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    wake_ = checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
    timer_ = checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd");
    control(EPOLL_CTL_ADD, wake_.get(), EPOLLIN, woken);
    control(EPOLL_CTL_ADD, timer_.get(), EPOLLIN, timed);
  }

  void post(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    posted_.push_back(std::move(work));
    wake();
  }

  bool stopping() const { return stopping_; }

  void stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake();
  }

  void watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready) {
    if (stopping_) return;
    auto call = std::make_shared<const Ready>(std::move(ready));
    const auto known = watched_.find(fd);
    if (known != watched_.end()) {
      control(EPOLL_CTL_MOD, fd, events, known->second);
      watches_[known->second].ready = std::move(call);
      return;
    }
    const auto id = next_watch_++;
    control(EPOLL_CTL_ADD, fd, events, id);
    watched_[fd] = id;
    watches_[id].ready = std::move(call);
  }

  void forget(int fd) {
    const auto known = watched_.find(fd);
    if (known == watched_.end()) return;
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    const auto gone = watches_.extract(known->second);  // destroyed once we are in order again
    watched_.erase(known);
  }

  TimerId at(Clock::time_point when, std::function<void()> work) {
    const auto id = next_timer_++;
    if (stopping_) return id;
    const auto place = timers_.emplace(std::pair(when, id), std::move(work)).first;
    times_.emplace(id, when);
    if (place == timers_.begin()) set_timer();
    return id;
  }

  void cancel(TimerId id) {
    const auto time = times_.find(id);
    if (time == times_.end()) return;
    const auto gone = timers_.extract({time->second, id});
    times_.erase(time);
  }

  PlaceId enter(std::function<void()> begin) {
    const auto id = next_place_++;
    waiting_.emplace(id, std::move(begin));
    admit_soon();
    return id;
  }

  void leave(PlaceId id) {
    if (taken_.erase(id) > 0) return admit_soon();
    const auto gone = waiting_.extract(id);
  }

  // The thread.
  void run() {
    block_sigpipe();
    std::array<epoll_event, 128> events;
    while (!stopping_) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
      if (count < 0 && errno != EINTR) {
        log_->error("the loop of the probes ended: " + std::generic_category().message(errno));
        break;
      }
      for (int i = 0; i < count && !stopping_; ++i) {
        const auto& event = events[static_cast<std::size_t>(i)];
        tell(event.data.u64, event.events);
      }
    }
    drop_all();
  }

 private:
  using Ready = std::function<void(std::uint32_t)>;
  struct Watch {
    std::shared_ptr<const Ready> ready;  // shared: it may forget or replace itself while it runs
  };

  void control(int operation, int fd, std::uint32_t events, std::uint64_t id) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) fail("epoll_ctl");
  }

  void wake() const {
    const std::uint64_t one = 1;
    if (wake_) (void)!::write(wake_.get(), &one, sizeof one);
  }

  static void clear(const Fd& fd) {
    std::uint64_t count;
    (void)!::read(fd.get(), &count, sizeof count);
  }

  void tell(std::uint64_t id, std::uint32_t events) {
    if (id == woken) return run_posted();
    if (id == timed) return run_timers();
    const auto found = watches_.find(id);
    if (found == watches_.end()) return;  // forgotten since
    const auto ready = found->second.ready;
    guarded([&] { (*ready)(events); });
  }

  void run_posted() {
    clear(wake_);
    std::vector<std::function<void()>> works;
    {
      const std::lock_guard lock(mutex_);
      works.swap(posted_);
    }
    for (auto& work : works) {
      if (stopping_) return;
      guarded(std::exchange(work, {}));
    }
  }

  // What is due by now; what that adds waits for its own turn, so that sockets get theirs.
  void run_timers() {
    clear(timer_);
    const auto later = timers_.upper_bound({Clock::now(), next_timer_});
    due_.clear();
    for (auto timer = timers_.begin(); timer != later; ++timer) due_.push_back(timer->first);
    for (const auto& key : due_) {
      if (stopping_) return;
      if (times_.erase(key.second) == 0) continue;  // cancelled since
      const auto work = timers_.extract(key);
      guarded(work.mapped());
    }
    set_timer();
  }

  void set_timer() const {
    itimerspec time{};
    if (!timers_.empty()) {
      const auto since = timers_.begin()->first.first.time_since_epoch();
      const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
      time.it_value.tv_sec = nanoseconds / 1'000'000'000;
      time.it_value.tv_nsec = std::max<long>(1, nanoseconds % 1'000'000'000);  // all 0: disarmed
    }
    (void)::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &time, nullptr);
  }

  template <class Work>
  void guarded(const Work& work) const {
    try {
      work();
    } catch (const std::exception& error) {
      log_->error(std::string("a probe failed: ") + error.what());
    } catch (...) {
      log_->error("a probe failed");
    }
  }

  // By a timer, so that those who leave at once and let others in do not call one another.
  void admit_soon() {
    if (waiting_.empty() || std::exchange(admitting_, true)) return;
    at(Clock::now(), [this] {
      admitting_ = false;
      admit();
    });
  }

  void admit() {
    while (!stopping_ && !waiting_.empty() && taken_.size() < places_) {
      const auto next = waiting_.extract(waiting_.begin());
      taken_.insert(next.key());
      guarded(next.mapped());
    }
  }

  // What goes may forget and cancel, and finds everything in order.
  void drop_all() {
    stopping_ = true;
    std::vector<std::function<void()>> works;
    {
      const std::lock_guard lock(mutex_);
      works.swap(posted_);
    }
    works.clear();
    times_.clear();
    std::exchange(timers_, {}).clear();
    std::exchange(waiting_, {}).clear();
    watched_.clear();
    std::exchange(watches_, {}).clear();
  }

  std::shared_ptr<Log> log_;
  Fd epoll_, wake_, timer_;

  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
  std::atomic<bool> stopping_ = false;  // nothing is posted any more once this is set

  // The thread's own. A watch has a number, so that an event of one that is gone is never taken for
  // that of a later one with the same descriptor.
  std::unordered_map<int, std::uint64_t> watched_;
  std::unordered_map<std::uint64_t, Watch> watches_;
  using Due = std::pair<Clock::time_point, TimerId>;
  std::map<Due, std::function<void()>> timers_;
  std::vector<Due> due_;  // scratch
  std::unordered_map<TimerId, Clock::time_point> times_;
  std::uint64_t next_watch_ = first_watch;
  TimerId next_timer_ = 1;
  const std::size_t places_ = count_places();
  std::map<PlaceId, std::function<void()>> waiting_;  // in their order
  std::set<PlaceId> taken_;
  PlaceId next_place_ = 1;
  bool admitting_ = false;  // soon
};

Loop::Loop(StartThread start_thread, std::shared_ptr<Log> log)
    : core_(std::make_shared<Core>(std::move(log))), start_thread_(start_thread) {}

Loop::~Loop() { stop(); }

void Loop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(starting_);
    if (core_->stopping()) return;
    if (!thread_.running()) {
      core_->open();
      thread_.start(start_thread_, "wgv-loop", [core = core_] { core->run(); });
    }
  }
  core_->post(std::move(work));
}

void Loop::watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready) {
  core_->watch(fd, events, std::move(ready));
}
void Loop::forget(int fd) { core_->forget(fd); }
Loop::TimerId Loop::at(Clock::time_point when, std::function<void()> work) {
  return core_->at(when, std::move(work));
}
void Loop::cancel(TimerId timer) { core_->cancel(timer); }

Loop::PlaceId Loop::enter(std::function<void()> begin) { return core_->enter(std::move(begin)); }
void Loop::leave(PlaceId place) { core_->leave(place); }

void Loop::stop() {
  core_->stop();
  { const std::lock_guard lock(starting_); }  // from here on nobody starts it
  (void)thread_.join(std::chrono::seconds(5));
}

}  // namespace wgvitals::probe
