#include "common/probe/pinger.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "common/probe/echoes.h"
#include "common/probe/ping_socket.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr milliseconds breath{1};  // between two turns where much is to be done
constexpr milliseconds long_breath{4};
constexpr milliseconds longest_turn{10};  // that is made up for
constexpr double worth_a_turn = 16;       // probes
constexpr milliseconds grace{1};          // from a packet's stamp until it can be read
constexpr seconds longest_retry{30};      // of a socket that cannot be opened
constexpr int most_batches = 1024;        // read in one turn: more than a buffer holds

void wait_for(std::span<pollfd> fds, nanoseconds wait) {
  wait = std::clamp(wait, nanoseconds(0), nanoseconds(seconds(3600)));
  const timespec until{wait.count() / 1'000'000'000, wait.count() % 1'000'000'000};
  if (::ppoll(fds.data(), fds.size(), &until, nullptr) > 0) return;
  for (auto& fd : fds) fd.revents = 0;
}

std::uint64_t random_cookie() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

double random_seed() { return std::random_device{}() / 4294967296.0; }

// What both threads see; the pinger's holds the mutex for a batch at most.
struct Shared {
  struct Use {  // by an owner
    std::uint32_t targets = 0;
    std::uint64_t overflows = 0;  // not told it yet
  };
  struct Path {
    PingPath path;
    std::array<Use, ping_owners> uses;
    std::optional<Error> trouble;

    Use& by(PingOwner owner) { return uses[static_cast<std::size_t>(owner)]; }
    bool used() const {
      return std::any_of(uses.begin(), uses.end(), [](const Use& use) { return use.targets > 0; });
    }
  };

  std::mutex mutex;
  Echoes echoes{random_cookie(), random_seed()};
  std::vector<Path> paths;
  bool paths_changed = false;
  bool stopping = false;
  std::optional<Error> ended;  // why the thread did
  Clock::time_point asleep_until = Echoes::never;
  Fd event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

  void wake() const { (void)::eventfd_write(event.get(), 1); }
};

// The pinger's thread.
class Turns {
 public:
  Turns(Shared& shared, InNamespace in_namespace)
      : shared_(shared), in_namespace_(std::move(in_namespace)) {}

  void run() {
    polled_ = {{shared_.event.get(), POLLIN, 0}};
    for (;;) {
      // Read first: whatever was stamped a little before it is found by the poll that follows.
      const auto now = Clock::now();
      receive();
      Clock::time_point next;
      {
        const std::lock_guard lock(shared_.mutex);
        if (shared_.stopping) return;
        shared_.echoes.expire(now - grace);
        follow_paths();
        breath_ = to_breath();
        due_.clear();
        shared_.echoes.take_due(now + breath_, to_most(now), due_);
      }
      send();
      {
        const std::lock_guard lock(shared_.mutex);
        next = shared_.echoes.next_expiry();
        if (next != Echoes::never) next += grace;
        next = std::min(next, shared_.echoes.next_request());
        shared_.asleep_until = next;
      }
      sleep(next);
    }
  }

 private:
  struct Lane {
    PingPath path;
    std::optional<PingSocket> socket;
    Error trouble{Errc::io, 0, ""};
    Clock::time_point retry;
    seconds wait{1};
  };

  // Turns cost more than what little is done in each. What is due within one leaves together.
  nanoseconds to_breath() const {
    if (shared_.echoes.hasty()) return breath;
    const double ns = worth_a_turn / std::max(shared_.echoes.rate(), 1.0) * 1e9;
    return std::clamp<nanoseconds>(nanoseconds(static_cast<std::int64_t>(ns)), breath, long_breath);
  }

  // A turn sends at most twice what fell due since the last: what was held up is made up for little
  // by little, in no burst whose answers would find a buffer full.
  std::size_t to_most(Clock::time_point now) {
    const std::chrono::duration<double> passed =
        std::clamp<nanoseconds>(now - std::exchange(turn_, now), breath, longest_turn);
    const auto most = static_cast<std::size_t>(shared_.echoes.rate() * 2 * passed.count());
    return std::max(PingBatch::capacity, most);
  }

