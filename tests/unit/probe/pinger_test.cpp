// On loopback, where every address of 127.0.0.0/8 answers: with the rights of root.

#include "common/probe/pinger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <thread>

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = PingOutcome::Kind;

Result<Fd> here(const std::string&, const std::function<Result<Fd>()>& open) { return open(); }

PingTarget target_at(std::string_view address) {
  PingTarget target;
  target.address = parse_address(address).value();
  target.path.family = target.address.family;
  target.interval = milliseconds(20);
  target.timeout = milliseconds(400);
  return target;
}

class PingerTest : public testing::Test {
 protected:
  PingId add(const PingTarget& target) {
    auto id = pinger_->add(PingOwner::ping, target);
    EXPECT_TRUE(id) << to_text(id.error());
    return *id;
  }

  void collect() {
    std::vector<PingOutcome> outcomes;
    EXPECT_TRUE(pinger_->take(PingOwner::ping, outcomes));
    for (const auto& outcome : outcomes) {
      ++seen_[outcome.id][outcome.kind];
      last_[outcome.id] = outcome;
    }
  }

  // So many of a kind; false where a minute does not bring them.
  bool wait_for(PingId id, Kind kind, int count = 1) {
    for (int i = 0; i < 60'000; ++i) {
      collect();
      if (seen_[id][kind] >= count) return true;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return false;
  }

  std::unique_ptr<Pinger> pinger_ = make_pinger(start_plain_thread, here);
  std::map<PingId, std::map<Kind, int>> seen_;
  std::map<PingId, PingOutcome> last_;
};

TEST_F(PingerTest, LoopbackAnswersInBothFamilies) {
  const auto ipv4 = add(target_at("127.0.0.1"));
  const auto ipv6 = add(target_at("::1"));
  for (const auto id : {ipv4, ipv6}) {
    ASSERT_TRUE(wait_for(id, Kind::answered, 3));
    EXPECT_EQ(seen_[id].size(), 1u);  // of one kind
    EXPECT_EQ(last_[id].ttl, 64);
    EXPECT_GT(last_[id].sent_ns, 0);
    EXPECT_LT(last_[id].rtt_ns, 400'000'000);
  }
  EXPECT_THAT(pinger_->failures(PingOwner::ping), IsEmpty());
}

TEST_F(PingerTest, OneThatCannotBeSentToChangesNothingForTheOthers) {
  const auto before = add(target_at("127.0.0.1"));
  const auto broadcast = add(target_at("127.255.255.255"));
  const auto after = add(target_at("127.0.0.3"));
  ASSERT_TRUE(wait_for(broadcast, Kind::unsent, 5));
  EXPECT_EQ(last_[broadcast].error, EACCES);
  ASSERT_TRUE(wait_for(before, Kind::answered, 5));
  ASSERT_TRUE(wait_for(after, Kind::answered, 5));
  EXPECT_EQ(seen_[before][Kind::unsent] + seen_[before][Kind::lost], 0);
  EXPECT_EQ(seen_[after][Kind::unsent] + seen_[after][Kind::lost], 0);
  EXPECT_EQ(seen_[broadcast][Kind::answered] + seen_[broadcast][Kind::lost], 0);
}

TEST_F(PingerTest, OneThatIsDeadIsLost) {
  auto target = target_at("192.0.2.1");  // dropped by loopback as none of its own
  target.path.device = "lo";
  target.timeout = milliseconds(40);
  const auto dead = add(target);
  const auto alive = add(target_at("127.0.0.1"));
  ASSERT_TRUE(wait_for(dead, Kind::lost, 4));
  ASSERT_TRUE(wait_for(alive, Kind::answered, 4));
  EXPECT_EQ(seen_[dead][Kind::answered], 0);
  EXPECT_EQ(last_[dead].rtt_ns, 0);
}

TEST_F(PingerTest, EveryWishForThePacketsIsFulfilled) {
  auto target = target_at("127.0.0.1");
  target.path.device = "lo";
  target.path.source = parse_address("127.0.0.9").value();
  target.path.mark = 7;
  target.path.ttl = 3;
  target.path.tos = 0x20;
  target.path.dont_fragment = true;
  target.size = 1473;
  const auto ipv4 = add(target);
  target.address = target.path.source = parse_address("::1").value();
  target.path.family = AddressFamily::ipv6;
  const auto ipv6 = add(target);
  EXPECT_TRUE(wait_for(ipv4, Kind::answered));
  EXPECT_TRUE(wait_for(ipv6, Kind::answered));
  EXPECT_THAT(pinger_->failures(PingOwner::ping), IsEmpty());
}

TEST_F(PingerTest, OfALongAnswerTheHeadCounts) {
  auto target = target_at("127.0.0.1");
  target.size = 65'000;
  EXPECT_TRUE(wait_for(add(target), Kind::answered));
}

TEST_F(PingerTest, AMissingDeviceIsNamedAndItsTargetsUnsent) {
  auto target = target_at("127.0.0.1");
  target.path.device = "wgv-none";
  const auto id = add(target);
  target.path.device = "";
  target.path.source = parse_address("192.0.2.77").value();
  const auto foreign = add(target);
  ASSERT_TRUE(wait_for(id, Kind::unsent, 2));
  EXPECT_EQ(last_[id].error, ENODEV);
  ASSERT_TRUE(wait_for(foreign, Kind::unsent, 2));
  EXPECT_EQ(last_[foreign].error, EADDRNOTAVAIL);
  for (int i = 0; i < 2; ++i) {  // as long as it lasts
    const auto failures = pinger_->failures(PingOwner::ping);
    ASSERT_EQ(failures.size(), 2u);
    EXPECT_THAT(to_text(failures[0]), HasSubstr("device wgv-none"));
    EXPECT_THAT(to_text(failures[1]), HasSubstr("source address 192.0.2.77"));
  }
  pinger_->remove(id);
  pinger_->remove(foreign);
  EXPECT_THAT(pinger_->failures(PingOwner::ping), IsEmpty());
}

TEST_F(PingerTest, ATroubleIsItsOwnersOnly) {
  auto target = target_at("127.0.0.1");
  target.path.device = "wgv-none";
  const auto id = add(target);
  ASSERT_TRUE(pinger_->add(PingOwner::path, target_at("127.0.0.2")));
  ASSERT_TRUE(wait_for(id, Kind::unsent));
  EXPECT_THAT(pinger_->failures(PingOwner::path), IsEmpty());
  EXPECT_EQ(pinger_->failures(PingOwner::ping).size(), 1u);
}

TEST_F(PingerTest, ABurstWaitsForTheGather) {
  auto target = target_at("127.0.0.1");
  target.count = 3;
  const auto id = add(target);
  ASSERT_TRUE(wait_for(id, Kind::answered, 3));
  std::this_thread::sleep_for(milliseconds(100));
  collect();
  EXPECT_EQ(seen_[id][Kind::answered], 3);
  pinger_->gathered();
  ASSERT_TRUE(wait_for(id, Kind::answered, 6));
}

TEST_F(PingerTest, TargetsMoveAndGo) {
  const auto moved = add(target_at("192.0.2.1"));
  pinger_->move(moved, parse_address("127.0.0.5").value());
  EXPECT_TRUE(wait_for(moved, Kind::answered, 2));
  const auto gone = add(target_at("127.0.0.6"));
  EXPECT_TRUE(wait_for(gone, Kind::answered, 2));
  pinger_->remove(gone);
  collect();
  const auto count = seen_[gone][Kind::answered];
  EXPECT_TRUE(wait_for(moved, Kind::answered, seen_[moved][Kind::answered] + 5));
  EXPECT_EQ(seen_[gone][Kind::answered], count);
  EXPECT_EQ(add(target_at("127.0.0.7")), gone);
  EXPECT_TRUE(wait_for(gone, Kind::answered, count + 2));
}

TEST_F(PingerTest, ManyAreAllAnswered) {
  constexpr int many = 2000;
  auto target = target_at("127.1.0.0");
  target.interval = milliseconds(1000);
  target.timeout = milliseconds(30'000);  // a loaded machine loses nothing either
  for (int i = 0; i < many; ++i) {
    target.address.address[2] = static_cast<std::uint8_t>(i / 250);
    target.address.address[3] = static_cast<std::uint8_t>(1 + i % 250);
    add(target);
  }
  for (PingId id = 0; id < many; ++id) ASSERT_TRUE(wait_for(id, Kind::answered, 2)) << id;
  for (PingId id = 0; id < many; ++id) EXPECT_EQ(seen_[id].size(), 1u) << id;
  EXPECT_THAT(pinger_->failures(PingOwner::ping), IsEmpty());
}

TEST_F(PingerTest, StopsUnderLoad) {
  for (int i = 1; i < 200; ++i) {
    auto target = target_at("127.2.0.0");
    target.interval = milliseconds(10);
    target.address.address[3] = static_cast<std::uint8_t>(i);
    add(target);
  }
  ASSERT_TRUE(wait_for(100, Kind::answered, 3));
  pinger_->stop();
  collect();
  std::this_thread::sleep_for(milliseconds(30));
  std::vector<PingOutcome> outcomes;
  EXPECT_TRUE(pinger_->take(PingOwner::ping, outcomes));
  EXPECT_THAT(outcomes, IsEmpty());
  EXPECT_FALSE(pinger_->add(PingOwner::ping, target_at("127.0.0.1")));
  pinger_->stop();
}

TEST(Pinger, StartsNoThreadBeforeItIsWanted) {
  const StartThread refuses = [](pthread_t*, void* (*)(void*), void*, const char* name) {
    EXPECT_LE(std::strlen(name), 15u);
    return EAGAIN;
  };
  const auto pinger = make_pinger(refuses, here);
  std::vector<PingOutcome> outcomes;
  EXPECT_TRUE(pinger->take(PingOwner::ping, outcomes));
  pinger->gathered();
  EXPECT_THAT(pinger->failures(PingOwner::ping), IsEmpty());
  const auto added = pinger->add(PingOwner::ping, target_at("127.0.0.1"));
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().number, EAGAIN);
  pinger->stop();
}

// A thread of the test's, in a network of its own, without the right to raw sockets.
void become_unprivileged(const char* ping_group_range) {
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << std::strerror(errno);
  std::ofstream("/proc/sys/net/ipv4/ping_group_range") << ping_group_range;
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq link{};
  std::strcpy(link.ifr_name, "lo");
  link.ifr_flags = IFF_UP;
  ASSERT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &link), 0);
  link.ifr_mtu = 1500;
  ASSERT_EQ(::ioctl(socket.get(), SIOCSIFMTU, &link), 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  ASSERT_EQ(::syscall(SYS_capset, &header, none), 0);
}

