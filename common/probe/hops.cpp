#include "common/probe/hops.h"

#include <sys/epoll.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace wgvitals::probe {
namespace {

constexpr unsigned silent_hops = 5;  // behind the last that answered, as mtr's --max-unknown
constexpr std::uint32_t packet_size = 64;

}  // namespace

HopTable::HopTable(unsigned most) : rows_(std::clamp(most, 1u, most_hops)), end_(most + 1) {}

unsigned HopTable::last_ttl(bool first_round) const {
  const auto most = std::min(static_cast<unsigned>(rows_.size()), end_);
  return first_round ? most : std::min(most, farthest_ + silent_hops);
}

void HopTable::sent(unsigned ttl) { ++rows_[ttl - 1].hop.sent; }

void HopTable::answered(unsigned ttl, const Endpoint& from, std::chrono::nanoseconds took) {
  auto& [hop, who] = rows_[ttl - 1];
  hop.best = hop.received == 0 ? took : std::min(hop.best, took);
  hop.worst = std::max(hop.worst, took);
  hop.last = took;
  hop.total += took;
  ++hop.received;
  farthest_ = std::max(farthest_, ttl);
  const auto known =
      std::find_if(who.begin(), who.end(), [&](const auto& one) { return one.first == from; });
  if (known != who.end()) {
    ++known->second;
  } else {
    who.emplace_back(from, 1);
  }
}

void HopTable::ended(unsigned ttl, bool at_target) {
  if (ttl < end_) reached_ = at_target;
  reached_ = reached_ || (ttl == end_ && at_target);
  end_ = std::min(end_, ttl);
}

HopsResult HopTable::result() const {
  HopsResult result;
  result.reached = reached_;
  const auto count = std::min({rows_.size(), std::size_t{end_}, std::size_t{farthest_}});
  for (const auto& [hop, who] : std::span(rows_).first(count)) {
    auto& told = result.hops.emplace_back(hop);
    told.addresses = static_cast<unsigned>(who.size());
    const auto most = std::max_element(
        who.begin(), who.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most != who.end()) told.address = most->first;
  }
  return result;
}

namespace {

// One run on the loop. Kept alive by what the loop holds of it.
class Trace : public std::enable_shared_from_this<Trace> {
 public:
  Trace(Loop& loop, const HopsQuestion& question, std::function<void(HopsResult)> done)
      : loop_(loop), question_(question), table_(question.max_hops), done_(std::move(done)) {
    question_.rounds = std::clamp(question.rounds, 1u, most_rounds);
  }

  void start() {
    auto socket = EchoSocket::open(question_.path);
    if (!socket) {
      error_ = socket.error();
      return end();
    }
    socket_.emplace(std::move(*socket));
    loop_.watch(socket_->fd(), EPOLLIN,
                [self = shared_from_this()](std::uint32_t) { self->receive(); });
    begun_ = Loop::Clock::now();
    send();
  }

 private:
  using Clock = Loop::Clock;
  struct Probe {
    unsigned ttl;
    Clock::time_point sent;
    bool answered = false;
  };

  Clock::time_point due() const {
    const auto gap = std::min<Clock::duration>(std::chrono::milliseconds(10),
                                               question_.spacing / (question_.max_hops + 1));
    return begun_ + question_.spacing * round_ + gap * (ttl_ - 1);
  }

  void send() {
    if (ttl_ > table_.last_ttl(round_ == 0)) {
      ttl_ = 1;
      ++round_;
    }
    if (round_ == question_.rounds) return await_last();
    if (const auto when = due(); when > Clock::now()) {
      loop_.at(when, [self = shared_from_this()] { self->send(); });
      return;
    }
    const auto ttl = ttl_++;
    probes_.push_back({ttl, Clock::now()});
    const auto sent = socket_->send(static_cast<std::uint16_t>(probes_.size() - 1), packet_size,
                                    static_cast<std::uint8_t>(ttl));
    if (sent) {
      table_.sent(ttl);
    } else {
      error_ = sent.error();
    }
    receive();
    loop_.at(due(), [self = shared_from_this()] { self->send(); });
  }

  void await_last() {
    if (answered_ == probes_.size()) return end();
    const auto last = probes_.empty() ? begun_ : probes_.back().sent;
    timer_ = loop_.at(last + question_.timeout, [self = shared_from_this()] { self->end(); });
  }

  void receive() {
    if (!socket_) return;
    for (EchoAnswer answer; socket_->receive(answer);) take(answer);
    if (timer_ != 0 && answered_ == probes_.size()) end();
  }

  void take(const EchoAnswer& answer) {
    using Kind = EchoAnswer::Kind;
    if (answer.own || answer.sequence >= probes_.size()) return;
    auto& probe = probes_[answer.sequence];
    const bool refused = answer.kind == Kind::unreachable;
    if (refused) {
      error_ = answer.to_error();
    }
    const auto took = answer.at - probe.sent;
    if (probe.answered || took > question_.timeout) return;
    probe.answered = true;
    ++answered_;
    table_.answered(probe.ttl, answer.from, std::max(took, Clock::duration::zero()));
    if (refused || answer.kind == Kind::reply) table_.ended(probe.ttl, !refused);
  }

  void end() {
    if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
    receive();
    if (socket_) loop_.forget(socket_->fd());
    auto result = table_.result();
    if (!result.reached) result.error = error_;
    const auto done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  Loop& loop_;
  HopsQuestion question_;
  HopTable table_;
  std::function<void(HopsResult)> done_;
  std::optional<EchoSocket> socket_;
  std::vector<Probe> probes_;  // by sequence number
  Clock::time_point begun_;
  std::size_t answered_ = 0;
  Loop::TimerId timer_ = 0;  // of the last timeout
  unsigned round_ = 0;
  unsigned ttl_ = 1;
  std::optional<Error> error_;
};

}  // namespace

void trace_hops(Loop& loop, const HopsQuestion& question, std::function<void(HopsResult)> done) {
  loop.post([trace = std::make_shared<Trace>(loop, question, std::move(done))] { trace->start(); });
}

}  // namespace wgvitals::probe
