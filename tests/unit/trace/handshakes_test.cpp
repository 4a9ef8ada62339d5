#include "common/trace/handshakes.h"

#include <gmock/gmock.h>

#include "tests/support/handshake_packets.h"
#include "tests/support/keys.h"

namespace wgvitals::trace {
namespace {

using std::chrono::milliseconds;
using test::cookie_reply;
using test::end_v4;
using test::end_v6;
using test::initiation;
using test::Packet;
using test::response;
using test::udp_packet;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint8_t wrong = 0xee;  // a mark whose mac1 is refused
const DeviceIdentity wg0{1, 2}, wg1{1, 3};
const auto own = end_v4(1, 51820), peer = end_v4(2, 1234);

// Of messages to the key 7; the mark stands in mac1, and in what is signed.
Mac1 mac1_for(const PublicKey& receiver) {
  EXPECT_EQ(receiver, test::key(7));
  return [](Bytes signed_part) {
    std::array<std::uint8_t, 16> mac;
    mac.fill(signed_part.back() == wrong ? 0 : signed_part.back());
    return mac;
  };
}

class HandshakesTest : public testing::Test {
 protected:
  HandshakesTest() { set_devices(); }

  void set_devices() { seen_.set_devices(devices_); }
  void in(const Endpoint& from, const Packet& message, std::uint32_t link = 1) {
    see(udp_packet(from, from.family == AddressFamily::ipv4 ? own : own_v6_, message),
        Direction::incoming, link);
  }
  void out(const Endpoint& to, const Packet& message, std::uint32_t link = 1) {
    see(udp_packet(to.family == AddressFamily::ipv4 ? own : own_v6_, to, message),
        Direction::outgoing, link);
  }
  void see(const Packet& packet, Direction direction, std::uint32_t link = 1) {
    seen_.see({packet, link, direction, now_});
  }
  void pass(milliseconds time) {
    now_ += time;
    seen_.decide(now_);
  }
  const DeviceCounts& counts(std::size_t at = 0) { return seen_.counts()[at]; }
  std::uint64_t refused() {
    std::uint64_t sum = 0;
    for (const auto& one : seen_.refusals().sources()) sum += one.count;
    return sum;
  }

