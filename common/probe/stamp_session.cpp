#include "common/probe/stamp_session.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace wgvitals::probe {
namespace {

constexpr std::int64_t millisecond = 1'000'000;

std::optional<double> percent(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return std::nullopt;
  return 100 * static_cast<double>(part) / static_cast<double>(whole);
}

void add(StampWindow::Mean& mean, const StampWindow::Mean& later) {
  mean.sum += later.sum;
  mean.count += later.count;
}

// A peer's clock may say anything.
std::int64_t subtract(std::int64_t left, std::int64_t right) {
  std::int64_t difference = 0;
  if (!__builtin_sub_overflow(left, right, &difference)) return difference;
  return left < right ? std::numeric_limits<std::int64_t>::min()
                      : std::numeric_limits<std::int64_t>::max();
}

}  // namespace

std::optional<double> StampWindow::lost_forward_percent() const {
  return percent(lost_forward, directed);
}

std::optional<double> StampWindow::lost_backward_percent() const {
  return percent(lost_backward, directed - lost_forward);
}

void StampWindow::add(const StampWindow& later) {
  sent += later.sent;
  received += later.received;
  directed += later.directed;
  lost_forward += later.lost_forward;
  lost_backward += later.lost_backward;
  duplicates_forward += later.duplicates_forward;
  duplicates_backward += later.duplicates_backward;
  probe::add(rtt, later.rtt);
  probe::add(ipdv_forward, later.ipdv_forward);
  probe::add(ipdv_backward, later.ipdv_backward);
  probe::add(delay_forward, later.delay_forward);
  probe::add(delay_backward, later.delay_backward);
  disproved = disproved || later.disproved;
}

StampRequest StampSession::next(Moment now, const StampClock& clock) const {
  return {first_number_ + static_cast<std::uint32_t>(packets_.size()), to_ntp(now.wall),
          to_stamp_error(clock.synchronised, clock.error_ns), 0};
}

void StampSession::sent(const StampRequest& request, Moment when) {
  Packet packet;
  packet.stamp = request.sent;
  packet.sent = when;
  packet.floor = highest_;
  packets_.push_back(packet);
}

StampSession::Packet* StampSession::find(std::uint32_t number) {
  const std::uint32_t place = number - first_number_;
  return place < packets_.size() ? &packets_[place] : nullptr;
}

StampSession::Arrival StampSession::received(const StampReply& reply, Moment when,
                                             const StampClock& clock) {
  const auto ours = reply.request.number;
  auto* packet = find(ours);
  if (packet == nullptr || packet->stamp != reply.request.sent || packet->lost ||
      when.monotonic - packet->sent.monotonic > timeout_) {
    return Arrival::ignored;
  }
  number(*packet, reply.number);
  if (packet->answered) return Arrival::duplicate;
  packet->answered = true;
  ++window_.sent;
  ++window_.received;
  time(*packet, reply, when, clock);
  const auto* before = previous_ ? &*previous_ : nullptr;
  compare(ours == first_number_ ? before : find(ours - 1), packet);
  compare(packet, find(ours + 1));
  return Arrival::answer;
}

void StampSession::number(Packet& packet, std::uint32_t theirs) {
  if (theirs <= packet.floor) begin_count();
  highest_ = std::max<std::int64_t>(highest_, theirs);
  const auto* begin = packet.numbers.data();
  const auto* end = begin + packet.number_count;
  if (std::find(begin, end, theirs) != end) {
    ++packet.copies;
  } else if (packet.number_count < most_numbers) {
    packet.numbers[packet.number_count++] = theirs;
  }
}

// What was numbered so far has nothing to do with what follows.
void StampSession::begin_count() {
  highest_ = -1;
  stateful_ = false;
  base_.reset();
  run_ = {};
  for (auto& packet : packets_) {
    packet.floor = -1;
    packet.number_count = 0;
  }
}

void StampSession::time(Packet& packet, const StampReply& reply, Moment when,
                        const StampClock& clock) {
  const auto to_time = [&](std::uint64_t stamp) {
    return reply.error.ptp ? from_ptp(stamp, when.wall) : from_ntp(stamp, when.wall);
  };
  const auto there = to_time(reply.received);
  const auto back = to_time(reply.sent);
  if (!there || !back) return;
  const auto inside = subtract(*back, *there);
  const auto total = when.monotonic - packet.sent.monotonic;
  if (inside < 0 || inside > total) return;  // its clock was set meanwhile
  packet.timed = true;
  packet.there = *there;
  packet.rtt = total - inside;
  window_.rtt.add_ns(packet.rtt);

  // One way: where nobody's clock is in doubt, PTP's epoch included, and ours was not set.
  const auto& error = reply.error;
  if (!clock.synchronised || !error.synchronised || error.ptp || error.multiplier == 0) return;
  const auto passed = subtract(when.wall, packet.sent.wall);
  if (passed < total - millisecond || passed > total + millisecond) return;
  const auto forward = subtract(*there, packet.sent.wall);
  const auto backward = subtract(when.wall, *back);
  const auto least = subtract(-clock.error_ns, to_nanoseconds(error));
  if (forward < least || backward < least) window_.disproved = true;
  window_.delay_forward.add_ns(forward);
  window_.delay_backward.add_ns(backward);
}

