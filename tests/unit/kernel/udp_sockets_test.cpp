#include "common/kernel/udp_sockets.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "common/base/fd.h"
#include "tests/support/answering_netlink.h"
#include "tests/support/netlink_messages.h"
#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

test::MessageBuilder socket_message(std::uint16_t port, int family = AF_INET,
                                    std::uint32_t rx_queue = 768) {
  test::MessageBuilder builder(SOCK_DIAG_BY_FAMILY);
  inet_diag_msg fixed{};
  fixed.idiag_family = static_cast<std::uint8_t>(family);
  fixed.id.idiag_sport = htons(port);
  fixed.idiag_rqueue = rx_queue;
  fixed.idiag_wqueue = 512;
  builder.fixed(fixed);
  return builder;
}

TEST(ParseUdpSocket, TakesMemoryOfNewAndOldKernels) {
  std::uint32_t memory[SK_MEMINFO_VARS] = {1, 212992, 3, 4, 5, 6, 7, 8, 9};
  auto builder = socket_message(51820);
  auto parsed = parse_udp_socket(
      test::header_of(builder.put_bytes(INET_DIAG_SKMEMINFO, memory, sizeof memory).message()));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, (UdpSocket{51820, 768, 512, 212992, 9}));
  auto old = socket_message(51821);  // before Linux 4.7
  parsed = parse_udp_socket(
      test::header_of(old.put_bytes(INET_DIAG_SKMEMINFO, memory, 8 * 4).message()));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, (UdpSocket{51821, 768, 512, 212992, std::nullopt}));
}

TEST(ParseUdpSocket, RefusesWhatIsDamaged) {
  EXPECT_FALSE(parse_udp_socket(test::header_of(test::link_message({}))));
  test::MessageBuilder short_one(SOCK_DIAG_BY_FAMILY);
  EXPECT_FALSE(parse_udp_socket(test::header_of(short_one.message())));
}

// Recorded from Linux 6.18; the last two columns and the queues changed.
const char* const udp =
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode ref pointer drops             \n"
    " 2031: 0100007F:CA6C 00000000:0000 07 00000010:00000300 00:00000000 00000000     0        0 "
    "8813 2 0000000000000000 12          \n"
    " 2032: 0100007F:0035 0100007F:0036 01 00000000:00000000 00:00000000 00000000     0        0 "
    "8814 2 0000000000000000 7           \n";
const char* const udp6 =
    "  sl  local_address                         remote_address                        st tx_queue "
    "rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
    " 3031: 00000000000000000000000000000000:CA6C 00000000000000000000000000000000:0000 07 "
    "00000000:00000001 00:00000000 00000000     0        0 0 2 0000000000000000 4294967299\n";

std::vector<UdpSocket> parse(const char* text) {
  std::vector<UdpSocket> sockets;
  const auto parsed = parse_udp_table(text, [&](auto& socket) { sockets.push_back(socket); });
  EXPECT_TRUE(parsed);
  return sockets;
}

TEST(ParseUdpTable, TakesThoseThatAreNotConnected) {
  EXPECT_THAT(parse(udp), ElementsAre(UdpSocket{51820, 0x300, 0x10, std::nullopt, 12}));
  EXPECT_THAT(parse(udp6), ElementsAre(UdpSocket{51820, 1, 0, std::nullopt, 4294967299}));
}

TEST(ParseUdpTable, TakesColumnsByTheirNames) {
  EXPECT_THAT(parse("sl st new local_address tx_queue rx_queue\n"
                    "1: 07 x 0100007F:0035 00000001:00000002\n"),
              ElementsAre(UdpSocket{53, 2, 1, std::nullopt, std::nullopt}));
  EXPECT_THAT(parse("sl local_address st tx_queue rx_queue\n\n"), IsEmpty());
}

TEST(ParseUdpTable, RefusesWhatIsDamaged) {
  const std::string names = "sl local_address st tx_queue rx_queue drops\n";
  for (const std::string text : {"", "sl st tx_queue\n"}) {
    EXPECT_FALSE(parse_udp_table(text, [](auto&) {})) << text;
  }
  for (const char* line : {"1: 0100007F:0035 07 1:2", "1: 0100007F 07 1:2 3", "1: 0:0035 x 1:2 3",
                           "1: 0:0035 07 12 3", "1: 0:0035 07 1:2 x", "1: 0:10000 07 1:2 3"}) {
    EXPECT_FALSE(parse_udp_table(names + line + "\n", [](auto&) {})) << line;
  }
}

TEST(ReadUdpTables, AreOfBothFamilies) {
  test::TempRoot top;
  const Root root = top.root();
  KernelModule module(root, "udp_diag");
  NetFiles files(root);
  std::vector<UdpSocket> sockets;
  const auto take = [&](const UdpSocket& socket) { sockets.push_back(socket); };
  EXPECT_EQ(read_udp_tables(files, module, take).error().code, Errc::absent);
  top.with("proc/net/udp", udp);
  ASSERT_TRUE(read_udp_tables(files, module, take));  // IPv6 is switched off
  EXPECT_EQ(sockets.size(), 1u);
  top.with("proc/net/udp6", udp6);
  ASSERT_TRUE(read_udp_tables(files, module, take));
  EXPECT_EQ(sockets.size(), 3u);
  top.with("proc/net/udp6", "odd");
  EXPECT_EQ(read_udp_tables(files, module, take).error().code, Errc::malformed);
}

