// Packets of STAMP's unauthenticated mode: RFC 8762 sections 4.2.1 and 4.3.1, with the session
// identifier of RFC 8972 section 3. Those of TWAMP-Test (RFC 5357 sections 4.1.2 and 4.2.1), which
// TWAMP light speaks too, have the same fields in the same places, but may be shorter. Pure: bytes
// to values and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace wgvitals::probe {

constexpr std::size_t stamp_size = 44;  // of a base packet, both ways
// TWAMP's reflected packet ends behind the sender's TTL; a request may be as short as this.
constexpr std::size_t least_stamp_size = 41;

// How wrong a clock may be, as packets carry it (RFC 4656 section 4.1.2, RFC 8186 section 2.3):
// multiplier * 2^scale / 2^32 seconds.
struct StampError {
  bool synchronised = false;    // S: to UTC, by something outside
  bool ptp = false;             // Z: the time stamps are PTP's, else NTP's
  std::uint8_t scale = 0;       // 0 to 63
  std::uint8_t multiplier = 1;  // 0 is against the RFC
  friend bool operator==(const StampError&, const StampError&) = default;
};

// The smallest that is not below `error_ns`; from 0 up.
StampError to_stamp_error(bool synchronised, std::int64_t error_ns);
std::int64_t to_nanoseconds(const StampError& error);  // rounded up; at most the largest number

// Times are nanoseconds since 1970. A 64-bit stamp of NTP (RFC 5905 section 6) repeats after 136
// years, and so does PTP's truncated one: the time nearest to `near_ns` is meant. Exact there and
// back. Of PTP's, whose epoch is TAI's unless its owner thought otherwise, only differences are
// certain; empty where its nanoseconds are more than a second.
std::uint64_t to_ntp(std::int64_t time_ns);
std::int64_t from_ntp(std::uint64_t stamp, std::int64_t near_ns);
std::optional<std::int64_t> from_ptp(std::uint64_t stamp, std::int64_t near_ns);

struct StampRequest {
  std::uint32_t number = 0;
  std::uint64_t sent = 0;  // the stamp as it is in the packet
  StampError error;
  std::uint16_t session = 0;  // SSID; 0: not used
  friend bool operator==(const StampRequest&, const StampRequest&) = default;
};

struct StampReply {
  std::uint32_t number = 0;    // stateless reflectors copy the request's
  std::uint64_t sent = 0;      // T3
  StampError error;            // of both of its own stamps
  std::uint16_t session = 0;   // copied; 0 from who does not know RFC 8972
  std::uint64_t received = 0;  // T2
  StampRequest request;        // copied, but for the session
  std::uint8_t ttl = 255;      // of the request as it arrived; 255 also: not known
  friend bool operator==(const StampReply&, const StampReply&) = default;
};

// Into a packet of at least stamp_size; what is behind the fields becomes 0.
void write_stamp(const StampRequest& request, std::span<std::byte> packet);

// Empty for what is shorter than least_stamp_size. Zeros are not insisted on (RFC 8762), but where
// a request has others in their place it is TWAMP's, with random padding where STAMP has the
// session identifier: it has none.
std::optional<StampRequest> parse_stamp_request(std::span<const std::byte> packet);
std::optional<StampReply> parse_stamp_reply(std::span<const std::byte> packet);

// Turns a request into its reply, in place and of the same size: padding and TLVs go back as they
// came (RFC 8762 section 4.3; a TLV's U flag, set by its sender, then says that it was not
// understood). A request of 41 to 43 bytes gets all fields, with less of the zeros behind them:
// section 4.6 would have it answered with 44 bytes, but no reply here is longer than its request.
void write_stamp(const StampReply& reply, std::span<std::byte> request);

}  // namespace wgvitals::probe
