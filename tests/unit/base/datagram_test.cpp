#include "common/base/datagram.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace wgvitals {
namespace {

using std::chrono::milliseconds;

struct Pair {
  std::unique_ptr<Datagram> datagram;
  Fd other;
};

Pair make_pair() {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
  return {make_datagram(Fd(ends[0])), Fd(ends[1])};
}

TEST(Datagram, CarriesWholeMessages) {
  const auto pair = make_pair();
  ASSERT_EQ(::send(pair.other.get(), "first", 5, 0), 5);
  ASSERT_EQ(::send(pair.other.get(), "2nd", 3, 0), 3);
  std::array<std::byte, 16> buffer{};
  EXPECT_EQ(pair.datagram->receive(buffer, milliseconds(100)).value(), 5u);
  EXPECT_EQ(std::memcmp(buffer.data(), "first", 5), 0);
  EXPECT_EQ(pair.datagram->receive(buffer, milliseconds(100)).value(), 3u);

  const std::array<std::byte, 2> message{std::byte{1}, std::byte{2}};
  ASSERT_TRUE(pair.datagram->send(message).has_value());
  std::array<std::byte, 4> received{};
  EXPECT_EQ(::recv(pair.other.get(), received.data(), received.size(), MSG_DONTWAIT), 2);
}

TEST(Datagram, SaysThatNothingCameInTime) {
  const auto pair = make_pair();
  std::array<std::byte, 16> buffer{};
  EXPECT_EQ(pair.datagram->receive(buffer, milliseconds(1)).error().code, Errc::timed_out);
}

TEST(Datagram, RefusesAMessageLargerThanTheBuffer) {
  const auto pair = make_pair();
  ASSERT_EQ(::send(pair.other.get(), "12345", 5, 0), 5);
  std::array<std::byte, 4> buffer{};
  EXPECT_EQ(pair.datagram->receive(buffer, milliseconds(100)).error().code, Errc::malformed);
}

TEST(Datagram, ReportsAGoneCounterpart) {
  auto pair = make_pair();
  pair.other = Fd();
  const std::array<std::byte, 1> message{};
  const auto sent = pair.datagram->send(message);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Errc::io);
  EXPECT_EQ(sent.error().number, ECONNREFUSED);
}

}  // namespace
}  // namespace wgvitals