  void follow_paths() {
    if (!std::exchange(shared_.paths_changed, false)) return;
    lanes_.resize(shared_.paths.size());
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      const auto& path = shared_.paths[i];
      if (path.used() && path.path == lanes_[i].path) continue;
      lanes_[i] = {};
      lanes_[i].path = path.path;
    }
    poll_lanes();
  }

  void poll_lanes() {
    polled_.resize(1);
    polled_lanes_.clear();
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      if (!lanes_[i].socket) continue;
      polled_.push_back({lanes_[i].socket->fd.get(), POLLIN, 0});
      polled_lanes_.push_back(i);
    }
  }

  void receive() {
    wait_for(polled_, nanoseconds(0));
    if (polled_[0].revents != 0) {
      eventfd_t count = 0;
      (void)::eventfd_read(shared_.event.get(), &count);
    }
    for (std::size_t i = 1; i < polled_.size(); ++i) {
      const auto lane = polled_lanes_[i - 1];
      if ((polled_[i].revents & POLLERR) != 0) (void)receive_errors(*lanes_[lane].socket);
      if ((polled_[i].revents & POLLIN) != 0) receive_from(lane);
    }
  }

  void receive_from(std::size_t lane) {
    auto& socket = *lanes_[lane].socket;
    bool more = true;
    for (int batch = 0; more && batch < most_batches; ++batch) {
      const auto before = socket.overflows;
      const auto received = inbox_.receive(socket, more);
      const auto now = read_clocks();
      const std::lock_guard lock(shared_.mutex);
      for (auto& use : shared_.paths[lane].uses) use.overflows += socket.overflows - before;
      for (const auto& one : received) shared_.echoes.expect(one.message);
      for (const auto& one : received) {
        if (one.message.kind == IcmpMessage::Kind::reply) {
          shared_.echoes.answered(one.message, one.from, one.ttl, one.stamp_ns, now);
        } else {
          shared_.echoes.refused(socket.family, one.message);
        }
      }
    }
  }

  // false: there were none.
  bool receive_errors(PingSocket& socket) {
    bool any = false;
    bool more = true;
    for (int batch = 0; more && batch < most_batches; ++batch) {
      const auto received = inbox_.receive_errors(socket, more);
      any = any || more;
      const std::lock_guard lock(shared_.mutex);
      for (const auto& one : received) shared_.echoes.refused(socket.family, one.message);
    }
    int error = 0;  // else poll says so again
    socklen_t size = sizeof error;
    (void)::getsockopt(socket.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    return any;
  }

  void send() {
    std::sort(due_.begin(), due_.end(), [](const auto& left, const auto& right) {
      return left.path != right.path ? left.path < right.path : left.due < right.due;
    });
    for (std::span<const Echoes::Request> rest(due_); !rest.empty();) {
      std::size_t count = 1;
      const auto most = std::min(rest.size(), PingBatch::capacity);
      while (count < most && rest[count].path == rest[0].path) ++count;
      rest = rest.subspan(send(rest.first(count)));
    }
  }

  // Of one path. How many were dealt with.
  std::size_t send(std::span<const Echoes::Request> requests) {
    auto& lane = lanes_[requests[0].path];
    if (!lane.socket && !open(requests[0].path)) return refuse(requests, lane.trouble);
    batch_.clear();
    for (const auto& request : requests) batch_.put(*lane.socket, request);
    std::size_t done = 0;
    for (int tries = 0; done < requests.size();) {
      const auto now = read_clocks();
      const auto sent = batch_.send(*lane.socket, done);
      const int error = sent ? 0 : sent.error().number;
      // It may be the error that came for another packet, told once.
      if (!sent && tries++ < 3 && receive_errors(*lane.socket)) continue;
      tries = 0;
      const std::lock_guard lock(shared_.mutex);
      if (sent) {
        for (const auto& request : requests.subspan(done, *sent)) shared_.echoes.sent(request, now);
        done += *sent;
      } else if (error == EAGAIN || error == ENOBUFS || error == ENOMEM) {
        for (const auto& request : requests.subspan(done))
          shared_.echoes.postponed(request, now.mono, now.mono + breath, error);
        return requests.size();
      } else {
        shared_.echoes.unsent(requests[done++], now.mono, error);
        if (lane.path.device.empty() || !is_of_another_device(error, lane)) continue;
        lane.socket.reset();  // the device is another one now, or none
        poll_lanes();
        return done;
      }
    }
    return done;
  }

  // A socket stays bound to the number of a device that is gone. IPv4 says so, IPv6 knows no route.
  static bool is_of_another_device(int error, const Lane& lane) {
    if (error == ENODEV || error == ENXIO) return true;
    return error == ENETUNREACH && !is_bound_to(*lane.socket, lane.path.device);
  }

  std::size_t refuse(std::span<const Echoes::Request> requests, const Error& why) {
    const int error = why.number != 0 ? why.number : why.code == Errc::denied ? EPERM : ENODEV;
    const auto now = Clock::now();
    const std::lock_guard lock(shared_.mutex);
    for (const auto& request : requests) shared_.echoes.unsent(request, now, error);
    return requests.size();
  }

  bool open(std::size_t at) {
    auto& lane = lanes_[at];
    const auto now = Clock::now();
    if (now < lane.retry) return false;
    // Each has another, so that none hears the others' answers.
    const auto id = static_cast<std::uint16_t>(first_id_ + at);
    auto opened = open_ping_socket(lane.path, in_namespace_, id);
    const std::lock_guard lock(shared_.mutex);
    auto& trouble = shared_.paths[at].trouble;
    if (opened) {
      trouble.reset();
      lane.wait = seconds(1);
      lane.socket = std::move(*opened);
      poll_lanes();
      return true;
    }
    trouble = lane.trouble = opened.error();
    lane.retry = now + lane.wait;
    lane.wait = std::min(lane.wait * 2, longest_retry);
    return false;
  }

  // Until something is due, comes or is wanted.
  void sleep(Clock::time_point next) {
    if (thick_) wait_for(std::span(polled_).first(1), woken_ + breath_ - Clock::now());
    wait_for(polled_, next == Echoes::never ? nanoseconds::max() : next - Clock::now());
    const auto now = Clock::now();
    thick_ = now - woken_ < breath_ * 3 / 2;
    woken_ = now;
  }

  Shared& shared_;
  InNamespace in_namespace_;
  std::size_t first_id_ = std::random_device{}();
  std::vector<Lane> lanes_;  // by path
  std::vector<pollfd> polled_;
  std::vector<std::size_t> polled_lanes_;
  std::vector<Echoes::Request> due_;
  PingBatch batch_;
  PingInbox inbox_;
  nanoseconds breath_ = breath;
  Clock::time_point turn_, woken_;
  bool thick_ = false;
};

