// What an outcome usually means, and what to check next. No numbers that change from probe to
// probe: Prometheus has each text as a series.

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "common/base/text.h"
#include "common/probe/handshake_attempt.h"

namespace wgvitals::probe {
namespace {

using Kind = HandshakeOutcome::Kind;

std::string address_of(const Endpoint& endpoint) {
  char text[longest_endpoint];
  return std::string(to_address_text(endpoint, text));
}

std::string base64_of(const PublicKey& key) { return std::string(view(to_base64(key))); }

// Less is a reservation, or two probes of one key.
constexpr std::int64_t noteworthy_ns = 1'000'000'000;

// A server that remembers a later timestamp is silent, like one that does not know the key.
std::string of_clock(const HandshakeTarget& target, const HandshakeEvidence& evidence,
                     const HandshakeSurroundings& here) {
  if (target.ahead.count() > 0) return {};
  const char* const how = " `wgvitals probe handshake --ahead SECONDS` tells.";
  if (evidence.stamp.ahead_ns > noteworthy_ns) {
    return fmt::format(
        " The clock: earlier initiations of this key were stamped later than this host's clock "
        "says "
        "now; it was set back, and the server may remember a later one still.{}",
        how);
  }
  if (!here.clock_is_synchronised) {
    return fmt::format(
        " The clock: this host's is not synchronised; a server that remembers a later timestamp of "
        "this key is silent, too.{}",
        how);
  }
  if (here.state_is_new) {
    return fmt::format(
        " The clock: no timestamp of this key was known here before; a server that remembers a "
        "later one, from elsewhere, is silent, too.{}",
        how);
  }
  return {};
}

std::string of_silence(const HandshakeTarget& target, const HandshakeAttempt& attempt,
                       const HandshakeSurroundings& here) {
  const auto& evidence = attempt.evidence();
  if (evidence.late) {
    return fmt::format(
        "An answer came, but later than {} ms: the way or the server is slow. Next: make timeout "
        "longer.",
        target.timeout.count());
  }
  return fmt::format(
      "No answer: the server does not know this key, the server key is wrong, a firewall drops, or "
      "nobody is there. Next, on the server: does `wg show` have the peer {}; is its own public "
      "key "
      "{}; does `tcpdump udp port {}` see the initiations come?{}",
      base64_of(attempt.initiator().own_key()), base64_of(target.server), target.port,
      of_clock(target, evidence, here));
}

std::string of_closed(const HandshakeTarget& target, const HandshakeAttempt& attempt) {
  const auto& from = attempt.evidence().closed->offender;
  const bool itself = from.address == attempt.server().address;
  return fmt::format(
      "ICMP port unreachable from {}{}: nothing listens on UDP port {}, or a firewall rejects. "
      "Next, on the server: is the interface up, and is this its port (`wg show`, `ss -lun`)?",
      address_of(from), itself ? ", the server itself" : ", which is not the server", target.port);
}

std::string of_unreachable(const HandshakeAttempt& attempt) {
  const auto& error = *attempt.evidence().unreachable;
  const auto server = address_of(attempt.server());
  if (error.own) {
    return fmt::format(
        "It cannot be sent from here: {}. Next: `ip route get {}`, and this host's own firewall.",
        std::generic_category().message(error.number), server);
  }
  return fmt::format(
      "ICMP {} from {}: the way ends there. Next: `wgvitals probe path {}`, and the routes and "
      "firewall of {}.",
      to_text_of_icmp(attempt.server().family, error.type, error.code), address_of(error.offender),
      server, address_of(error.offender));
}

std::string of_tunnel(const HandshakeTarget& target, const HandshakeAttempt& attempt) {
  const auto& evidence = attempt.evidence();
  const auto to = address_of(target.tunnel_address);
  if (evidence.inner_error) {
    return fmt::format(
        "The handshake is good, and inside the tunnel {} says ICMP {}. Next: routes and firewall "
        "of "
        "{} for {}.",
        address_of(evidence.inner_error->from),
        to_text_of_icmp(target.tunnel_address.family, evidence.inner_error->type,
                        evidence.inner_error->code),
        address_of(evidence.inner_error->from), to);
  }
  if (attempt.outcome().tunnel_received > 0) {
    return fmt::format(
        "The tunnel works, but TCP port {} of {} {}. Next: does a service listen on it, and does "
        "the firewall let {} to it?",
        target.tunnel_port, to, evidence.port_open ? "is closed" : "does not answer",
        address_of(target.tunnel_source));
  }
  if (evidence.port_open) {
    return fmt::format(
        "The tunnel works: TCP port {} of {} answers, but no ping does. Next: does {} or a "
        "firewall "
        "before it drop ICMP echoes?",
        target.tunnel_port, to, to);
  }
  return fmt::format(
      "The handshake is good, and {} does not answer inside the tunnel. Next, on the server: do "
      "the "
      "allowed IPs of this peer have {} (`wg show`); does it forward, and does {} know the way "
      "back; does a firewall drop?",
      to, address_of(target.tunnel_source), to);
}

}  // namespace

std::string refuse_key(const PublicKey& own, const PublicKey& server, const Devices& devices) {
  if (own == server) return "the key is the server's: a probe needs one of its own";
  const auto owner = std::find_if(devices.devices.begin(), devices.devices.end(),
                                  [&](const SeenDevice& device) { return device.key == own; });
  if (owner == devices.devices.end()) return {};
  return fmt::format(
      "the key is that of device {}: its session would be taken from it; make one for the probe: "
      "wgvitals probe setup",
      text::to_printable(owner->name));
}

std::string to_advice_on_name(const std::string& host) {
  return fmt::format("The name {} does not resolve. Next: `getent ahosts {}`.", host, host);
}

std::string to_advice(const HandshakeTarget& target, const HandshakeAttempt& attempt,
                      const HandshakeSurroundings& here) {
  switch (attempt.outcome().kind) {
    case Kind::ok:
      return {};
    case Kind::silent:
      return of_silence(target, attempt, here);
    case Kind::closed:
      return of_closed(target, attempt);
    case Kind::unreachable:
      return of_unreachable(attempt);
    case Kind::under_load:
      return "The server lives and has this server key, but it is under load and did not answer "
             "even with its cookie: a flood of handshakes, or its limit of 20 a second for one "
             "address. Whether it knows this probe's key cannot be seen now. Next: look there for "
             "many handshakes (`tcpdump`), and try again.";
    case Kind::psk_mismatch:
      return fmt::format(
          "The server knows this key and answers, but with another preshared key, or one side has "
          "none. Next, on the server: `wg set DEVICE peer {} preshared-key FILE` with the same key "
          "as here, or remove it on both sides.",
          base64_of(attempt.initiator().own_key()));
    case Kind::invalid:
      return fmt::format(
          "Only packets came that are no answer to this handshake: something on the way changes, "
          "cuts or repeats them, or something else answers on port {}. Next: is the port right; "
          "is a middlebox between?",
          target.port);
    case Kind::tunnel_dead:
      return of_tunnel(target, attempt);
    case Kind::name_error:
      return to_advice_on_name(target.host);
  }
  return {};
}

}  // namespace wgvitals::probe
