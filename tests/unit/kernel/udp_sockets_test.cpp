#include "common/kernel/udp_sockets.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <vector>

#include "common/base/fd.h"
#include "common/kernel/wireguard.h"
#include "tests/support/netlink_messages.h"
#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

test::MessageBuilder socket_message(std::uint16_t port) {
  test::MessageBuilder builder(SOCK_DIAG_BY_FAMILY);
  inet_diag_msg fixed{};
  fixed.idiag_family = AF_INET;
  fixed.id.idiag_sport = htons(port);
  fixed.idiag_rqueue = 768;
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
  NetFiles files(root);
  std::vector<UdpSocket> sockets;
  const auto take = [&](const UdpSocket& socket) { sockets.push_back(socket); };
  EXPECT_EQ(read_udp_tables(files, take).error().code, Errc::absent);
  top.with("proc/net/udp", udp);
  ASSERT_TRUE(read_udp_tables(files, take));  // IPv6 is switched off
  EXPECT_EQ(sockets.size(), 1u);
  top.with("proc/net/udp6", udp6);
  ASSERT_TRUE(read_udp_tables(files, take));
  EXPECT_EQ(sockets.size(), 3u);
  top.with("proc/net/udp6", "odd");
  EXPECT_EQ(read_udp_tables(files, take).error().code, Errc::malformed);
}

TEST(UdpDiag, IsAskedOnlyWhereNoModuleWouldBeLoaded) {
  test::TempRoot top;
  EXPECT_FALSE(is_udp_diag_there(top.root()));  // only processes are shown
  top.with("proc/stat", "");
  EXPECT_TRUE(is_udp_diag_there(top.root()));  // a kernel without modules
  top.with("proc/modules", "wireguard 90112 0 - Live 0x0000000000000000\n");
  EXPECT_FALSE(is_udp_diag_there(top.root()));
  top.with("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n");
  top.with("lib/modules/6.1.0-56-amd64/modules.builtin", "kernel/net/ipv4/tcp_diag.ko\n");
  EXPECT_FALSE(is_udp_diag_there(top.root()));
  top.with("lib/modules/6.1.0-56-amd64/modules.builtin",
           "kernel/net/ipv4/tcp_diag.ko\nkernel/net/ipv4/udp_diag.ko\n");
  EXPECT_TRUE(is_udp_diag_there(top.root()));
  test::TempRoot loaded;
  loaded.with("proc/modules", "udp_diag 16384 0 - Live 0x0000000000000000\n");
  loaded.with("sys/module/udp_diag/refcnt", "0\n");
  EXPECT_TRUE(is_udp_diag_there(loaded.root()));
}

// The kernel that the tests run on: a socket of our own, seen both ways.
TEST(ReadUdpSockets, SeesASocketBothWays) {
  for (const int family : {AF_INET, AF_INET6}) {
    const Fd socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_storage any{};
    any.ss_family = static_cast<sa_family_t>(family);
    socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&any), size), 0);
    ASSERT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&any), &size), 0);
    const auto port = ntohs(reinterpret_cast<sockaddr_in*>(&any)->sin_port);  // of both families
    int room = 0;
    socklen_t room_size = sizeof room;
    ASSERT_EQ(::getsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &room, &room_size), 0);

    std::vector<UdpSocket> sockets;
    const auto take = [&](const UdpSocket& one) { sockets.push_back(one); };
    const Root root;
    NetFiles files(root);
    ASSERT_TRUE(read_udp_tables(files, take));
    EXPECT_THAT(sockets, Contains(UdpSocket{port, 0, 0, std::nullopt, 0}));
    if (!is_udp_diag_there(root)) continue;
    sockets.clear();
    Netlink diag(WireGuardReader::open_own_netlink(), NETLINK_SOCK_DIAG);
    ASSERT_TRUE(read_udp_sockets(diag, take));
    EXPECT_THAT(sockets, Contains(UdpSocket{port, 0, 0, static_cast<std::uint64_t>(room), 0}));
  }
}

}  // namespace
}  // namespace wgvitals::kernel