void run(Shared& shared, const InNamespace& in_namespace) {
  std::string why;
  try {
    Turns(shared, in_namespace).run();
    return;
  } catch (const std::exception& error) {
    why = error.what();
  } catch (...) {
    why = "unknown";
  }
  const std::lock_guard lock(shared.mutex);
  shared.ended = Error{Errc::io, 0, "the thread that pings ended: " + why};
}

class OwnPinger final : public Pinger {
 public:
  OwnPinger(StartThread start_thread, InNamespace in_namespace)
      : start_thread_(start_thread), in_namespace_(std::move(in_namespace)) {}
  ~OwnPinger() override { OwnPinger::stop(); }

  Result<PingId> add(PingOwner owner, const PingTarget& target) override {
    if (auto begun = begin(); !begun) return begun.error();
    const std::lock_guard lock(shared_->mutex);
    const auto path = find_path(target.path);
    auto id = shared_->echoes.add(owner, target, path, Clock::now());
    if (!id) return id;
    shared_->paths_changed = shared_->paths_changed || !shared_->paths[path].used();
    auto& use = shared_->paths[path].by(owner);
    if (use.targets++ == 0) use.overflows = 0;
    wake_if_due();
    return id;
  }

  void remove(PingId id) override {
    const std::lock_guard lock(shared_->mutex);
    const auto removed = shared_->echoes.remove(id);
    auto& path = shared_->paths[removed.path];
    --path.by(removed.owner).targets;
    if (path.used()) return;
    path.trouble.reset();
    shared_->paths_changed = true;
  }