InNamespace unprivileged_network(const char* ping_group_range) {
  return [=](const std::string& netns, const std::function<Result<Fd>()>& open) {
    EXPECT_EQ(netns, "other");
    std::optional<Result<Fd>> opened;
    std::thread([&] {
      become_unprivileged(ping_group_range);
      opened = open();
    }).join();
    return std::move(*opened);
  };
}

class UnprivilegedPingerTest : public PingerTest {
 protected:
  PingTarget target(std::string_view address) {
    auto target = target_at(address);
    target.path.netns = "other";
    return target;
  }
};

TEST_F(UnprivilegedPingerTest, ThePingSocketOfItsGroupWillDo) {
  pinger_ = make_pinger(start_plain_thread, unprivileged_network("0 2147483647"));
  const auto ipv4 = add(target("127.0.0.1"));
  const auto unreachable = add(target("192.0.2.1"));  // no route there
  const auto ipv6 = add(target("::1"));
  ASSERT_TRUE(wait_for(ipv4, Kind::answered, 3));
  ASSERT_TRUE(wait_for(ipv6, Kind::answered, 3));
  EXPECT_EQ(last_[ipv4].ttl, 64);
  EXPECT_EQ(last_[ipv6].ttl, 64);
  ASSERT_TRUE(wait_for(unreachable, Kind::unsent));
  EXPECT_EQ(last_[unreachable].error, ENETUNREACH);
  EXPECT_THAT(pinger_->failures(PingOwner::ping), IsEmpty());
}

