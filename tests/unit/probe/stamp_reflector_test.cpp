// Who is answered; and sender and reflector on the loop, over the loopback device.

#include "common/probe/stamp_reflector.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "common/probe/stamp_sender.h"
#include "tests/support/kept_log.h"

namespace wgvitals::probe {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Endpoint at(const char* address, std::uint16_t port) {
  auto endpoint = parse_address(address).value();
  endpoint.port = port;
  return endpoint;
}

Prefix prefix(const char* address, std::uint8_t length) {
  const auto endpoint = parse_address(address).value();
  return {endpoint.address, endpoint.family, length};
}

TEST(StampPrefix, Holds) {
  EXPECT_TRUE(holds(prefix("10.1.2.0", 23), at("10.1.3.255", 1)));
  EXPECT_FALSE(holds(prefix("10.1.2.0", 23), at("10.1.4.0", 1)));
  EXPECT_TRUE(holds(prefix("10.1.2.3", 32), at("10.1.2.3", 1)));
  EXPECT_FALSE(holds(prefix("10.1.2.3", 32), at("10.1.2.2", 1)));
  EXPECT_TRUE(holds(prefix("0.0.0.0", 0), at("203.0.113.9", 1)));
  EXPECT_FALSE(holds(prefix("0.0.0.0", 0), at("2001:db8::1", 1)));
  EXPECT_TRUE(holds(prefix("fd00::", 9), at("fd7f::1", 1)));
  EXPECT_FALSE(holds(prefix("fd00::", 9), at("fd80::1", 1)));
  EXPECT_TRUE(holds(prefix("fd00::1", 128), at("fd00::1", 1)));
  EXPECT_FALSE(holds({}, {}));
}

class StampDoorTest : public testing::Test {
 protected:
  bool ask(const Endpoint& from, std::size_t size = stamp_size, std::uint16_t session = 0) {
    std::vector<std::byte> packet(std::max(size, stamp_size));
    write_stamp(StampRequest{41, to_ntp(7), {true, false, 3, 9}, session}, packet);
    return door.answer({std::span(packet).first(size), from, {1, 1'000'000'000}, 61},
                       {true, 2'000'000}, now, reply);
  }

  StampDoor door{8620, {prefix("10.0.0.0", 8), prefix("fd00::", 64)}, 5};
  StampDoor::Clock::time_point now{1h};
  StampReply reply;
};

TEST_F(StampDoorTest, WhatAReplySays) {
  ASSERT_TRUE(ask(at("10.0.0.1", 1000), stamp_size, 0x1234));
  StampReply expected;
  expected.number = 0;
  expected.error = to_stamp_error(true, 2'000'000);
  expected.session = 0x1234;
  expected.received = to_ntp(1'000'000'000);
  expected.request = {41, to_ntp(7), {true, false, 3, 9}, 0x1234};
  expected.ttl = 61;
  EXPECT_EQ(reply, expected);
  ASSERT_TRUE(ask(at("10.0.0.1", 1000), stamp_size, 0x1234));
  EXPECT_EQ(reply.number, 1u);
  ASSERT_TRUE(ask(at("10.0.0.1", 1000)));
  EXPECT_EQ(reply.number, 0u);  // another session
}

TEST_F(StampDoorTest, OnlyWhoIsAllowed) {
  EXPECT_TRUE(ask(at("10.255.0.1", 1000)));
  EXPECT_TRUE(ask(at("fd00::5", 1000)));
  EXPECT_FALSE(ask(at("11.0.0.1", 1000)));
  EXPECT_FALSE(ask(at("fd00:0:0:1::5", 1000)));
}

TEST_F(StampDoorTest, NothingShortAndNoReflector) {
  EXPECT_FALSE(ask(at("10.0.0.1", 1000), 40));
  EXPECT_TRUE(ask(at("10.0.0.1", 1000), 41));
  EXPECT_FALSE(ask(at("10.0.0.1", 8620)));  // would go to and fro for ever
  EXPECT_FALSE(ask(at("10.0.0.1", 0)));
}

TEST_F(StampDoorTest, SoManyASecondOfThoseAllowed) {
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(ask(at("11.0.0.1", 1000)));  // takes nothing away
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(ask(at("10.0.0.1", 1000)));
  EXPECT_FALSE(ask(at("10.0.0.1", 1000)));
  now += 1s;
  EXPECT_TRUE(ask(at("10.0.0.1", 1000)));
  EXPECT_EQ(reply.number, 5u);
}

class StampOnLoop : public testing::Test {
 protected:
  void TearDown() override { loop.stop(); }

  // Of this process alone, whoever else runs this test.
  static std::uint16_t free_port(const char* address) {
    const auto fd = open_stamp_socket(at(address, 0).family, {"", at(address, 0), 0});
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    EXPECT_EQ(::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&bound), &size), 0);
    return to_endpoint(bound).port;
  }

  StampTarget target(const char* host, std::uint16_t port) {
    StampTarget target;
    target.host = host;
    target.port = port;
    target.interval = 10ms;
    target.timeout = 2s;  // a loaded machine loses nothing either
    return target;
  }

  template <class Condition>
  static bool wait_for(Condition&& condition) {
    const auto end = Loop::Clock::now() + 20s;
    while (!condition()) {
      if (Loop::Clock::now() > end) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }

  void there_and_back(const char* address, const Prefix& allowed) {
    const auto port = free_port(address);
    StampReflector reflector(loop, {{"", at(address, port), 0}, {allowed}, 1000});
    auto to = target(address, port);
    to.size = 200;
    StampSender sender(loop, resolver, to, 0.5);
    reflector.start();
    sender.start();
    StampWindow window;
    EXPECT_TRUE(wait_for([&] {
      window.add(sender.take());
      return window.directed >= 5;
    }));
    EXPECT_TRUE(sender.settled());
    EXPECT_FALSE(sender.failure());
    EXPECT_FALSE(reflector.failure());
    EXPECT_EQ(window.lost_forward_percent(), 0);
    EXPECT_EQ(window.lost_backward_percent(), 0);
    EXPECT_EQ(window.duplicates_forward + window.duplicates_backward, 0u);
    EXPECT_GT(*window.rtt.value(), 0);
    EXPECT_LT(*window.rtt.value(), 300);
  }

  std::shared_ptr<test::KeptLog> log = std::make_shared<test::KeptLog>();
  Resolver resolver{start_plain_thread};
  Loop loop{start_plain_thread, log};
};

TEST_F(StampOnLoop, ThereAndBack) { there_and_back("127.0.0.1", prefix("127.0.0.0", 8)); }

TEST_F(StampOnLoop, ThereAndBackByIpv6) { there_and_back("::1", prefix("::1", 128)); }

TEST_F(StampOnLoop, NobodyThere) {
  auto to = target("127.0.0.1", free_port("127.0.0.1"));
  to.timeout = 50ms;
  to.slowest = 2;
  StampSender sender(loop, resolver, to, 0);
  EXPECT_FALSE(sender.settled());
  sender.start();
  StampWindow window;
  EXPECT_TRUE(wait_for([&] {
    window.add(sender.take());
    return window.sent >= 5;
  }));
  EXPECT_EQ(window.received, 0u);
  EXPECT_EQ(window.directed, 0u);
  EXPECT_TRUE(sender.settled());
}

TEST_F(StampOnLoop, WhyNothingIsSent) {
  auto to = target("127.0.0.1", 1);
  to.path.device = "nosuchlink0";
  StampSender sender(loop, resolver, to, 0);
  sender.start();
  std::optional<Error> failure;
  EXPECT_TRUE(wait_for([&] { return (failure = sender.failure()).has_value(); }));
  EXPECT_THAT(to_text(*failure), HasSubstr("device nosuchlink0"));
  EXPECT_TRUE(sender.settled());
  EXPECT_EQ(sender.take().sent, 0u);
}

TEST_F(StampOnLoop, AnAddressThatIsNotHere) {
  StampReflector reflector(loop, {{"", at("203.0.113.77", 8620), 0}, {}, 1});
  reflector.start();
  std::optional<Error> failure;
  EXPECT_TRUE(wait_for([&] { return (failure = reflector.failure()).has_value(); }));
  EXPECT_THAT(to_text(*failure), HasSubstr("listening on 203.0.113.77:8620"));
}

TEST_F(StampOnLoop, EndsBeforeItBegan) {
  StampSender sender(loop, resolver, target("127.0.0.1", 1), 0);
  StampReflector reflector(loop, {{"", at("127.0.0.1", 1), 0}, {}, 1});
}

TEST_F(StampOnLoop, EndsBehindTheLoop) {
  StampSender sender(loop, resolver, target("127.0.0.1", free_port("127.0.0.1")), 0);
  sender.start();
  EXPECT_TRUE(wait_for([&] { return sender.settled(); }));
  loop.stop();
}

TEST_F(StampOnLoop, EndsInTheMidstOfIt) {
  const auto port = free_port("127.0.0.1");
  const auto silent = open_stamp_socket(AddressFamily::ipv4, {"", at("127.0.0.1", port), 0});
  ASSERT_TRUE(silent);
  auto to = target("127.0.0.1", port);
  to.timeout = 60s;
  const auto start_all = [&] {
    std::vector<std::unique_ptr<StampSender>> senders;
    for (int i = 0; i < 20; ++i) {
      senders.push_back(std::make_unique<StampSender>(loop, resolver, to, 0));
      senders.back()->start();
    }
    std::this_thread::sleep_for(30ms);
    return senders;
  };
  start_all();
  const auto senders = start_all();
  const auto start = Loop::Clock::now();
  loop.stop();
  EXPECT_LT(Loop::Clock::now() - start, 2s);
}

// A device of this network, while it lives.
Fd make_device(const char* name) {
  Fd device(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ifreq request{};
  std::strcpy(request.ifr_name, name);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  EXPECT_EQ(::ioctl(device.get(), TUNSETIFF, &request), 0) << std::strerror(errno);
  return device;
}

void raise_loopback() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq link{};
  std::strcpy(link.ifr_name, "lo");
  link.ifr_flags = IFF_UP;
  ASSERT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &link), 0);
}

TEST_F(StampOnLoop, ListensAnewWhereItsDeviceIsMadeAnew) {
  std::thread([&] {  // in a network of its own, which the loop's thread takes from it
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << std::strerror(errno);
    raise_loopback();
    auto device = make_device("stamp0");
    StampReflector reflector(loop, {{"stamp0", at("127.0.0.1", 8620), 0}, {}, 1});
    reflector.start();
    std::promise<void> listens;
    loop.post([&] { listens.set_value(); });
    listens.get_future().wait();
    EXPECT_FALSE(reflector.failure());
    device = Fd();
    std::optional<Error> failure;
    EXPECT_TRUE(wait_for([&] { return (failure = reflector.failure()).has_value(); }));
    EXPECT_THAT(to_text(*failure), HasSubstr("device stamp0"));
    device = make_device("stamp0");
    EXPECT_TRUE(wait_for([&] { return !reflector.failure(); }));
  })
      .join();
}

// A reflector made by hand, from the figures, that answers as it is told.
TEST_F(StampOnLoop, EachDirectionApart) {
  const auto port = free_port("127.0.0.1");
  const auto socket = open_stamp_socket(AddressFamily::ipv4, {"", at("127.0.0.1", port), 0});
  ASSERT_TRUE(socket);
  auto to = target("127.0.0.1", port);
  to.slowest = 1;
  StampSender sender(loop, resolver, to, 0);
  sender.start();
  std::array<std::byte, 100> buffer{};
  std::uint32_t count = 0, requests = 0;
  StampWindow window;
  EXPECT_TRUE(wait_for([&] {
    while (const auto datagram = receive_stamp(socket->get(), buffer)) {
      EXPECT_EQ(datagram->bytes.size(), stamp_size);
      EXPECT_EQ(datagram->ttl, 255);
      const auto request = parse_stamp_request(datagram->bytes);
      if (++requests > 50 && requests < 54) continue;  // three never arrived
      StampReply reply;
      reply.number = count++;
      reply.request = *request;
      reply.sent = reply.received = to_ntp(datagram->when.wall);
      if (requests > 60 && requests < 65) continue;  // the answers to four are lost
      write_stamp(reply, datagram->bytes);
      EXPECT_EQ(send_stamp(socket->get(), datagram->bytes, datagram->from), 0);
      // One is there twice.
      if (requests == 70) {
        EXPECT_EQ(send_stamp(socket->get(), datagram->bytes, datagram->from), 0);
      }
    }
    window.add(sender.take());
    return window.directed >= 80;
  }));
  EXPECT_EQ(window.lost_forward, 3u);
  EXPECT_EQ(window.lost_backward, 4u);
  EXPECT_EQ(window.duplicates_forward, 0u);
  EXPECT_EQ(window.duplicates_backward, 1u);
}

}  // namespace
}  // namespace wgvitals::probe
