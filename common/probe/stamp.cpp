#include "common/probe/stamp.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>

namespace wgvitals::probe {
namespace {

__extension__ using Wide = __int128;

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t ntp_epoch = 2'208'988'800;  // 1970 in seconds since 1900 (RFC 5905 figure 4)
constexpr auto largest = std::numeric_limits<std::int64_t>::max();

// Where the fields are.
constexpr std::size_t number_at = 0, sent_at = 4, error_at = 12, session_at = 14;
constexpr std::size_t received_at = 16, request_number_at = 24, request_sent_at = 28;
constexpr std::size_t request_error_at = 36, ttl_at = 40;

template <class Number>
Number get(std::span<const std::byte> packet, std::size_t at) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    number = number << 8u | std::to_integer<std::uint64_t>(packet[at + i]);
  }
  return static_cast<Number>(number);
}

template <class Number>
void put(std::span<std::byte> packet, std::size_t at, Number number) {
  for (std::size_t i = 0; i < sizeof number; ++i) {
    const auto shift = 8 * (sizeof number - 1 - i);
    packet[at + i] = static_cast<std::byte>(static_cast<std::uint64_t>(number) >> shift & 0xffu);
  }
}

StampError to_error(std::uint16_t bits) {
  return {(bits & 0x8000u) != 0, (bits & 0x4000u) != 0,
          static_cast<std::uint8_t>(bits >> 8u & 0x3fu), static_cast<std::uint8_t>(bits & 0xffu)};
}

std::uint16_t to_bits(const StampError& error) {
  return static_cast<std::uint16_t>((error.synchronised ? 0x8000u : 0u) |
                                    (error.ptp ? 0x4000u : 0u) | (error.scale & 0x3fu) << 8u |
                                    error.multiplier);
}

// Seconds that are known but for multiples of 2^32, next to `near` seconds.
std::int64_t unfold(std::uint32_t seconds, std::int64_t near) {
  const auto apart = seconds - static_cast<std::uint32_t>(static_cast<std::uint64_t>(near));
  return near + std::bit_cast<std::int32_t>(apart);
}

std::int64_t to_time(std::int64_t seconds, std::int64_t nanoseconds) {
  const auto time = Wide{seconds} * second + nanoseconds;
  return static_cast<std::int64_t>(std::clamp<Wide>(time, -largest, largest));
}

std::int64_t floor_seconds(std::int64_t time_ns) {
  return time_ns / second - (time_ns % second < 0 ? 1 : 0);
}

}  // namespace

StampError to_stamp_error(bool synchronised, std::int64_t error_ns) {
  const auto wide = Wide{std::max<std::int64_t>(error_ns, 0)} << 32u;
  auto units = (wide + second - 1) / second;  // of 2^-32 s
  StampError error;
  error.synchronised = synchronised;
  for (; units > 0xff; units = units / 2 + units % 2) ++error.scale;
  error.multiplier = static_cast<std::uint8_t>(std::max<Wide>(units, 1));
  return error;
}

std::int64_t to_nanoseconds(const StampError& error) {
  const auto wide = (Wide{error.multiplier} * second) << error.scale;  // below 2^102
  const auto rounded = (wide + ((Wide{1} << 32u) - 1)) >> 32u;
  return static_cast<std::int64_t>(std::min<Wide>(rounded, largest));
}

std::uint64_t to_ntp(std::int64_t time_ns) {
  const auto seconds = floor_seconds(time_ns);
  const auto rest = static_cast<std::uint64_t>(time_ns - seconds * second);
  const auto fraction = (rest << 32u) / second;  // from_ntp() rounds
  return static_cast<std::uint64_t>(seconds + ntp_epoch) << 32u | fraction;
}

std::int64_t from_ntp(std::uint64_t stamp, std::int64_t near_ns) {
  const auto seconds =
      unfold(static_cast<std::uint32_t>(stamp >> 32u), floor_seconds(near_ns) + ntp_epoch);
  const auto rest = ((stamp & 0xffff'ffffu) * second + (1u << 31u)) >> 32u;
  return to_time(seconds - ntp_epoch, static_cast<std::int64_t>(rest));
}

std::optional<std::int64_t> from_ptp(std::uint64_t stamp, std::int64_t near_ns) {
  const auto rest = static_cast<std::int64_t>(stamp & 0xffff'ffffu);
  if (rest >= second) return std::nullopt;
  return to_time(unfold(static_cast<std::uint32_t>(stamp >> 32u), floor_seconds(near_ns)), rest);
}

void write_stamp(const StampRequest& request, std::span<std::byte> packet) {
  assert(packet.size() >= stamp_size);
  std::ranges::fill(packet, std::byte{0});
  put(packet, number_at, request.number);
  put(packet, sent_at, request.sent);
  put(packet, error_at, to_bits(request.error));
  put(packet, session_at, request.session);
}

std::optional<StampRequest> parse_stamp_request(std::span<const std::byte> packet) {
  if (packet.size() < least_stamp_size) return std::nullopt;
  const auto rest = packet.first(std::min(packet.size(), stamp_size)).subspan(received_at);
  const bool padded =
      std::ranges::any_of(rest, [](std::byte byte) { return byte != std::byte{0}; });
  return StampRequest{get<std::uint32_t>(packet, number_at), get<std::uint64_t>(packet, sent_at),
                      to_error(get<std::uint16_t>(packet, error_at)),
                      padded ? std::uint16_t{0} : get<std::uint16_t>(packet, session_at)};
}

std::optional<StampReply> parse_stamp_reply(std::span<const std::byte> packet) {
  if (packet.size() < least_stamp_size) return std::nullopt;
  StampReply reply;
  reply.number = get<std::uint32_t>(packet, number_at);
  reply.sent = get<std::uint64_t>(packet, sent_at);
  reply.error = to_error(get<std::uint16_t>(packet, error_at));
  reply.session = get<std::uint16_t>(packet, session_at);
  reply.received = get<std::uint64_t>(packet, received_at);
  reply.request.number = get<std::uint32_t>(packet, request_number_at);
  reply.request.sent = get<std::uint64_t>(packet, request_sent_at);
  reply.request.error = to_error(get<std::uint16_t>(packet, request_error_at));
  reply.ttl = get<std::uint8_t>(packet, ttl_at);
  return reply;
}

void write_stamp(const StampReply& reply, std::span<std::byte> request) {
  assert(request.size() >= least_stamp_size);
  std::ranges::fill(request.first(std::min(request.size(), stamp_size)), std::byte{0});
  put(request, number_at, reply.number);
  put(request, sent_at, reply.sent);
  put(request, error_at, to_bits(reply.error));
  put(request, session_at, reply.session);
  put(request, received_at, reply.received);
  put(request, request_number_at, reply.request.number);
  put(request, request_sent_at, reply.request.sent);
  put(request, request_error_at, to_bits(reply.request.error));
  put(request, ttl_at, reply.ttl);
}

}  // namespace wgvitals::probe
