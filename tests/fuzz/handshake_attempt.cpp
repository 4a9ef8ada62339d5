// One attempt at a server: packets, refusals and times in any order, also while its timestamp has
// to wait; and what an attempt says at last is what was really seen.

#include "common/probe/handshake_attempt.h"

#include <cerrno>

#include "tests/fuzz/check.h"
#include "tests/fuzz/wg_exchange.h"

namespace {

using namespace wgvitals::fuzz;
using wgvitals::probe::HandshakeAttempt;
using wgvitals::probe::HandshakeStep;
using wgvitals::probe::HandshakeTarget;
using wgvitals::probe::Timestamps;
using Packet = WgExchange::Packet;
using Kind = wgvitals::probe::HandshakeOutcome::Kind;
using std::chrono::milliseconds;

wgvitals::Endpoint at(std::string_view text, std::uint16_t port) {
  auto endpoint = *wgvitals::parse_address(text);
  endpoint.port = port;
  return endpoint;
}

class Run {
 public:
  Run(WgExchange& exchange, Bytes bytes) : exchange_(exchange), bytes_(bytes) {
    target_.timeout = milliseconds(200);
    target_.retries = static_cast<unsigned>(bytes_.below(3));
    if (bytes_.flag()) {
      target_.tunnel_source = at("10.7.0.2", 0);
      target_.tunnel_address = at("10.7.0.1", 0);
      target_.tunnel_port = bytes_.flag() ? 443 : 0;
    }
    if (bytes_.flag()) target_.step = [](const HandshakeStep& step) { check_text(step.text); };
    attempt_.emplace(
        target_, exchange_.initiator(),
        HandshakeAttempt::Ways{[this](wgvitals::probe::Bytes packet, const wgvitals::Endpoint&) {
                                 return send({packet.begin(), packet.end()});
                               },
                               [this](std::int64_t now_ns, std::int64_t) {
                                 const auto wait_ns =
                                     1'000'000 * static_cast<std::int64_t>(bytes_.below(4));
                                 return Timestamps::Stamp{now_ns + ++stamps_, 0, wait_ns};
                               },
                               [this] { return ++random_; }, [this] { return ++index_; }});
  }

  void go() {
    for (int attempts = 0; attempts < 2; ++attempts) {
      answered_ = false;
      attempt_->begin(server_, now_.mono, now_);
      while (bytes_.more() && !attempt_->is_over()) act();
      for (int i = 0; i < 1000 && !attempt_->is_over(); ++i) pass(attempt_->due() - now_.mono);
      check(attempt_->is_over(), "each attempt ends");
      const auto kind = attempt_->outcome().kind;
      const bool authentic = kind == Kind::ok || kind == Kind::tunnel_dead;
      check(authentic == attempt_->outcome().rtt.has_value(), "a round trip is of an answer");
      check(!authentic || answered_, "authentic is the server's response alone");
      check_text(wgvitals::probe::to_advice(target_, *attempt_, {}));
    }
  }

 private:
  static void check_text(const std::string& text) { check(text.size() < 1024, "a text is short"); }

  HandshakeAttempt::Sending send(Packet packet) {
    constexpr int errors[] = {0, 0, 0, 0, 0, ENETUNREACH, ENOBUFS, EAGAIN};
    sent_ = std::move(packet);
    return {now_.mono, errors[bytes_.below(std::size(errors))]};
  }

  void pass(std::chrono::nanoseconds time) {
    now_.mono += time;
    now_.wall_ns += time.count();
    attempt_->tick(now_);
  }

  void receive(const Packet& packet) {
    attempt_->received(packet, bytes_.flag() ? server_ : at("192.0.2.9", 7), now_.mono, now_);
  }

  void act() {
    switch (bytes_.below(8)) {
      case 0:
        return pass(milliseconds(bytes_.below(250)));
      case 1:
        return pass(attempt_->due() - now_.mono);
      case 2: {
        const auto text = bytes_.text();
        return receive(Packet(text.begin(), text.end()));
      }
      case 3: {
        constexpr int errors[] = {ECONNREFUSED, EHOSTUNREACH, EMSGSIZE};
        return attempt_->refused({false, errors[bytes_.below(3)], 3, 3, 0, server_}, now_.mono);
      }
      case 4:
        if (sent_.size() != wgvitals::probe::initiation_size) return;
        return receive(changed(packet_of(exchange_.server().cookie_reply(
                                   sent_, {static_cast<std::uint8_t>(bytes_.below(4))})),
                               bytes_));
      case 5:
      case 6:
        if (!exchange_.server().consume_initiation(sent_)) return;
        last_response_ = packet_of(exchange_.server().respond(5));
        answered_ = true;
        return receive(bytes_.flag() ? last_response_ : changed(last_response_, bytes_));
      case 7:
        return receive(bytes_.flag() ? last_response_ : exchange_.server().seal(sent_));
    }
  }

  template <class Array>
  static Packet packet_of(const Array& bytes) {
    return {bytes.begin(), bytes.end()};
  }

  WgExchange& exchange_;
  Bytes bytes_;
  HandshakeTarget target_;
  std::optional<HandshakeAttempt> attempt_;
  wgvitals::Endpoint server_ = at("192.0.2.1", 51820);
  wgvitals::Instant now_{HandshakeAttempt::Time(std::chrono::seconds(1000)),
                         1'790'000'000'000'000'000};
  Packet sent_, last_response_;
  std::int64_t stamps_ = 0;
  std::uint32_t random_ = 0, index_ = 0;
  bool answered_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static WgExchange exchange(false);
  exchange.rewind();
  exchange.server().forget_timestamp();
  Run(exchange, Bytes(data, size)).go();
  return 0;
}