  void move(PingId id, const Endpoint& address) override {
    const std::lock_guard lock(shared_->mutex);
    shared_->echoes.move(id, address);
  }

  bool take(PingOwner owner, std::vector<PingOutcome>& into) override {
    const std::lock_guard lock(shared_->mutex);
    return shared_->echoes.take(owner, into);
  }

  void gathered() override {
    const std::lock_guard lock(shared_->mutex);
    shared_->echoes.gathered(Clock::now());
    wake_if_due();
  }

  std::vector<Error> failures(PingOwner owner) override {
    std::vector<Error> failures;
    std::uint64_t lost = 0;
    bool uses = false;
    const std::lock_guard lock(shared_->mutex);
    for (auto& path : shared_->paths) {
      auto& use = path.by(owner);
      if (use.targets == 0) continue;
      uses = true;
      if (path.trouble) failures.push_back(*path.trouble);
      lost += std::exchange(use.overflows, 0);
    }
    if (lost > 0) {
      failures.push_back({Errc::io, ENOBUFS,
                          std::to_string(lost) +
                              " answers were lost in our own socket's buffer: needs "
                              "CAP_NET_ADMIN, or sysctl net.core.rmem_max=16777216"});
    }
    if (uses && shared_->ended) failures.push_back(*shared_->ended);
    return failures;
  }

  void stop() override {
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->stopping = true;
    }
    shared_->wake();
    (void)thread_.join(seconds(2));
  }

 private:
  Result<Done> begin() {
    if (thread_.running()) return Done{};
    if (shared_->stopping) return Error{Errc::io, 0, "stopped"};
    if (!shared_->event) return Error{Errc::io, EMFILE, "eventfd"};
    try {
      thread_.start(start_thread_, "wgv-ping", [shared = shared_, in_namespace = in_namespace_] {
        run(*shared, in_namespace);
      });
    } catch (const std::system_error& error) {
      return Error{Errc::io, error.code().value(), "the thread that pings"};
    }
    return Done{};
  }

  std::uint32_t find_path(const PingPath& wanted) {
    auto& paths = shared_->paths;
    auto at = std::find_if(paths.begin(), paths.end(),
                           [&](const auto& path) { return path.used() && path.path == wanted; });
    if (at == paths.end()) {
      at = std::find_if(paths.begin(), paths.end(), [](const auto& path) { return !path.used(); });
      if (at == paths.end()) at = paths.emplace(at);
      at->path = wanted;
    }
    return static_cast<std::uint32_t>(at - paths.begin());
  }

  void wake_if_due() {
    const auto next = shared_->echoes.next_request();
    if (next >= shared_->asleep_until) return;
    shared_->asleep_until = next;
    shared_->wake();
  }

  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  StartThread start_thread_;
  InNamespace in_namespace_;
  Thread thread_;
};

}  // namespace

std::unique_ptr<Pinger> make_pinger(StartThread start_thread, InNamespace in_namespace) {
  return std::make_unique<OwnPinger>(start_thread, std::move(in_namespace));
}

}  // namespace wgvitals::probe
