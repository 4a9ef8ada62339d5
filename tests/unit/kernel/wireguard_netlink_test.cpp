#include "common/kernel/wireguard_netlink.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "tests/support/kept_report.h"
#include "tests/support/recorded_datagram.h"
#include "tests/support/seen.h"

namespace wgvitals::kernel {
namespace {

using test::device_message;
using test::KernelPeer;
using test::key;
using test::Message;
using test::more_peers;
using test::to_words;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint16_t family = 31;
const test::KernelDevice wg0{7, "wg0", 51820, 81};

// One device from messages: its lines, or "malformed: why".
std::string parse(const std::vector<Message>& messages) {
  Devices out;
  SeenDevice device;
  device.name = "wg0";
  for (const auto& message : messages) {
    const auto parsed = parse_device_message(test::header_of(message), device, out);
    if (!parsed && parsed.error().code == Errc::malformed) {
      return "malformed: " + parsed.error().where;
    }
    if (!parsed) return "another failure";
  }
  out.devices.push_back(device);
  return to_words(out);
}

KernelPeer full_peer(std::uint32_t number) {
  return {.key = key(number),
          .endpoint = "192.0.2.1",
          .port = 40001,
          .keepalive = 25,
          .handshake_s = 1795253575,
          .handshake_ns = 123,
          .rx_bytes = 1000,
          .tx_bytes = 2000,
          .allowed_ips = {{"10.0.0.0", 8}, {"2001:db8::", 32}}};
}

TEST(ParseDeviceMessage, TakesEveryAttribute) {
  EXPECT_EQ(parse({device_message(family, wg0, {full_peer(1)})}),
            "wg0 port 51820 mark 81 kernel\n"
            "  key 1: 192.0.2.1:40001 rx 1000 tx 2000 handshake 1795253575000000123 keepalive 25 "
            "version 1 [10.0.0.0/8 2001:db8::/32]\n");
}

TEST(ParseDeviceMessage, LeavesAbsentWhatAPeerDoesNotHave) {
  EXPECT_EQ(parse({device_message(family, {7, "wg0"}, {{.key = key(1)}})}),
            "wg0 port 0 mark 0 kernel\n"
            "  key 1:  rx 0 tx 0 handshake never keepalive 0 version 1 []\n");
}

TEST(ParseDeviceMessage, TakesADeviceWithoutPeers) {
  EXPECT_EQ(parse({device_message(family, wg0, {})}), "wg0 port 51820 mark 81 kernel\n");
}

TEST(ParseDeviceMessage, KnowsEndpointsOfBothFamiliesAndTheirScope) {
  struct Case {
    const char* address;
    std::uint32_t scope;
    const char* shown;
  };
  for (const auto& [address, scope, shown] :
       {Case{"203.0.113.9", 0, "203.0.113.9:1234"}, Case{"2001:db8::9", 0, "[2001:db8::9]:1234"},
        Case{"fe80::9", 3, "[fe80::9]:1234%3"}}) {
    const auto seen = parse({device_message(
        family, wg0, {{.key = key(1), .endpoint = address, .port = 1234, .scope = scope}})});
    EXPECT_THAT(seen, HasSubstr(std::string("key 1: ") + shown + " rx"));
  }
}

TEST(ParseDeviceMessage, SaysOnlyWhetherThereIsAPresharedKey) {
  const auto seen = parse({device_message(
      family, wg0, {{.key = key(1), .psk = test::preshared_key}, {.key = key(2)}})});
  EXPECT_THAT(seen, HasSubstr("key 1:  rx 0 tx 0 handshake never keepalive 0 version 1 psk []"));
  EXPECT_THAT(seen, HasSubstr("key 2:  rx 0 tx 0 handshake never keepalive 0 version 1 []"));
}

TEST(ParseDeviceMessage, JoinsAPeerThatIsSplitOverMessages) {
  const KernelPeer rest{.key = key(1), .continued = true, .allowed_ips = {{"192.168.0.0", 16}}};
  const KernelPeer more{.key = key(1), .continued = true, .allowed_ips = {{"172.16.0.0", 12}}};
  const auto joined =
      "wg0 port 51820 mark 81 kernel\n"
      "  key 1: 192.0.2.1:40001 rx 1000 tx 2000 handshake 1795253575000000123 keepalive 25 "
      "version 1 [10.0.0.0/8 2001:db8::/32 192.168.0.0/16 172.16.0.0/12]\n"
      "  key 2:  rx 5 tx 0 handshake never keepalive 0 version 1 [10.1.0.0/16]\n";
  const KernelPeer next{.key = key(2), .rx_bytes = 5, .allowed_ips = {{"10.1.0.0", 16}}};
  const auto first = device_message(family, wg0, {full_peer(1)});
  EXPECT_EQ(parse({first, more_peers(family, {rest}), more_peers(family, {more, next})}), joined);
  // A first peer that fills its message: the device is told once more.
  EXPECT_EQ(parse({first, device_message(family, wg0, {rest}), more_peers(family, {more, next})}),
            joined);
}

TEST(ParseDeviceMessage, JoinsOnlyPeersThatFollowEachOther) {
  const KernelPeer rest{.key = key(1), .continued = true, .allowed_ips = {{"10.9.0.0", 16}}};
  const auto seen = parse(
      {device_message(family, wg0, {full_peer(1), full_peer(2)}), more_peers(family, {rest})});
  EXPECT_THAT(seen, HasSubstr("  key 2: 192.0.2.1:40001 rx 1000 tx 2000 handshake "
                              "1795253575000000123 keepalive 25 version 1 [10.0.0.0/8 "
                              "2001:db8::/32]\n  key 1:"));
}

TEST(ParseDeviceMessage, DoesNotJoinTheLastPeerOfAnotherDevice) {
  Devices out;
  SeenDevice first;
  ASSERT_TRUE(parse_device_message(test::header_of(device_message(family, wg0, {full_peer(1)})),
                                   first, out));
  SeenDevice second;
  second.first_peer = 1;
  const KernelPeer same{.key = key(1), .rx_bytes = 7};
  ASSERT_TRUE(
      parse_device_message(test::header_of(device_message(family, wg0, {same})), second, out));
  ASSERT_EQ(out.peers.size(), 2u);
  EXPECT_EQ(out.peers[0].rx_bytes, 1000u);
  EXPECT_EQ(out.peers[1].rx_bytes, 7u);
  EXPECT_EQ(second.peer_count, 1u);
}

TEST(ParseDeviceMessage, PassesOverAttributesThatItDoesNotKnow) {
  auto builder = test::device_builder(family);
  test::put_device(builder, wg0);
  builder.put(999, std::uint64_t{1}).nest(WGDEVICE_A_PEERS, [&](test::MessageBuilder& list) {
    list.nest(0, [&](test::MessageBuilder& peer) {
      peer.put(WGPEER_A_PUBLIC_KEY, key(1).bytes)
          .put_text(888, "new")
          .put(WGPEER_A_RX_BYTES, std::uint64_t{5});
      peer.nest(WGPEER_A_ALLOWEDIPS, [&](test::MessageBuilder& ips) {
        ips.nest(0, [&](test::MessageBuilder& ip) {
          ip.put(WGALLOWEDIP_A_FAMILY, std::uint16_t{AF_INET})
              .put(777, std::uint32_t{1})
              .put(WGALLOWEDIP_A_IPADDR, std::uint32_t{10})
              .put(WGALLOWEDIP_A_CIDR_MASK, std::uint8_t{8});
        });
      });
    });
  });
  EXPECT_EQ(parse({builder.message()}),
            "wg0 port 51820 mark 81 kernel\n"
            "  key 1:  rx 5 tx 0 handshake never keepalive 0 version 0 [10.0.0.0/8]\n");
}

TEST(ParseDeviceMessage, TakesTheDevicesOwnKey) {
  auto builder = test::device_builder(family);
  test::put_device(builder, wg0);
  builder.put(WGDEVICE_A_PUBLIC_KEY, key(9).bytes);
  Devices out;
  SeenDevice device;
  ASSERT_TRUE(parse_device_message(test::header_of(builder.message()), device, out));
  EXPECT_EQ(device.key, key(9));
  // Later messages do not repeat it; a device without private key has none.
  ASSERT_TRUE(parse_device_message(test::header_of(more_peers(family, {})), device, out));
  EXPECT_EQ(device.key, key(9));
  SeenDevice other;
  ASSERT_TRUE(parse_device_message(test::header_of(device_message(family, wg0, {})), other, out));
  EXPECT_EQ(other.key, std::nullopt);
}

TEST(ParseDeviceMessage, RefusesDeviceAttributesOfAWrongSize) {
  struct Case {
    int type;
    const char* why;
  };
  for (const auto& [type, why] :
       {Case{WGDEVICE_A_LISTEN_PORT, "malformed: size of WGDEVICE_A_LISTEN_PORT"},
        Case{WGDEVICE_A_FWMARK, "malformed: size of WGDEVICE_A_FWMARK"},
        Case{WGDEVICE_A_PUBLIC_KEY, "malformed: size of WGDEVICE_A_PUBLIC_KEY"}}) {
    auto builder = test::device_builder(family);
    builder.put(type, std::uint64_t{1});
    EXPECT_EQ(parse({builder.message()}), why);
  }
}

TEST(ParseDeviceMessage, RefusesPeerAttributesOfAWrongSize) {
  for (const int type :
       {WGPEER_A_PUBLIC_KEY, WGPEER_A_PRESHARED_KEY, WGPEER_A_ENDPOINT,
        WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, WGPEER_A_LAST_HANDSHAKE_TIME, WGPEER_A_RX_BYTES,
        WGPEER_A_TX_BYTES, WGPEER_A_PROTOCOL_VERSION, WGPEER_A_ALLOWEDIPS}) {
    auto builder = test::device_builder(family);
    builder.nest(WGDEVICE_A_PEERS, [&](test::MessageBuilder& list) {
      list.nest(0, [&](test::MessageBuilder& peer) {
        peer.put(WGPEER_A_PUBLIC_KEY, key(1).bytes).put_bytes(type, "\x05\x00\x07", 3);
      });
    });
    EXPECT_THAT(parse({builder.message()}), HasSubstr("malformed: size of WGPEER_A_")) << type;
  }
}

TEST(ParseDeviceMessage, RefusesAPeerWithoutAKey) {
  auto builder = test::device_builder(family);
  builder.nest(WGDEVICE_A_PEERS, [&](test::MessageBuilder& list) {
    list.nest(0,
              [&](test::MessageBuilder& peer) { peer.put(WGPEER_A_RX_BYTES, std::uint64_t{5}); });
  });
  EXPECT_THAT(parse({builder.message()}), HasSubstr("malformed: "));
}

TEST(ParseDeviceMessage, RefusesHandshakeTimesThatCannotBe) {
  struct Case {
    std::int64_t seconds, nanoseconds;
    bool possible;
  };
  for (const auto& [seconds, nanoseconds, possible] :
       {Case{0, 1, true}, Case{1, 0, true}, Case{4'000'000'000, 999'999'999, true},
        Case{-1, 0, false}, Case{0, -1, false}, Case{1, 1'000'000'000, false},
        Case{INT64_MAX, 0, false}, Case{INT64_MIN, INT64_MIN, false},
        Case{INT64_MAX / 1'000'000'000, 999'999'999, false}}) {
    const auto seen = parse({device_message(
        family, wg0, {{.key = key(1), .handshake_s = seconds, .handshake_ns = nanoseconds}})});
    if (possible) {
      EXPECT_THAT(seen,
                  HasSubstr("handshake " + std::to_string(seconds * 1'000'000'000 + nanoseconds)));
    } else {
      EXPECT_EQ(seen, "malformed: size of WGPEER_A_LAST_HANDSHAKE_TIME");
    }
  }
}

TEST(ParseDeviceMessage, RefusesAllowedIpsThatCannotBe) {
  struct Case {
    std::uint16_t family;
    std::size_t bytes;
    std::uint8_t length;
    bool possible;
  };
  for (const auto& one :
       {Case{AF_INET, 4, 32, true}, Case{AF_INET6, 16, 128, true}, Case{AF_INET, 4, 33, false},
        Case{AF_INET6, 16, 129, false}, Case{AF_INET, 16, 8, false}, Case{AF_INET6, 4, 8, false},
        Case{AF_INET, 5, 8, false}, Case{AF_UNIX, 4, 8, false}}) {
    auto builder = test::device_builder(family);
    builder.nest(WGDEVICE_A_PEERS, [&](test::MessageBuilder& list) {
      list.nest(0, [&](test::MessageBuilder& peer) {
        peer.put(WGPEER_A_PUBLIC_KEY, key(1).bytes);
        peer.nest(WGPEER_A_ALLOWEDIPS, [&](test::MessageBuilder& ips) {
          ips.nest(0, [&](test::MessageBuilder& ip) {
            ip.put(WGALLOWEDIP_A_FAMILY, one.family)
                .put_bytes(WGALLOWEDIP_A_IPADDR, "0123456789abcdef", one.bytes)
                .put(WGALLOWEDIP_A_CIDR_MASK, one.length);
          });
        });
      });
    });
    EXPECT_EQ(parse({builder.message()}) != "malformed: size of WGPEER_A_ALLOWEDIPS", one.possible)
        << one.family << ' ' << one.bytes << '/' << int{one.length};
  }
}

TEST(ParseDeviceMessage, RefusesMessagesThatAreCutOff) {
  const auto whole = device_message(family, wg0, {full_peer(1)});
  for (std::size_t size = sizeof(nlmsghdr); size < whole.size(); ++size) {
    auto part = whole;
    part.resize(size);
    test::header_of(part).nlmsg_len = static_cast<std::uint32_t>(size);
    const auto seen = parse({part});
    EXPECT_THAT(seen, Not(HasSubstr("2001:db8::/32"))) << size;
  }
}

// Reading, by script.

class KernelWireGuardTest : public testing::Test {
 protected:
  KernelWireGuardTest() : reader_(kernel_.opener(), "", 4026) {}

  std::string read(const Selection& interfaces = {}) {
    out_.clear();
    report_ = {};
    reader_.read(interfaces, out_, report_);
    return to_words(out_);
  }

  static Message link(std::uint32_t index, const char* name, const char* kind = "wireguard") {
    return test::link_message(test::named_link(name, kind, index));
  }
  static Message device(std::uint32_t index, const char* name, std::uint32_t peer) {
    return device_message(family, {index, name, 1, 2}, {{.key = key(peer), .rx_bytes = peer}});
  }
  static std::string line(const char* name, std::uint32_t index, std::uint32_t peer) {
    const auto number = std::to_string(peer);
    return std::string(name) + " port 1 mark 2 kernel link " + std::to_string(index) + "\n  key " +
           number + ":  rx " + number + " tx 0 handshake never keepalive 0 version 1 []\n";
  }

  test::RecordedKernel kernel_;
  KernelWireGuard reader_;
  Devices out_;
  test::KeptReport report_;
};

TEST_F(KernelWireGuardTest, DoesNotLookUpTheFamilyWhereNoLinkIs) {
  kernel_.on("links wireguard", test::dump({link(2, "eth0", "veth")}));
  EXPECT_EQ(read(), "");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(KernelWireGuardTest, ReadsEveryDeviceAndAsksForTheFamilyOnce) {
  for (int i = 0; i < 2; ++i) {
    kernel_.on("links wireguard", test::dump({link(7, "wg0"), link(9, "wg1")}));
    if (i == 0) kernel_.on("family wireguard", test::one(test::family_message(family)));
    kernel_.on("device 7 of 31", test::dump({device(7, "wg0", 3)}))
        .on("device 9 of 31", test::dump_together({device(9, "wg1", 4)}));
  }
  EXPECT_EQ(read(), line("wg0", 7, 3) + line("wg1", 9, 4));
  EXPECT_EQ(out_.devices[0].identity, (DeviceIdentity{4026, 7}));
  EXPECT_EQ(read(), line("wg0", 7, 3) + line("wg1", 9, 4));
  EXPECT_EQ(kernel_.opened, 2);
}

TEST_F(KernelWireGuardTest, ReadsOnlyWhatIsSelected) {
  kernel_.on("links wireguard", test::dump({link(7, "wg0"), link(9, "wg1")}))
      .on("family wireguard", test::one(test::family_message(family)))
      .on("device 9 of 31", test::dump({device(9, "wg1", 4)}));
  EXPECT_EQ(read(Selection({}, {"wg0"})), line("wg1", 9, 4));
}

TEST_F(KernelWireGuardTest, BeginsATornDumpAnewAndForgetsItsFirstHalf) {
  kernel_.on("links wireguard", test::dump({link(7, "wg0"), link(9, "wg1")}))
      .on("family wireguard", test::one(test::family_message(family)))
      .on("device 7 of 31", test::dump({device(7, "wg0", 3)}))
      .on("device 9 of 31", test::dump({device(9, "wg1", 5), test::torn(device(9, "wg1", 6))}))
      .on("device 9 of 31", test::dump({device(9, "wg1", 4)}));
  EXPECT_EQ(read(), line("wg0", 7, 3) + line("wg1", 9, 4));
  EXPECT_EQ(report_.retries, 1);
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(KernelWireGuardTest, GivesUpATornDumpAfterThreeTries) {
  kernel_.on("links wireguard", test::dump({link(7, "wg0"), link(9, "wg1")}))
      .on("family wireguard", test::one(test::family_message(family)));
  for (int i = 0; i < 3; ++i) {
    kernel_.on("device 7 of 31", test::dump({test::torn(device(7, "wg0", 3))}));
  }
  kernel_.on("device 9 of 31", test::dump({device(9, "wg1", 4)}));
  EXPECT_EQ(read(), line("wg1", 9, 4) + "unread 4026 7\n");
  EXPECT_EQ(report_.retries, 2);
  EXPECT_THAT(report_.codes, ElementsAre(Errc::interrupted));
  EXPECT_THAT(report_.texts,
              ElementsAre(HasSubstr("wg0: peers changed during each of 3 readings")));
}

TEST_F(KernelWireGuardTest, TriesTheListOfLinksThreeTimes) {
  for (int i = 0; i < 3; ++i) {
    kernel_.on("links wireguard", test::dump({test::torn(link(7, "wg0"))}));
  }
  EXPECT_EQ(read(), "unread 4026 0\n");
  EXPECT_EQ(report_.retries, 2);
  EXPECT_THAT(report_.codes, ElementsAre(Errc::interrupted));
}

TEST_F(KernelWireGuardTest, LosesOnlyTheDeviceThatFails) {
  auto damaged = test::device_builder(family);
  damaged.put(WGDEVICE_A_FWMARK, std::uint8_t{1});
  kernel_.on("links wireguard", test::dump({link(7, "wg0"), link(8, "wg1"), link(9, "wg2")}))
      .on("family wireguard", test::one(test::family_message(family)))
      .on("device 7 of 31", test::dump({device(7, "wg0", 3)}))
      .on("device 8 of 31", test::dump({device(8, "wg1", 5), damaged.message()}))
      .on("device 9 of 31", test::dump({device(9, "wg2", 4)}));
  EXPECT_EQ(read(), line("wg0", 7, 3) + line("wg2", 9, 4) + "unread 4026 8\n");
  EXPECT_THAT(report_.texts, ElementsAre("wg1: size of WGDEVICE_A_FWMARK"));
}

TEST_F(KernelWireGuardTest, SaysNothingOfADeviceThatWentAwayMeanwhile) {
  kernel_.on("links wireguard", test::dump({link(7, "wg0")}))
      .on("family wireguard", test::one(test::family_message(family)))
      .on("device 7 of 31", test::refusal(ENODEV));
  EXPECT_EQ(read(), "");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(KernelWireGuardTest, NamesTheCapabilityThatIsMissingAndHowToGrantIt) {
  kernel_.on("links wireguard", test::dump({link(7, "wg0")}))
      .on("family wireguard", test::one(test::family_message(family)))
      .on("device 7 of 31", test::refusal(EPERM));
  EXPECT_EQ(read(), "unread 4026 7\n");
  EXPECT_THAT(report_.codes, ElementsAre(Errc::denied));
  EXPECT_THAT(report_.texts,
              ElementsAre(AllOf(HasSubstr("kernel peers"), HasSubstr("CAP_NET_ADMIN"),
                                HasSubstr("setcap cap_net_admin=p"),
                                HasSubstr("AmbientCapabilities=CAP_NET_ADMIN"))));
}

TEST_F(KernelWireGuardTest, FindsTheFamilyAnewAfterTheModuleWasReloaded) {
  kernel_.on("links wireguard", test::dump({link(7, "wg0")}))
      .on("family wireguard", test::one(test::family_message(family)))
      .on("device 7 of 31", test::dump({device(7, "wg0", 3)}))
      .on("links wireguard", test::dump({link(8, "wg0")}))
      .on("device 8 of 31", test::refusal(ENOENT))
      .on("family wireguard", test::one(test::family_message(34)))
      .on("device 8 of 34", test::dump({device(8, "wg0", 4)}));
  EXPECT_EQ(read(), line("wg0", 7, 3));
  EXPECT_EQ(read(), line("wg0", 8, 4));
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(KernelWireGuardTest, ReportsAFamilyWithoutANumber) {
  test::MessageBuilder nameless(GENL_ID_CTRL, 0);
  nameless.fixed(genlmsghdr{CTRL_CMD_NEWFAMILY, 2, 0});
  kernel_.on("links wireguard", test::dump({link(7, "wg0")}))
      .on("family wireguard", test::one(nameless.message()));
  EXPECT_EQ(read(), "unread 4026 7\n");
  EXPECT_THAT(report_.codes, ElementsAre(Errc::malformed));
}

TEST_F(KernelWireGuardTest, ReportsAKernelThatDoesNotAnswer) {
  kernel_.on("links wireguard", test::dump({link(7, "wg0")}))
      .on("family wireguard", test::one(test::family_message(family)))
      .on("device 7 of 31", test::one(device(7, "wg0", 3)).then_silence());
  EXPECT_EQ(read(), "unread 4026 7\n");
  EXPECT_THAT(report_.codes, ElementsAre(Errc::timed_out));
}

TEST_F(KernelWireGuardTest, NamesTheNamespaceOfWhatFailed) {
  KernelWireGuard blue(kernel_.opener(), "blue", 4099);
  kernel_.on("links wireguard", test::dump({link(7, "wg0"), link(9, "wg1")}))
      .on("family wireguard", test::one(test::family_message(family)))
      .on("device 7 of 31", test::refusal(EPERM))
      .on("device 9 of 31", test::refusal(ENOMEM));
  blue.read({}, out_, report_);
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("netns blue: "), HasSubstr("wg1@blue: ")));
  EXPECT_EQ(to_words(out_), "unread 4099 7\nunread 4099 9\n");
}

TEST_F(KernelWireGuardTest, ShowsANamespaceAsEveryOutputCan) {
  const KernelWireGuard odd(kernel_.opener(), "bl\tue", 4099);
  EXPECT_EQ(odd.netns(), "bl_ue");
}

TEST_F(KernelWireGuardTest, LeavesNoSecretInItsBuffer) {
  kernel_.on("links wireguard", test::dump({link(7, "wg0")}))
      .on("family wireguard", test::one(test::family_message(family)))
      .on("device 7 of 31", test::dump_together({device_message(
                                family, wg0, {{.key = key(3), .psk = test::preshared_key}})}));
  EXPECT_THAT(read(), HasSubstr(" psk []"));
  ASSERT_TRUE(kernel_.was_read());
  EXPECT_FALSE(kernel_.remembers(test::private_key));
  EXPECT_FALSE(kernel_.remembers(test::preshared_key));
  EXPECT_FALSE(kernel_.remembers(key(3).bytes));
}

}  // namespace
}  // namespace wgvitals::kernel
