#include "common/probe/handshake_attempt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using Kind = HandshakeOutcome::Kind;

constexpr std::chrono::nanoseconds least_gap(Timestamps::least_gap_ns);
// Of a cookie (drivers/net/wireguard/cookie.c, COOKIE_SECRET_MAX_AGE less COOKIE_SECRET_LATENCY).
constexpr std::chrono::seconds cookie_life(115);
constexpr milliseconds inside_gap(100);
constexpr unsigned syns = 3;
constexpr unsigned most_shortages = 10;  // of an attempt, least_gap or inside_gap apart
constexpr std::size_t largest_inside = 512;

bool same_address(const Endpoint& left, const Endpoint& right) {
  return left.family == right.family && left.address == right.address && left.port == right.port;
}

std::string text_of(const Endpoint& endpoint) {
  char text[longest_endpoint];
  return std::string(to_text(endpoint, text));
}

std::string host_of(const Endpoint& endpoint) {
  char text[longest_endpoint];
  return std::string(to_address_text(endpoint, text));
}

// The wall clock, by which the kernel stamps, may have been set in between.
std::chrono::nanoseconds passed(HandshakeAttempt::Time sent, HandshakeAttempt::Time at,
                                const Instant& now) {
  return (at < sent ? now.mono : at) - sent;
}

