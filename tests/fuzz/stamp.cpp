// STAMP packets of any bytes, and those built of values, both ways; and a sender's session that is
// given replies of any kind.

#include "common/probe/stamp.h"

#include <algorithm>
#include <vector>

#include "common/probe/stamp_session.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"

namespace {

using wgvitals::fuzz::Bytes;
using wgvitals::fuzz::check;
using namespace wgvitals::probe;

constexpr std::int64_t wall = 1'795'210'380'000'000'000;

StampError error(Bytes& bytes) {
  return {bytes.flag(), bytes.flag(), static_cast<std::uint8_t>(bytes.below(64)),
          bytes.number<std::uint8_t>()};
}

StampRequest request(Bytes& bytes) {
  return {bytes.number<std::uint32_t>(), bytes.number<std::uint64_t>(), error(bytes),
          bytes.number<std::uint16_t>()};
}

StampReply reply(Bytes& bytes) {
  StampReply reply;
  reply.number = bytes.number<std::uint32_t>();
  reply.sent = bytes.number<std::uint64_t>();
  reply.error = error(bytes);
  reply.session = bytes.number<std::uint16_t>();
  reply.received = bytes.number<std::uint64_t>();
  reply.request = request(bytes);
  reply.request.session = 0;
  reply.ttl = bytes.number<std::uint8_t>();
  return reply;
}

// Whatever comes is answered with its own size, and what it says comes back.
void reflect(const std::uint8_t* data, std::size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> packet(begin, begin + size);  // of its own, so that reading on is seen
  (void)parse_stamp_reply(packet);
  const auto asked = parse_stamp_request(packet);
  check(asked.has_value() == (size >= least_stamp_size), "what is long enough is a request");
  if (!asked) return;
  StampReply answer;
  answer.request = *asked;
  answer.session = asked->session;
  write_stamp(answer, packet);
  const auto read = parse_stamp_reply(packet);
  answer.request.session = 0;
  check(read == answer, "a reply is read as it was written");
  for (std::size_t i = stamp_size; i < size; ++i) {
    check(packet[i] == begin[i], "what is behind the fields goes back as it came");
  }
  (void)to_nanoseconds(asked->error);
  (void)from_ntp(asked->sent, wall);
  (void)from_ptp(asked->sent, wall);
}

void build(Bytes& bytes) {
  const auto asked = request(bytes);
  std::vector<std::byte> packet(stamp_size + bytes.below(100), std::byte{0xff});
  write_stamp(asked, packet);
  check(parse_stamp_request(packet) == asked, "a request is read as it was written");
  const auto answer = reply(bytes);
  write_stamp(answer, packet);
  check(parse_stamp_reply(packet) == answer, "a reply is read as it was written");
  const auto time =
      wall + bytes.number<std::int32_t>() % 2'000'000'000 * std::int64_t{1'000'000'007};
  check(from_ntp(to_ntp(time), wall) == time, "a time is read as it was written");
}

void measure(Bytes& bytes) {
  constexpr std::int64_t timeout = 1'000'000'000;
  StampSession session{std::chrono::nanoseconds(timeout)};
  StampSession::Moment now{timeout, wall};
  std::vector<StampRequest> sent;
  StampWindow all;
  std::uint64_t lost = 0;
  while (bytes.more()) {
    const auto choice = bytes.below(8);
    const auto pass = std::int64_t{bytes.number<std::uint16_t>()} * 50'000;
    now.monotonic += pass;
    now.wall += choice == 7 ? bytes.number<std::int64_t>() % wall : pass;
    now.wall = std::clamp(now.wall, std::int64_t{0}, 2 * wall);
    const StampClock clock{bytes.flag(), bytes.number<std::uint32_t>()};
    if (choice < 3 || sent.empty()) {
      sent.push_back(session.next(now, clock));
      session.sent(sent.back(), now);
    } else if (choice < 6) {
      auto answer = reply(bytes);
      answer.number %= 64;
      answer.request = sent[sent.size() - 1 - bytes.below(sent.size())];
      (void)session.received(answer, now, clock);
    } else {
      lost += session.expire(now.monotonic);
      all.add(session.take());
    }
  }
  lost += session.expire(now.monotonic + 10 * timeout);
  all.add(session.take());
  check(all.sent == sent.size(), "every packet is resolved once");
  check(all.received + lost == all.sent, "what is sent is answered or lost");
  check(all.directed <= all.sent, "each has its directions once");
  check(all.lost_forward + all.lost_backward <= all.directed, "each is lost in one direction");
  check(all.lost_forward + all.lost_backward <= lost, "no more is lost each way than both");
  const auto is_share = [](const std::optional<double>& percent) {
    return !percent || (*percent >= 0 && *percent <= 100);
  };
  check(is_share(all.lost_forward_percent()), "a share of the sent");
  check(is_share(all.lost_backward_percent()), "a share of the reflected");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  reflect(data, size);
  Bytes bytes(data, size);
  build(bytes);
  Bytes again(data, size);
  measure(again);
  return 0;
}
