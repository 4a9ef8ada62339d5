// Packets out of a tunnel: any bytes, and answers to what was sent, which must be read as they were
// meant, not at all where one byte of them is wrong, and where the checksums say that it is right
// only for what they are.

#include "common/probe/inner_packet.h"

#include <netinet/in.h>

#include <array>
#include <span>

#include "tests/fuzz/icmp_packet.h"

namespace wgvitals::fuzz {
namespace {

using Kind = probe::InnerAnswer::Kind;

struct Asked {
  probe::InnerPath path;
  std::uint16_t identifier = 0;
  std::uint64_t cookie = 0;
  std::uint32_t tcp_sequence = 0;

  AddressFamily family() const { return path.source.family; }
  bool ipv4() const { return family() == AddressFamily::ipv4; }
  std::uint8_t icmp() const { return ipv4() ? 1 : 58; }
};

Asked take_asked(Bytes& in) {
  Asked asked;
  const auto family = in.flag() ? AddressFamily::ipv4 : AddressFamily::ipv6;
  asked.path = {take_address(in, family), take_address(in, family)};
  asked.path.source.port = in.number<std::uint16_t>();
  asked.path.target.port = in.number<std::uint16_t>();
  asked.identifier = in.number<std::uint16_t>();
  asked.cookie = in.number<std::uint64_t>();
  asked.tcp_sequence = in.number<std::uint32_t>();
  return asked;
}

void put_sum(Packet& packet, std::size_t at, const Packet& summed) {
  const auto sum = static_cast<std::uint16_t>(~probe::to_sum(summed));
  packet[at] = static_cast<std::uint8_t>(sum >> 8);
  packet[at + 1] = static_cast<std::uint8_t>(sum);
}

// With an IP header in front, and all checksums right.
Packet sent_by(const Endpoint& from, const Asked& asked, std::uint8_t protocol, Packet body) {
  const auto& to = asked.path.source;
  const std::size_t at = protocol == IPPROTO_TCP ? 16 : 2;
  if (body.size() >= at + 2) {
    Packet summed;
    if (protocol != IPPROTO_ICMP) {
      put_address(summed, from);
      put_address(summed, to);
      put(summed, body.size(), 4);
      put(summed, protocol, 4);
    }
    body[at] = body[at + 1] = 0;
    summed.insert(summed.end(), body.begin(), body.end());
    put_sum(body, at, summed);
  }
  Packet packet;
  if (asked.ipv4()) {
    packet = {0x45, 0};
    put(packet, 20 + body.size(), 2);
    put(packet, 0, 4);
    packet.push_back(60);
    packet.push_back(protocol);
    put(packet, 0, 2);
  } else {
    packet = {0x60, 0, 0, 0};
    put(packet, body.size(), 2);
    packet.push_back(protocol);
    packet.push_back(60);
  }
  put_address(packet, from);
  put_address(packet, to);
  if (asked.ipv4()) put_sum(packet, 10, packet);
  packet.insert(packet.end(), body.begin(), body.end());
  return packet;
}

std::optional<probe::InnerAnswer> parse(const Packet& packet, const Asked& asked) {
  return probe::parse_inner(packet, asked.path, asked.identifier, asked.cookie, asked.tcp_sequence);
}

Packet echo_of(const Asked& asked, std::uint16_t sequence) {
  Packet packet(128);
  packet.resize(probe::build_echo(asked.path, asked.identifier, sequence, asked.cookie, packet));
  return packet;
}

Packet syn_of(const Asked& asked) {
  Packet packet(128);
  packet.resize(probe::build_syn(asked.path, asked.tcp_sequence, packet));
  return packet;
}

bool has(const Packet& packet, std::span<const std::uint8_t> part) {
  return std::search(packet.begin(), packet.end(), part.begin(), part.end()) != packet.end();
}

// Whatever is taken for an answer has to be one.
void check_claims(const Packet& packet, const Asked& asked) {
  const auto answer = parse(packet, asked);
  if (!answer) return;
  const auto header = asked.ipv4() ? 20u : 40u;
  check(packet.size() >= header + 8, "half a packet is none");
  check(answer->from.family == asked.family(), "who sent it");
  check(probe::to_text_of_icmp(asked.family(), answer->type, answer->code) != nullptr, "words");
  const auto sent = answer->of_tcp ? syn_of(asked) : echo_of(asked, answer->sequence);
  const auto end = std::span(sent).last(36);  // of an echo: behind type, code and checksum
  if (answer->kind == Kind::icmp_error) {
    const auto addresses = std::span(sent).subspan(asked.ipv4() ? 12 : 8, asked.ipv4() ? 8 : 32);
    const Packet body(packet.begin() + header, packet.end());
    check(body.size() >= 8 + header + 8 && has(body, addresses), "an error quotes what was sent");
    return;
  }
  check(answer->from.address == asked.path.target.address, "only the target answers");
  if (answer->kind == Kind::echo_reply) {
    check(has(packet, end), "an echo comes back whole");
  } else {
    check(packet.size() >= header + 20, "half a segment is none");
  }
}

// Right as it is; nothing with one byte of it wrong, or its end missing.
void check_answer(Bytes& in, const Packet& whole, const Asked& asked,
                  const probe::InnerAnswer& meant) {
  const auto more = in.below(16);
  const Packet padding(more, in.number<std::uint8_t>());
  auto padded = whole;
  padded.insert(padded.end(), padding.begin(), padding.end());
  const auto answer = parse(cut(padded, padded.size()), asked);
  check(answer.has_value(), "an answer is read");
  check(answer->kind == meant.kind && answer->sequence == meant.sequence &&
            answer->type == meant.type && answer->code == meant.code &&
            answer->of_tcp == meant.of_tcp && answer->from == meant.from,
        "as it was meant");
  check(!parse(cut(whole, in.below(whole.size())), asked), "half an answer is none");
  const auto at = in.below(whole.size());
  // IPv6: some of its header is in no checksum, and a shorter packet may by chance be right.
  if (!asked.ipv4() && (at < 6 || at == 7)) return;
  auto damaged = whole;
  damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ (1 + in.below(255)));
  check(!parse(damaged, asked), "a damaged answer is none");
}

Endpoint without_port(Endpoint endpoint) {
  endpoint.port = 0;
  return endpoint;
}

struct Answer {
  Packet body;
  std::uint8_t protocol = 0;
  probe::InnerAnswer meant;
};

Answer reply(Bytes& in, const Asked& asked) {
  Answer answer{{}, asked.icmp(), {}};
  answer.meant.sequence = in.number<std::uint16_t>();
  answer.meant.from = without_port(asked.path.target);
  const auto echo = echo_of(asked, answer.meant.sequence);
  answer.body.assign(echo.end() - 40, echo.end());
  answer.body[0] = asked.ipv4() ? 0 : 129;
  return answer;
}

Answer error(Bytes& in, const Asked& asked) {
  constexpr std::array<std::uint8_t, 3> types{3, 11, 12};
  Answer answer{{}, asked.icmp(), {}};
  auto& meant = answer.meant;
  meant.kind = Kind::icmp_error;
  meant.type = asked.ipv4() ? types[in.below(3)] : static_cast<std::uint8_t>(1 + in.below(4));
  meant.code = in.number<std::uint8_t>();
  meant.of_tcp = in.flag();
  if (!meant.of_tcp) meant.sequence = in.number<std::uint16_t>();
  meant.from = take_address(in, asked.family());
  answer.body = {meant.type, meant.code, 0, 0};
  put(answer.body, in.number<std::uint32_t>(), 4);
  const auto quoted = meant.of_tcp ? syn_of(asked) : echo_of(asked, meant.sequence);
  const auto least = (asked.ipv4() ? 20u : 40u) + 8u;
  const auto part = cut(quoted, least + in.below(quoted.size() - least + 1));
  answer.body.insert(answer.body.end(), part.begin(), part.end());
  return answer;
}

Answer tcp(Bytes& in, const Asked& asked) {
  Answer answer{{}, IPPROTO_TCP, {}};
  answer.meant.kind = in.flag() ? Kind::syn_ack : Kind::tcp_reset;
  answer.meant.from = without_port(asked.path.target);
  const auto size = 4 * in.below(11);
  const Packet options(size, in.number<std::uint8_t>());
  auto& body = answer.body;
  put(body, asked.path.target.port, 2);
  put(body, asked.path.source.port, 2);
  put(body, in.number<std::uint32_t>(), 4);
  put(body, asked.tcp_sequence + std::uint32_t{1}, 4);
  body.push_back(static_cast<std::uint8_t>((20 + options.size()) / 4 << 4));
  body.push_back(answer.meant.kind == Kind::syn_ack ? 0x12 : 0x14);
  put(body, in.number<std::uint16_t>(), 2);
  put(body, 0, 4);
  body.insert(body.end(), options.begin(), options.end());
  return answer;
}

Answer any_answer(Bytes& in, const Asked& asked) {
  const auto kind = in.below(3);
  return kind == 0 ? reply(in, asked) : kind == 1 ? error(in, asked) : tcp(in, asked);
}

// Something else than was meant, with right checksums.
void read_mended(Bytes& in, const Asked& asked) {
  auto [body, protocol, meant] = any_answer(in, asked);
  for (auto changes = in.below(4); changes > 0; --changes) {
    const auto at = in.below(body.size());
    body[at] = in.number<std::uint8_t>();
  }
  if (in.flag()) body.resize(in.below(body.size() + 1));
  if (in.rarely()) protocol = in.number<std::uint8_t>();
  check_claims(cut(sent_by(meant.from, asked, protocol, body), 65'535), asked);
}

void read_anything(Bytes& in, const Asked& asked) {
  const bool sound = in.flag();
  const auto from = in.flag() ? asked.path.target : take_address(in, asked.family());
  const auto protocol = in.flag() ? asked.icmp() : in.number<std::uint8_t>();
  const auto text = in.text();
  const Packet body(text.begin(), text.end());
  check_claims(sound ? sent_by(from, asked, protocol, body) : body, asked);
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  fuzz::Bytes in(data, size);
  const auto kind = in.below(3);
  const auto asked = fuzz::take_asked(in);
  if (kind == 0) {
    const auto answer = fuzz::any_answer(in, asked);
    const auto packet = fuzz::sent_by(answer.meant.from, asked, answer.protocol, answer.body);
    fuzz::check_answer(in, packet, asked, answer.meant);
  }
  if (kind == 1) fuzz::read_mended(in, asked);
  if (kind == 2) fuzz::read_anything(in, asked);
  return 0;
}
