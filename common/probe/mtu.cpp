#include "common/probe/mtu.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace wgvitals::probe {
namespace {

constexpr unsigned tries = 3;         // a loss is no black hole
constexpr unsigned most_probes = 96;  // more than any search takes
constexpr std::chrono::milliseconds least_timeout(200);

}  // namespace

// RFC 791: 68, RFC 8200: 1280.
MtuSearch::MtuSearch(AddressFamily family, std::uint32_t most)
    : least_(family == AddressFamily::ipv4 ? 68 : 1280),
      usual_(1280),
      fails_(std::max(most, least_) + 1),
      link_(fails_ - 1),
      size_(least_) {}

void MtuSearch::answered(std::uint32_t size) {
  deaf_ = false;
  passes_ = std::max(passes_, size);
  if (passes_ >= fails_) fails_ = link_ + 1;  // what seemed too big was lost, or the path changed
  choose();
}

void MtuSearch::silent() {
  if (size_ == 0 || ++tries_ < tries) return;
  if (passes_ == 0 && size_ == least_) {
    deaf_ = true;
  } else {
    hole_ = true;
    fails_ = std::min(fails_, size_);
  }
  choose();
}

void MtuSearch::refused(std::uint32_t size, std::uint32_t mtu, const Endpoint& by) {
  const bool own = by.family == AddressFamily::none;
  const bool usable = mtu >= least_ && mtu < size && mtu >= passes_;
  if (usable && own) link_ = std::min(link_, mtu);
  if (usable && !own && (told_ == 0 || mtu < told_)) {
    told_ = mtu;
    told_by_ = by;
  }
  fails_ = std::min(fails_, usable ? mtu + 1 : std::max(size, least_ + 1));
  hole_ = !usable;  // what was said is tried first
  choose();
}

void MtuSearch::choose() {
  tries_ = 0;
  if (passes_ + 1 >= fails_ || (deaf_ && (hole_ || told_ != 0))) {
    size_ = 0;
  } else if (passes_ == 0 && !deaf_) {
    size_ = least_;
  } else if (!hole_) {
    size_ = fails_ - 1;
  } else if (passes_ < usual_ && usual_ < fails_) {
    size_ = usual_;
  } else {
    size_ = passes_ + (fails_ - passes_) / 2;
  }
}

MtuResult MtuSearch::result() const {
  using Found = MtuResult::Found;
  MtuResult result;
  result.mtu = passes_;
  result.told = told_;
  result.told_by = told_by_;
  result.found = passes_ == 0       ? Found::nothing
                 : passes_ == told_ ? Found::told
                 : passes_ == link_ ? Found::whole
                                    : Found::searched;
  return result;
}

namespace {

// One search on the loop: a probe, its answer or its timeout, the next. Kept alive by what the loop
// holds of it.
class Search : public std::enable_shared_from_this<Search> {
 public:
  Search(Loop& loop, const MtuQuestion& question, std::function<void(MtuResult)> done)
      : loop_(loop),
        question_(question),
        search_(question.path.to.family, question.most),
        timeout_(question.timeout),
        done_(std::move(done)) {}

  void start() {
    place_ = loop_.enter([self = shared_from_this()] { self->begin(); });
  }

 private:
  void begin() {
    auto socket = EchoSocket::open(question_.path);
    if (!socket) {
      error_ = socket.error();
      return end();
    }
    socket_.emplace(std::move(*socket));
    loop_.watch(socket_->fd(), EPOLLIN,
                [self = shared_from_this()](std::uint32_t) { self->receive(); });
    probe();
  }

  void probe() {
    // What the own link refuses is answered at once, so that several sizes may be tried here.
    while (search_.size() != 0 && sizes_.size() < most_probes) {
      const auto size = search_.size();
      const auto sequence = static_cast<std::uint16_t>(sizes_.size());
      sizes_.push_back(size);
      sent_ = Loop::Clock::now();
      const auto sent = socket_->send(sequence, size);
      if (sent || sent.error().number == ENOBUFS || sent.error().number == EAGAIN) {
        timer_ = loop_.at(sent_ + timeout_, [self = shared_from_this()] {
          self->timer_ = 0;
          self->search_.silent();
          self->probe();
        });
        return;
      }
      if (sent.error().number != EMSGSIZE) {
        error_ = sent.error();
        return end();
      }
      take_answers();
      if (search_.size() == size) search_.refused(size, 0, {});
    }
    end();
  }

  void receive() {
    if (!socket_) return;
    const auto before = search_.size();
    take_answers();
    if (search_.size() == before) return;  // the timer still runs
    cancel();
    probe();
  }

  void take_answers() {
    for (EchoAnswer answer; socket_->receive(answer);) take(answer);
  }

  void take(const EchoAnswer& answer) {
    using Kind = EchoAnswer::Kind;
    if (answer.own) {
      if (answer.kind == Kind::too_big) search_.refused(sizes_.back(), answer.mtu, {});
      return;
    }
    if (answer.sequence >= sizes_.size()) return;
    const auto size = sizes_[answer.sequence];
    const bool last = answer.sequence + 1u == sizes_.size();
    if (answer.kind == Kind::reply) {
      if (last) {
        const auto took = std::chrono::ceil<std::chrono::milliseconds>(answer.at - sent_);
        timeout_ = std::clamp(4 * took, least_timeout, std::max(least_timeout, question_.timeout));
      }
      search_.answered(size);
    } else if (answer.kind == Kind::too_big) {
      search_.refused(size, answer.mtu, answer.from);
    } else {
      error_ = answer.to_error();
    }
  }

  void cancel() {
    if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  }

  void end() {
    cancel();
    if (socket_) loop_.forget(socket_->fd());
    loop_.leave(std::exchange(place_, 0));
    auto result = search_.result();
    result.probes = static_cast<unsigned>(sizes_.size());
    if (result.found == MtuResult::Found::nothing) result.error = error_;
    const auto done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  Loop& loop_;
  MtuQuestion question_;
  MtuSearch search_;
  Loop::Clock::duration timeout_;
  std::function<void(MtuResult)> done_;
  Loop::PlaceId place_ = 0;
  std::optional<EchoSocket> socket_;
  std::vector<std::uint32_t> sizes_;  // by sequence number
  Loop::Clock::time_point sent_;
  Loop::TimerId timer_ = 0;
  std::optional<Error> error_;
};

}  // namespace

void search_mtu(Loop& loop, const MtuQuestion& question, std::function<void(MtuResult)> done) {
  loop.post(
      [search = std::make_shared<Search>(loop, question, std::move(done))] { search->start(); });
}

}  // namespace wgvitals::probe