// By differences alone, in which the clocks' offset has no part, as long as it is one and the same:
// there must be one by which no delay of both packets is negative.
void StampSession::compare(const Packet* first, const Packet* second) {
  if (first == nullptr || second == nullptr || !first->timed || !second->timed) return;
  const auto apart = second->sent.monotonic - first->sent.monotonic;
  const auto forward = subtract(subtract(second->there, first->there), apart);
  if (forward < -first->rtt || forward > second->rtt) return;
  const auto backward = second->rtt - first->rtt - forward;
  window_.ipdv_forward.add_ns(std::abs(forward));
  window_.ipdv_backward.add_ns(std::abs(backward));
}

unsigned StampSession::expire(std::int64_t monotonic_ns) {
  unsigned lost = 0;
  for (; resolved_ < packets_.size(); ++resolved_) {
    auto& packet = packets_[resolved_];
    if (monotonic_ns - packet.sent.monotonic <= timeout_) break;
    if (packet.answered) continue;
    packet.lost = true;
    ++window_.sent;
    ++lost;
  }
  while (!packets_.empty() && monotonic_ns - packets_.front().sent.monotonic > 2 * timeout_) {
    settle_front();
  }
  while (!settled_.empty() && is_final(settled_.front(), monotonic_ns)) {
    tell(settled_.front());
    settled_.pop_front();
  }
  return lost;
}

void StampSession::settle_front() {
  const auto& packet = previous_.emplace(packets_.front());
  const auto ours = first_number_++;
  packets_.pop_front();
  --resolved_;
  if (run_.sent++ == 0) run_.begun = packet.sent.monotonic;
  if (!packet.answered) ++run_.lost;
  run_.seen += packet.number_count;
  run_.copies += packet.copies;
  for (std::size_t i = 0; i < packet.number_count; ++i) {
    run_.highest = std::max<std::int64_t>(run_.highest, packet.numbers[i]);
    if (packet.numbers[i] != ours) stateful_ = true;
  }
  if (packet.number_count > 0 && ends_run()) settle_run();
}

bool StampSession::ends_run() const {
  return std::none_of(packets_.begin(), packets_.end(), [&](const Packet& packet) {
    const auto* begin = packet.numbers.data();
    return std::any_of(begin, begin + packet.number_count,
                       [&](std::uint32_t number) { return number < run_.highest; });
  });
}

void StampSession::settle_run() {
  const auto run = std::exchange(run_, {});
  const auto base = std::exchange(base_, run.highest);
  if (!base || !stateful_) return;
  const auto grown = static_cast<std::uint64_t>(run.highest - *base);
  if (grown > 2 * (run.sent + packets_.size()) + 8) {
    stateful_ = false;
    return;
  }
  const auto never_came = grown - std::min(grown, run.seen);
  Settled settled;
  settled.sent = previous_->sent.monotonic;
  settled.packets = run.sent;
  settled.backward = std::min(never_came, run.lost);
  settled.forward = run.lost - settled.backward;
  settled.spare = never_came - settled.backward;
  const auto reached = run.sent - settled.forward;
  settled.copies_there = grown - std::min(grown, reached);
  settled.copies_back = run.copies;
  match(settled);
  settled_.push_back(settled);
}

void StampSession::match(Settled& run) {
  const auto turn = [](Settled& lost, Settled& spare) {
    const auto count = std::min({lost.forward, spare.spare, spare.copies_there});
    lost.forward -= count;
    lost.backward += count;
    spare.spare -= count;
    spare.copies_there -= count;
  };
  for (auto& other : settled_) {
    if (run.forward == 0 && run.spare == 0) return;
    turn(run, other);
    turn(other, run);
  }
}

// No run within a timeout behind it can have to do with it any more.
bool StampSession::is_final(const Settled& run, std::int64_t monotonic_ns) const {
  if (run.forward == 0 && run.spare == 0) return true;
  return monotonic_ns - run.sent > 3 * timeout_ &&
         (run_.sent == 0 || run_.begun - run.sent > timeout_);
}

void StampSession::tell(const Settled& run) {
  window_.directed += run.packets;
  window_.lost_forward += run.forward;
  window_.lost_backward += run.backward;
  window_.duplicates_forward += run.copies_there;
  window_.duplicates_backward += run.copies_back;
}

std::optional<std::uint32_t> StampNumbers::next(const Endpoint& sender, std::uint16_t session,
                                                Clock::time_point now) {
  const Key key{sender.address,
                {static_cast<std::uint32_t>(sender.family), sender.scope, sender.port, session}};
  auto found = senders_.find(key);
  if (found == senders_.end()) {
    // Looked through at most once a second, however many come.
    if (senders_.size() >= most_ && now - swept_ >= std::chrono::seconds(1)) {
      swept_ = now;
      std::erase_if(senders_, [&](const auto& one) { return now - one.second.last >= idle_; });
    }
    if (senders_.size() >= most_) return std::nullopt;
    found = senders_.try_emplace(key).first;
  }
  found->second.last = now;
  return found->second.next++;
}

bool Allowance::take(Clock::time_point now) {
  if (last_) {
    const std::chrono::duration<double> passed = now - *last_;
    left_ = std::min(rate_, left_ + rate_ * passed.count());
  }
  last_ = now;
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

}  // namespace wgvitals::probe