TEST(ReadUdpTables, AreReadOnlyWhileTheyAreShort) {
  test::TempRoot top;
  std::string many = udp;
  while (many.size() < 300'000) many += udp6 + std::string(udp6).find('\n') + 1;
  top.with("proc/net/udp", many).with("proc/modules", "");
  const Root root = top.root();
  KernelModule module(root, "udp_diag");
  NetFiles files(root);
  const auto read = read_udp_tables(files, module, [](auto&) {});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::io);
  EXPECT_THAT(read.error().where, HasSubstr("too many"));
  EXPECT_THAT(read.error().where, HasSubstr("modprobe udp_diag"));
}

// A kernel that answers for each family in turn.
std::vector<std::uint64_t> queues_told(std::vector<test::Answer> answers) {
  test::AnsweringNetlink kernel(std::move(answers));
  Netlink diag(kernel.opener(), NETLINK_SOCK_DIAG);
  std::vector<std::uint64_t> queues;
  const auto read = read_udp_port(
      diag, 51820, [&](const UdpSocket& one) { queues.push_back(one.rx_queue_bytes); });
  if (!read) queues = {static_cast<std::uint64_t>(-read.error().number)};
  EXPECT_EQ(kernel.asked.size(), 2u);
  return queues;
}

TEST(ReadUdpPort, AsksForOneOfEachFamily) {
  const auto ipv4 = test::one(socket_message(51820, AF_INET, 1).message());
  const auto ipv6 = test::one(socket_message(51820, AF_INET6, 2).message());
  const auto none = test::refusal(ENOENT);
  EXPECT_THAT(queues_told({ipv4, ipv6}), ElementsAre(1, 2));
  EXPECT_THAT(queues_told({ipv6, ipv6}), ElementsAre(2)) << "one that takes both families";
  EXPECT_THAT(queues_told({none, none}), IsEmpty());
  EXPECT_THAT(queues_told({ipv4, test::refusal(EINVAL)}), ElementsAre(1)) << "no IPv6";
  EXPECT_THAT(queues_told({ipv4, test::refusal(EPERM)}),
              ElementsAre(static_cast<std::uint64_t>(-EPERM)));
}

// A socket of our own that takes from everywhere.
struct Bound {
  Bound(int family_, int only_ipv6)
      : family(family_), socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (family == AF_INET6) {
      EXPECT_EQ(::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only_ipv6, sizeof only_ipv6),
                0);
    }
    sockaddr_storage any{};
    any.ss_family = static_cast<sa_family_t>(family);
    socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&any), size), 0);
    EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&any), &size), 0);
    port = ntohs(reinterpret_cast<sockaddr_in*>(&any)->sin_port);  // of both families
    int bytes = 0;
    socklen_t bytes_size = sizeof bytes;
    EXPECT_EQ(::getsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &bytes, &bytes_size), 0);
    room = static_cast<std::uint64_t>(bytes);
  }

  int family;
  Fd socket;
  std::uint16_t port = 0;
  std::uint64_t room = 0;
};

// The kernel that the tests run on: sockets of our own, seen both ways.
class OwnSockets : public testing::TestWithParam<std::pair<int, int>> {};

TEST_P(OwnSockets, AreSeenBothWays) {
  const Bound bound(GetParam().first, GetParam().second);
  const Root root;
  KernelModule module(root, "udp_diag");
  NetFiles files(root);
  std::vector<UdpSocket> sockets;
  ASSERT_TRUE(
      read_udp_tables(files, module, [&](const UdpSocket& one) { sockets.push_back(one); }));
  EXPECT_THAT(sockets, Contains(UdpSocket{bound.port, 0, 0, std::nullopt, 0}));

  const bool by_diag = module.look() == KernelModule::State::there;
  UdpSockets all(root, module, {});
  std::vector<UdpPort> nobodys{{1, {}}};
  ASSERT_TRUE(all.read(nobodys));
  EXPECT_EQ(nobodys[0].sum, std::nullopt);
  std::vector<UdpPort> ports{{1, {}}, {bound.port, {}}, {bound.port, {}}};
  sort_once(ports);
  ASSERT_EQ(ports.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(all.read(ports));
    const auto* port = find_port(ports, bound.port);
    ASSERT_TRUE(port != nullptr && port->sum);
    EXPECT_EQ(port->sum->drops, 0u);
    EXPECT_EQ(port->sum->rcvbuf_bytes, by_diag ? std::optional(bound.room) : std::nullopt);
    EXPECT_EQ(find_port(ports, 1)->sum, std::nullopt);
  }
}

INSTANTIATE_TEST_SUITE_P(All, OwnSockets,
                         testing::Values(std::pair(AF_INET, 0), std::pair(AF_INET6, 1),
                                         std::pair(AF_INET6, 0)));

}  // namespace
}  // namespace wgvitals::kernel