  std::vector<TracedDevice> devices_{{wg0, 51820, test::key(7)}};
  Handshakes seen_{mac1_for};
  Handshakes::Clock::time_point now_{std::chrono::hours(1)};
  const Endpoint own_v6_ = end_v6(1, 51820), peer_v6_ = end_v6(2, 1234);
};

TEST_F(HandshakesTest, TakesTheTimeOfWhatTheDeviceBegan) {
  for (const auto& other : {peer, peer_v6_}) {
    out(other, initiation(10));
    pass(milliseconds(37));
    in(other, response(20, 10));
    const auto times = seen_.take_times();
    ASSERT_THAT(times, SizeIs(1));
    EXPECT_EQ(times[0].time, milliseconds(37));
    EXPECT_EQ(times[0].peer, other);
    EXPECT_EQ(times[0].device, wg0);
    EXPECT_THAT(seen_.take_times(), IsEmpty());
  }
}

TEST_F(HandshakesTest, TakesTheTimeOfWhatThePeerBegan) {
  in(peer, initiation(10));
  out(peer, response(20, 10));
  pass(milliseconds(21));
  in(peer, test::data(20, 1));  // of a session's next packets
  in(peer, test::data(21));
  out(peer, test::data(20));
  EXPECT_THAT(seen_.take_times(), IsEmpty());
  in(peer, test::data(20, 0, 1452), 1);
  in(peer, test::data(20, 0, 1452), 2);  // a bridge's copy
  const auto times = seen_.take_times();
  ASSERT_THAT(times, SizeIs(1));
  EXPECT_EQ(times[0].time, milliseconds(21));
  EXPECT_EQ(times[0].peer, peer);
}

TEST_F(HandshakesTest, TakesTheTimeOnce) {
  out(peer, initiation(10), 1);
  out(peer, initiation(10), 2);  // a bond, and the link below
  now_ += milliseconds(5);
  in(peer, response(20, 10), 2);
  in(peer, response(20, 10), 1);
  EXPECT_THAT(seen_.take_times(), SizeIs(1));
}

TEST_F(HandshakesTest, TakesNoTimeOfAnAnswerThatIsNone) {
  out(peer, initiation(10));
  in(peer, response(20, 11));         // of another index
  in(peer, response(20, 10, wrong));  // of another key
  see(udp_packet(peer, end_v4(1, 51821), response(20, 10)), Direction::incoming);
  see(udp_packet(peer, own, response(20, 10)), Direction::passing);
  EXPECT_THAT(seen_.take_times(), IsEmpty());
  out(peer, response(30, 40));  // ours, to which nobody responds
  in(peer, response(50, 30));
  in(peer, test::data(10));  // for an initiation
  EXPECT_THAT(seen_.take_times(), IsEmpty());
  pass(Handshakes::answer_wait + milliseconds(1));
  in(peer, response(20, 10));  // too late
  EXPECT_THAT(seen_.take_times(), IsEmpty());
}

// The kernel has forgotten its initiation by then; we may not have decided yet.
TEST_F(HandshakesTest, TakesNoTimeOfALateAnswer) {
  for (const auto late : {milliseconds(0), milliseconds(1)}) {
    out(peer, initiation(10));
    now_ += Handshakes::answer_wait + late;
    in(peer, response(20, 10));
    EXPECT_THAT(seen_.take_times(), SizeIs(late.count() == 0 ? 1 : 0));
  }
}

TEST_F(HandshakesTest, CountsWrongMacsOnceTheyAreDecided) {
  in(peer, initiation(1, wrong));
  in(peer, response(2, 3, wrong));
  in(peer, initiation(4));
  pass(Handshakes::decision_wait);
  EXPECT_EQ(counts().invalid_mac, 0u);
  pass(milliseconds(1));
  EXPECT_EQ(counts().invalid_mac, 2u);
  EXPECT_TRUE(counts().macs_checked);
  EXPECT_EQ(refused(), 2u);  // both initiations
}

TEST_F(HandshakesTest, CountsEachOfAFlood) {
  constexpr std::uint32_t many = 3 * Handshakes::most_open;
  for (std::uint32_t i = 0; i < many; ++i) in(peer, initiation(i, wrong));
  EXPECT_EQ(counts().invalid_mac, many - Handshakes::most_open);
  for (std::uint32_t i = 0; i < many; ++i)
    in(peer, initiation(5, wrong));  // the same over and over
  pass(milliseconds(3000));
  EXPECT_EQ(counts().invalid_mac, 2 * many);
  EXPECT_EQ(refused(), 2 * many);
}

TEST_F(HandshakesTest, CountsWhatTheSystemJoined) {
  in(peer, test::joined({initiation(1, wrong), initiation(2, wrong), initiation(3, wrong)}));
  pass(milliseconds(3000));
  EXPECT_EQ(counts().invalid_mac, 3u);
}

TEST_F(HandshakesTest, CountsOnceWhatABridgeShowsTwice) {
  in(peer, initiation(1, wrong), 1);
  in(peer, initiation(1, wrong), 2);
  pass(milliseconds(3000));
  EXPECT_EQ(counts().invalid_mac, 1u);
  EXPECT_EQ(refused(), 1u);
}

TEST_F(HandshakesTest, PassesOverWhatIsOnlyPassedOn) {
  in(peer, initiation(1, wrong), 1);
  const auto inside = end_v4(77, 51820);  // behind our NAT
  see(udp_packet(peer, inside, initiation(1, wrong)), Direction::outgoing, 2);
  see(udp_packet(inside, peer, response(9, 1, wrong)), Direction::incoming, 2);
  out(peer, response(9, 1, wrong), 1);  // with our address
  // And one that begins handshakes itself, from the same port.
  see(udp_packet(inside, peer, initiation(3, wrong)), Direction::incoming, 2);
  out(peer, initiation(3, wrong), 1);
  in(peer, response(4, 3, wrong), 1);
  see(udp_packet(peer, inside, response(4, 3, wrong)), Direction::outgoing, 2);
  pass(milliseconds(3000));
  EXPECT_EQ(counts().invalid_mac, 0u);
  EXPECT_EQ(refused(), 0u);
  EXPECT_THAT(seen_.take_times(), IsEmpty());
}

TEST_F(HandshakesTest, CountsBothEndsOnOneHost) {
  devices_.push_back({wg1, 51821, std::nullopt});
  set_devices();
  const auto other = end_v4(1, 51821);
  const auto through_loopback = [&](const Packet& packet) {
    see(packet, Direction::outgoing);
    see(packet, Direction::incoming);
  };
  through_loopback(udp_packet(own, other, initiation(10)));
  through_loopback(udp_packet(other, own, response(20, 10)));
  EXPECT_THAT(seen_.take_times(), SizeIs(1));
  pass(milliseconds(3000));
  EXPECT_EQ(refused(), 0u);
  EXPECT_FALSE(counts(1).macs_checked);
}

TEST_F(HandshakesTest, RefusedIsWhatGetsNoResponse) {
  in(peer, initiation(1));
  out(peer, response(9, 1));
  in(peer, initiation(2));
  out(end_v4(3, 1234), response(10, 2));  // to somebody else
  in(peer, initiation(3));
  out(peer, cookie_reply(3));
  pass(milliseconds(3000));
  EXPECT_EQ(refused(), 2u);
  ASSERT_THAT(seen_.refusals().sources(), SizeIs(1));
  EXPECT_EQ(seen_.refusals().sources()[0].source, end_v4(2, 0));
}

TEST_F(HandshakesTest, CountsCookiesThatAnswer) {
  in(peer, initiation(1));
  out(peer, cookie_reply(1), 1);
  out(peer, cookie_reply(1), 2);  // a bond's
  out(peer, cookie_reply(2));
  EXPECT_EQ(counts().cookies_sent, 1u);
  out(peer, initiation(5));
  out(peer, response(6, 7));
  for (const std::uint32_t index : {5u, 5u, 6u, 8u}) in(peer, cookie_reply(index));
  EXPECT_EQ(counts().cookies_received, 2u);
}

TEST_F(HandshakesTest, TakesOnlyWhatIsOfAPort) {
  see(udp_packet(peer, end_v4(1, 51821), initiation(1, wrong)), Direction::incoming);
  see(udp_packet(peer, own, initiation(2, wrong)), Direction::passing);
  see(udp_packet(peer, own, test::joined({initiation(3, wrong), {0}})), Direction::incoming);
  see(Packet{0x45, 0}, Direction::incoming);
  pass(milliseconds(3000));
  EXPECT_EQ(counts().invalid_mac, 0u);
  EXPECT_EQ(refused(), 0u);
}

TEST_F(HandshakesTest, KeepsTheCountsOfDevicesThatStay) {
  in(peer, initiation(1, wrong));
  pass(milliseconds(3000));
  devices_ = {{wg1, 7, std::nullopt}, {wg0, 51820, test::key(7)}};
  set_devices();
  ASSERT_THAT(seen_.counts(), SizeIs(2));
  EXPECT_EQ(counts(0).invalid_mac, 0u);
  EXPECT_EQ(counts(1).invalid_mac, 1u);
  devices_.pop_back();
  in(peer, initiation(2, wrong));
  set_devices();
  pass(milliseconds(3000));
  EXPECT_THAT(seen_.counts(), SizeIs(1));
  EXPECT_EQ(refused(), 0u);
}

TEST_F(HandshakesTest, PreparesAKeyOnce) {
  int prepared = 0;
  Handshakes seen([&](const PublicKey& receiver) {
    ++prepared;
    return mac1_for(receiver);
  });
  seen.set_devices(devices_);
  for (std::uint32_t i = 0; i < 100; ++i) {
    seen.see({udp_packet(peer, own, initiation(i, wrong)), 1, Direction::incoming, now_});
  }
  EXPECT_EQ(prepared, 1);
}

TEST_F(HandshakesTest, ChecksNoMacWithoutTheMeans) {
  Handshakes blind{Mac1For()};
  blind.set_devices(devices_);
  const auto packet = udp_packet(peer, own, initiation(1, wrong));
  blind.see({packet, 1, Direction::incoming, now_});
  blind.decide(now_ + milliseconds(3000));
  EXPECT_EQ(blind.counts()[0].invalid_mac, 0u);
  EXPECT_FALSE(blind.counts()[0].macs_checked);
  EXPECT_THAT(blind.refusals().sources(), SizeIs(1));
}

}  // namespace
}  // namespace wgvitals::trace