TEST_F(UnprivilegedPingerTest, WhatIsTooLongToStayWholeIsUnsent) {
  pinger_ = make_pinger(start_plain_thread, unprivileged_network("0 2147483647"));
  for (const auto* address : {"127.0.0.1", "::1"}) {
    auto wanted = target(address);
    const std::uint16_t headers = wanted.path.family == AddressFamily::ipv4 ? 28 : 48;
    wanted.size = 1501;
    const auto in_pieces = add(wanted);
    wanted.path.dont_fragment = true;
    const auto too_long = add(wanted);
    wanted.size = static_cast<std::uint16_t>(1500 - headers);
    const auto whole = add(wanted);
    ASSERT_TRUE(wait_for(in_pieces, Kind::answered)) << address;
    ASSERT_TRUE(wait_for(whole, Kind::answered)) << address;
    ASSERT_TRUE(wait_for(too_long, Kind::unsent)) << address;
    EXPECT_EQ(last_[too_long].error, EMSGSIZE) << address;
  }
}

TEST_F(UnprivilegedPingerTest, WithoutAnyRightItSaysWhatIsNeeded) {
  pinger_ = make_pinger(start_plain_thread, unprivileged_network("1 0"));
  const auto id = add(target("127.0.0.1"));
  ASSERT_TRUE(wait_for(id, Kind::unsent));
  EXPECT_EQ(last_[id].error, EPERM);
  const auto failures = pinger_->failures(PingOwner::ping);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].code, Errc::denied);
  EXPECT_THAT(failures[0].where,
              AllOf(HasSubstr("CAP_NET_RAW"), HasSubstr("setcap"), HasSubstr("AmbientCapabilities"),
                    HasSubstr("net.ipv4.ping_group_range")));
}

}  // namespace
}  // namespace wgvitals::probe