double to_ms(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

std::string_view to_word(HandshakeOutcome::Kind kind) {
  constexpr std::string_view words[] = {"ok",          "silent",      "closed",
                                        "unreachable", "under_load",  "psk_mismatch",
                                        "invalid",     "tunnel_dead", "name_error"};
  return words[static_cast<std::size_t>(kind)];
}

HandshakeAttempt::HandshakeAttempt(const HandshakeTarget& target, const Initiator& initiator,
                                   Ways ways)
    : target_(target), initiator_(initiator), ways_(std::move(ways)) {
  inner_ = {target.tunnel_source, target.tunnel_address};
  inner_.target.port = target.tunnel_port;
}

// Words are made where somebody listens only.
template <class ToText>
void HandshakeAttempt::step(Time at, ToText&& to_text) {
  if (target_.step) target_.step({at - began_, to_text()});
}

void HandshakeAttempt::begin(const Endpoint& server, Time since, const Instant& now) {
  // One that was answered is answered again by a replay alone.
  if (outcome_.rtt) initiations_.pop_back();
  unanswered_ = std::exchange(initiations_, {});
  outcome_ = {};
  evidence_ = {};
  outcome_.server = server;
  began_ = since;
  echoes_.clear();
  reserved_ = again_ = false;
  timeouts_left_ = target_.retries;
  shortages_left_ = most_shortages;
  if (cookie_ && now.mono - cookie_->at > cookie_life) cookie_.reset();
  phase_ = Phase::begun;
  initiate(now);
}

void HandshakeAttempt::tick(const Instant& now) {
  if (now.mono < due_) return;
  if (phase_ == Phase::tunnel) return send_inside(now.mono);
  if (!std::exchange(again_, false)) {
    // A cookie of earlier that is not answered may be what keeps the server from saying so again.
    if (!outcome_.cookie) cookie_.reset();
    if (timeouts_left_ == 0) return conclude(weigh(), now.mono);
    --timeouts_left_;
  }
  initiate(now);
}

bool HandshakeAttempt::knows(std::uint32_t index) const {
  return std::any_of(initiations_.begin(), initiations_.end(),
                     [index](const Sent& one) { return one.index == index; });
}

const HandshakeAttempt::Sent* HandshakeAttempt::find_earlier(
    std::optional<std::uint32_t> index) const {
  if (index == initiations_.back().index) return nullptr;
  for (const auto* sent : {&initiations_, &unanswered_}) {
    for (const auto& one : *sent) {
      if (one.index == index) return &one;
    }
  }
  return nullptr;
}

HandshakeAttempt::Time HandshakeAttempt::last_initiation() const {
  return initiations_.empty() ? Time() : initiations_.back().at;
}

void HandshakeAttempt::initiate(const Instant& now) {
  if (!std::exchange(reserved_, false)) {
    evidence_.stamp = ways_.stamp(now.wall_ns, target_.ahead.count());
    if (evidence_.stamp.wait_ns > 0) {
      reserved_ = again_ = true;
      due_ = now.mono + std::chrono::nanoseconds(evidence_.stamp.wait_ns);
      return;
    }
  }
  const auto index = ways_.index();
  phase_ = Phase::answer;
  with_mac2_ = cookie_.has_value();
  due_ = now.mono + target_.timeout;
  ++outcome_.initiations;
  initiations_.push_back({index, now.mono});
  const auto message = initiator_.initiate(index, to_tai64n(evidence_.stamp.wall_ns),
                                           cookie_ ? std::optional(cookie_->bytes) : std::nullopt);
  step(now.mono, [&] {
    auto text = fmt::format("initiation {}{} to {}", outcome_.initiations,
                            with_mac2_ ? " with the cookie" : "", text_of(outcome_.server));
    if (const auto ahead = evidence_.stamp.ahead_ns; ahead >= 1'000'000'000) {
      text += fmt::format(", stamped {} s ahead of the clock", ahead / 1'000'000'000);
    }
    return text;
  });
  const auto sending =
      message ? ways_.send(*message, outcome_.server) : Sending{now.mono, message.error().number};
  initiations_.back().at = sending.at;
  if (is_shortage(sending)) {
    again_ = true;
    due_ = sending.at + least_gap;
    return;
  }
  note(sending);
}

// Where buffers are full, of this host's own or of a link, that says nothing of the server.
bool HandshakeAttempt::is_shortage(const Sending& sending) {
  const bool full = sending.error == EAGAIN || sending.error == ENOBUFS || sending.error == ENOMEM;
  if (!full || shortages_left_ == 0) return false;
  --shortages_left_;
  return true;
}

void HandshakeAttempt::note(const Sending& sending) {
  if (sending.error == 0) return;
  evidence_.unreachable = SendError{true, sending.error, 0, 0, 0, {}};
  step(sending.at,
       [&] { return "cannot be sent: " + std::generic_category().message(sending.error); });
}

void HandshakeAttempt::refused(const SendError& error, Time at) {
  if (phase_ != Phase::answer || error.number == EMSGSIZE) return;
  (error.number == ECONNREFUSED ? evidence_.closed : evidence_.unreachable) = error;
  step(at, [&] {
    return fmt::format("ICMP {} from {}",
                       to_text_of_icmp(outcome_.server.family, error.type, error.code),
                       host_of(error.offender));
  });
}

void HandshakeAttempt::received(Bytes packet, const Endpoint& from, Time at, const Instant& now) {
  const auto type = type_of(packet);
  if (phase_ == Phase::tunnel) {
    if (type == MessageType::data) take_data(packet, at, now);
    return;
  }
  if (phase_ != Phase::answer) return;
  // A server whose peer we were a moment ago may still send its data, and initiations of its own.
  if (type == MessageType::data ||
      (type == MessageType::initiation && packet.size() == initiation_size)) {
    return;
  }
  if (type == MessageType::response) return take_response(packet, from, at, now);
  if (type == MessageType::cookie_reply) return take_cookie(packet, from, at);
  evidence_.invalid = true;
  step(at, [&] {
    return fmt::format("{} bytes from {} that are no message of WireGuard's", packet.size(),
                       text_of(from));
  });
}

void HandshakeAttempt::take_response(Bytes packet, const Endpoint& from, Time at,
                                     const Instant& now) {
  const auto& last = initiations_.back();
  switch (initiator_.consume_response(packet)) {
    case Initiator::Verdict::authentic:
      outcome_.rtt = passed(last.at, at, now);
      if (!same_address(from, outcome_.server)) outcome_.answered_from = from;
      step(at, [&] {
        return fmt::format("response from {}, authenticated, after {:.3f} ms", text_of(from),
                           to_ms(*outcome_.rtt));
      });
      return enter_tunnel(now);
    case Initiator::Verdict::psk_mismatch:
      evidence_.psk_mismatch = true;
      step(at,
           [&] { return fmt::format("response from {} that does not decrypt", text_of(from)); });
      return;
    case Initiator::Verdict::invalid:
      break;
  }
  const auto index = receiver_of(packet);
  if (const auto* earlier = find_earlier(index); earlier && initiator_.has_valid_mac1(packet)) {
    evidence_.late = at - earlier->at;
    step(at, [&] {
      return fmt::format("response from {} to an earlier initiation, after {:.3f} ms",
                         text_of(from), to_ms(*evidence_.late));
    });
    return;
  }
  evidence_.invalid = true;
  step(at, [&] {
    return fmt::format("response from {} that is not to be trusted: {} bytes, by {}", text_of(from),
                       packet.size(),
                       packet.size() != response_size ? "length"
                       : index != last.index          ? "index"
                                                      : "MAC1");
  });
}

void HandshakeAttempt::take_cookie(Bytes packet, const Endpoint& from, Time at) {
  const auto bytes = initiator_.consume_cookie_reply(packet);
  if (!bytes) {
    if (find_earlier(receiver_of(packet))) return;
    evidence_.invalid = true;
    step(at, [&] {
      return fmt::format("cookie reply from {} that is not to be trusted", text_of(from));
    });
    return;
  }
  outcome_.cookie = true;
  step(at, [&] { return fmt::format("cookie reply from {}: it is under load", text_of(from)); });
  const bool news = !with_mac2_ || cookie_->bytes != *bytes;
  cookie_ = {*bytes, at};
  // A server may rotate its secret; one that asks for ever is not followed for ever.
  if (!news || again_ || initiations_.size() >= 3 * (target_.retries + 1)) return;
  again_ = true;
  due_ = std::max(at, initiations_.back().at + least_gap);
}

void HandshakeAttempt::enter_tunnel(const Instant& now) {
  if (target_.tunnel_address.family == AddressFamily::none) return conclude(Kind::ok, now.mono);
  phase_ = Phase::tunnel;
  inner_id_ = static_cast<std::uint16_t>(ways_.random());
  inner_cookie_ = std::uint64_t{ways_.random()} << 32 | ways_.random();
  inner_tcp_ = ways_.random();
  inner_.source.port = static_cast<std::uint16_t>(32'768 + ways_.random() % 28'000);
  echoes_.reserve(target_.tunnel_count);
  step(now.mono, [&] {
    return fmt::format("inside, {} echoes to {} from {}", target_.tunnel_count,
                       host_of(inner_.target), host_of(inner_.source));
  });
  tunnel_rtts_ = {};
  syns_sent_ = 0;
  send_inside(now.mono);
}

// The next echo and SYN, or the verdict where the last ones' time is over.
void HandshakeAttempt::send_inside(Time now) {
  std::array<std::uint8_t, 128> packet;
  const bool echo = echoes_.size() < target_.tunnel_count;
  const bool syn = target_.tunnel_port != 0 && !evidence_.port_open && syns_sent_ < syns;
  if (!echo && !syn) return conclude(is_alive() ? Kind::ok : Kind::tunnel_dead, now);
  if (echo) {
    const auto sequence = static_cast<std::uint16_t>(echoes_.size());
    const auto size = build_echo(inner_, inner_id_, sequence, inner_cookie_, packet);
    if (const auto sending = send_message(Bytes(packet).first(size)); !is_shortage(sending)) {
      note(sending);
      ++outcome_.tunnel_sent;
      echoes_.push_back({sending.at, false});
    }
  }
  if (syn) {
    const auto size = build_syn(inner_, inner_tcp_, packet);
    if (const auto sending = send_message(Bytes(packet).first(size)); !is_shortage(sending)) {
      note(sending);
      ++syns_sent_;
    }
  }
  const bool more =
      echoes_.size() < target_.tunnel_count || (target_.tunnel_port != 0 && syns_sent_ < syns);
  due_ = now + (more ? inside_gap : target_.timeout);
}

void HandshakeAttempt::take_data(Bytes packet, Time at, const Instant& now) {
  std::array<std::uint8_t, largest_inside> room;
  if (packet.size() > room.size()) return;
  const auto inside = initiator_.open(packet, room);
  if (!inside) return;
  const auto answer = parse_inner(*inside, inner_, inner_id_, inner_cookie_, inner_tcp_);
  if (!answer) return;
  switch (answer->kind) {
    case InnerAnswer::Kind::echo_reply:
      take_echo(answer->sequence, at, now);
      break;
    case InnerAnswer::Kind::icmp_error:
      evidence_.inner_error = *answer;
      step(at, [&] {
        return fmt::format("inside, ICMP {} from {}",
                           to_text_of_icmp(inner_.target.family, answer->type, answer->code),
                           host_of(answer->from));
      });
      break;
    case InnerAnswer::Kind::syn_ack:
    case InnerAnswer::Kind::tcp_reset:
      take_tcp(answer->kind == InnerAnswer::Kind::syn_ack, at);
      break;
  }
  const bool settled = outcome_.tunnel_received == target_.tunnel_count &&
                       (target_.tunnel_port == 0 || evidence_.port_open);
  if (settled) conclude(is_alive() ? Kind::ok : Kind::tunnel_dead, now.mono);
}

void HandshakeAttempt::take_echo(std::size_t number, Time at, const Instant& now) {
  if (number >= echoes_.size() || std::exchange(echoes_[number].answered, true)) return;
  const auto rtt = passed(echoes_[number].sent, at, now);
  if (rtt > target_.timeout) return;
  ++outcome_.tunnel_received;
  tunnel_rtts_ += rtt;
  step(at, [&] {
    return fmt::format("inside, echo {} answered after {:.3f} ms", number + 1, to_ms(rtt));
  });
}

void HandshakeAttempt::take_tcp(bool open, Time at) {
  if (evidence_.port_open) return;
  evidence_.port_open = open;
  step(at, [&] {
    return fmt::format("inside, TCP port {} is {}", target_.tunnel_port, open ? "open" : "closed");
  });
  if (!open) return;
  std::array<std::uint8_t, 128> packet;
  (void)send_message(Bytes(packet).first(build_rst(inner_, inner_tcp_ + 1, packet)));
}

HandshakeAttempt::Sending HandshakeAttempt::send_message(Bytes inner) {
  std::array<std::uint8_t, 256> message;
  const auto size = initiator_.seal(inner, message);
  return ways_.send(Bytes(message).first(size), outcome_.answered_from.value_or(outcome_.server));
}

bool HandshakeAttempt::is_alive() const {
  return (target_.tunnel_count == 0 || outcome_.tunnel_received > 0) &&
         (target_.tunnel_port == 0 || evidence_.port_open.value_or(false));
}

HandshakeOutcome::Kind HandshakeAttempt::weigh() const {
  return evidence_.psk_mismatch  ? Kind::psk_mismatch
         : outcome_.cookie       ? Kind::under_load
         : evidence_.invalid     ? Kind::invalid
         : evidence_.closed      ? Kind::closed
         : evidence_.unreachable ? Kind::unreachable
                                 : Kind::silent;
}

void HandshakeAttempt::conclude(HandshakeOutcome::Kind kind, Time now) {
  // The session is confirmed by data only: without, the server's own time of the handshake would
  // stay as it was (drivers/net/wireguard/receive.c, wg_noise_received_with_keypair).
  if (initiator_.has_session()) {
    const auto sending = send_message({});
    note(sending);
    if (sending.error == 0) step(now, [] { return "keepalive, which confirms the session"; });
  }
  initiator_.forget();
  if (outcome_.tunnel_received > 0) outcome_.tunnel_rtt = tunnel_rtts_ / outcome_.tunnel_received;
  outcome_.tunnel_port_open = evidence_.port_open;
  outcome_.kind = kind;
  phase_ = Phase::over;
  due_ = never;
}

}  // namespace wgvitals::probe
