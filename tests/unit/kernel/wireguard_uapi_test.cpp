#include "common/kernel/wireguard_uapi.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/support/kept_report.h"
#include "tests/support/seen.h"
#include "tests/support/temp_root.h"
#include "tests/support/uapi_server.h"

namespace wgvitals::kernel {
namespace {

using std::chrono::milliseconds;
using test::to_words;
using test::UapiServer;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char key_line[] =
    "public_key=b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33\n";
constexpr char key_words[] = "uFmW/sycfx/G0lcqdu2hHVm80gvo5UOxXOS9hajnWjM=";

// A whole answer's lines, "malformed: why", or "not ended".
std::string parse(std::string_view text) {
  Devices out;
  SeenDevice device;
  device.name = "utun";
  device.userspace = true;
  UapiParser parser(device, out);
  while (!text.empty() && !parser.ended()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto taken = parser.take(line);
    if (!taken)
      return (taken.error().code == Errc::malformed ? "malformed: " : "failed: ") +
             taken.error().where;
  }
  if (!parser.ended()) return "not ended";
  out.devices.push_back(device);
  return to_words(out);
}

std::string peer_lines(const std::string& lines) { return parse(key_line + lines + "errno=0\n"); }

std::string fixture(const char* name) {
  std::ifstream file(std::string(WGVITALS_SOURCE_DIR "/tests/fixtures/uapi/") + name);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(UapiParser, ReadsWhatWireguardGoAnswers) {
  const auto seen = parse(fixture("wireguard-go.txt"));
  EXPECT_THAT(seen,
              AllOf(testing::StartsWith("utun port 51820 mark 81 userspace\n"), HasSubstr(" psk ["),
                    HasSubstr(" handshake never "), HasSubstr("198.51.1.2:40000"),
                    HasSubstr("[2001:db8:1::2]:40001"), HasSubstr(" version 1 [10.77.2.2/32]"),
                    HasSubstr("keepalive 40001"), HasSubstr("keepalive 40002")));
  EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 5);
}

TEST(UapiParser, ReadsWhatBoringtunAnswers) {
  const auto seen = parse(fixture("boringtun.txt"));
  EXPECT_THAT(seen, AllOf(testing::StartsWith("utun port 51820 mark 81 userspace ages\n"),
                          HasSubstr(" psk ["), HasSubstr(" handshake never "),
                          HasSubstr("198.51.1.2:40000"), HasSubstr("[2001:db8:1::2]:40001"),
                          HasSubstr(" version 0 [10.77.2.2/32]")));
  EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 5);
}

TEST(UapiParser, TakesEveryLine) {
  EXPECT_EQ(
      parse(std::string("private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feb"
                        "a52027a\nlisten_port=12912\nfwmark=0x20\n") +
            key_line +
            "preshared_key=188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52\n"
            "protocol_version=1\nendpoint=[abcd:23::33%2]:51820\nlast_handshake_time_sec=5\n"
            "last_handshake_time_nsec=6\ntx_bytes=38333\nrx_bytes=2224\n"
            "persistent_keepalive_interval=111\nallowed_ip=192.168.4.4/32\n"
            "allowed_ip=fd00::/8\nerrno=0\n\n"),
      std::string("utun port 12912 mark 32 userspace\n  ") + key_words +
          ": [abcd:23::33]:51820%2 rx 2224 tx 38333 handshake 5000000006 keepalive 111 "
          "version 1 psk [192.168.4.4/32 fd00::/8]\n");
}

TEST(UapiParser, TakesADeviceWithoutPeers) {
  EXPECT_EQ(parse("listen_port=1\nerrno=0\n"), "utun port 1 mark 0 userspace\n");
}

TEST(UapiParser, ReadsEachValueAsItStands) {
  struct Case {
    const char* line;
    const char* shown;
  };
  for (const auto& [line, shown] :
       {Case{"endpoint=192.0.2.1:51820", ": 192.0.2.1:51820 rx"},
        Case{"endpoint=[fe80::1%eth0]:1", ": [fe80::1]:1 rx"},
        Case{"endpoint=[2001:db8::1]:65535", ": [2001:db8::1]:65535 rx"},
        Case{"preshared_key=0000000000000000000000000000000000000000000000000000000000000000",
             "version 0 ["},
        Case{"rx_bytes=18446744073709551615", "rx 18446744073709551615 "},
        Case{"last_handshake_time_sec=0\nlast_handshake_time_nsec=0", "handshake never "},
        Case{"last_handshake_time_sec=0\nlast_handshake_time_nsec=7", "handshake 7 "},
        Case{"last_handshake_time_nsec=7\nlast_handshake_time_sec=2", "handshake 2000000007 "},
        Case{"last_handshake_time_sec=7", "handshake 7000000000 "},
        Case{"allowed_ip=10.0.0.1", "[10.0.0.1/32]"}, Case{"allowed_ip=::/0", "[::/0]"},
        Case{"something_new=1", "rx 0 tx 0"}, Case{"", "rx 0 tx 0"}}) {
    EXPECT_THAT(peer_lines(std::string(line) + "\n"), HasSubstr(shown)) << line;
  }
}

TEST(UapiParser, RefusesValuesThatCannotBe) {
  for (const char* line : {"endpoint=",
                           "endpoint=192.0.2.1",
                           "endpoint=192.0.2.1:65536",
                           "endpoint=a.example:1",
                           "endpoint=[2001:db8::1]",
                           "endpoint=[]:1",
                           "rx_bytes=-1",
                           "rx_bytes=18446744073709551616",
                           "tx_bytes=",
                           "tx_bytes=1x",
                           "persistent_keepalive_interval=65536",
                           "last_handshake_time_sec=-1",
                           "last_handshake_time_sec=9223372036854775807",
                           "last_handshake_time_nsec=1000000000",
                           "last_handshake_time_nsec=-1",
                           "allowed_ip=10.0.0.0/33",
                           "allowed_ip=::/129",
                           "allowed_ip=10.0.0/8",
                           "allowed_ip=10.0.0.0/",
                           "protocol_version=x",
                           "listen_port=65536",
                           "fwmark=0x",
                           "fwmark=0x100000000",
                           "public_key=00",
                           "a line alone"}) {
    EXPECT_THAT(peer_lines(std::string(line) + "\n"), testing::StartsWith("malformed: ")) << line;
  }
}

TEST(UapiParser, NeverRepeatsASecretInAMessage) {
  const auto seen = peer_lines("preshared_key=SECRET\nprivate_key=SECRET\nSECRET\n");
  EXPECT_THAT(seen, testing::StartsWith("malformed: "));
  EXPECT_THAT(seen, Not(HasSubstr("SECRET")));
}

TEST(UapiParser, TellsTheDevicesOwnError) {
  EXPECT_EQ(parse("errno=-22\n"), "failed: the device answers errno=-22");
  EXPECT_EQ(parse("errno=1\n"), "failed: the device answers errno=1");
  EXPECT_EQ(parse("listen_port=1\n"), "not ended");
}

TEST(UapiParser, TakesTheOwnKeyThatBoringtunTells) {
  Devices out;
  SeenDevice device;
  UapiParser parser(device, out);
  const auto hex = std::string(62, '0') + "1f";
  ASSERT_TRUE(parser.take("own_public_key=" + hex));
  EXPECT_EQ(device.key, key_from_hex(hex));
  EXPECT_TRUE(device.handshakes_are_ages);
  EXPECT_EQ(parse("own_public_key=00\n"), "malformed: value of own_public_key");
}

TEST(UapiParser, HasAPrivateKeyMadePublicWhereSomebodyDoesThat) {
  const std::string line =
      "private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027A";
  std::vector<std::uint8_t> given;
  const ToPublicKey to_public = [&](std::span<const std::uint8_t, 32> key) {
    given.assign(key.begin(), key.end());
    return std::optional<PublicKey>(test::key(5));
  };
  Devices out;
  SeenDevice device;
  ASSERT_TRUE(UapiParser(device, out).take(line));
  EXPECT_EQ(device.key, std::nullopt);
  UapiParser parser(device, out, &to_public);
  ASSERT_TRUE(parser.take("listen_port=1"));
  EXPECT_TRUE(given.empty());
  ASSERT_TRUE(parser.take(line));
  EXPECT_EQ(device.key, test::key(5));
  const auto expected = key_from_hex(std::string_view(line).substr(12)).value();
  EXPECT_THAT(given, testing::ElementsAreArray(expected.bytes));
  for (const auto& wrong : {line.substr(0, 74), line + "0", line.substr(0, 74) + "0g",
                            line.substr(0, 74) + " 0", std::string("private_key=")}) {
    const auto taken = parser.take(wrong);
    ASSERT_FALSE(taken) << wrong;
    EXPECT_EQ(taken.error().where, "value of private_key");
  }
  const ToPublicKey unable = [](auto) { return std::nullopt; };
  ASSERT_TRUE(UapiParser(device, out, &unable).take(line));
  EXPECT_EQ(device.key, std::nullopt);
}

TEST(UapiParser, PassesOverPeerLinesBeforeAPeer) {
  EXPECT_EQ(parse("rx_bytes=nonsense\nerrno=0\n"), "utun port 0 mark 0 userspace\n");
}

// Sockets.

class UserspaceWireGuardTest : public testing::Test {
 protected:
  UapiServer& serve(const std::string& name, UapiServer::Talk talk) {
    return servers_.emplace_back(folder() / (name + ".sock"), std::move(talk));
  }
  std::filesystem::path folder() const { return files_.root().full_path("wireguard"); }

  std::string read(UserspaceWireGuard& reader, const Selection& interfaces = {}) {
    out_.clear();
    report_ = {};
    const auto start = std::chrono::steady_clock::now();
    reader.read(interfaces, out_, report_);
    took_ = std::chrono::steady_clock::now() - start;
    // Inodes differ from run to run.
    auto words = to_words(out_);
    return words.substr(0, words.find("unread"));
  }
  std::string read(const Selection& interfaces = {}) { return read(reader_, interfaces); }

  static std::string answer(int port) {
    return "listen_port=" + std::to_string(port) + "\n" + key_line +
           "rx_bytes=" + std::to_string(port) + "\nallowed_ip=10.0.0.0/8\nerrno=0\n\n";
  }
  static std::string line(const std::string& name, int port) {
    return name + " port " + std::to_string(port) + " mark 0 userspace\n  " + key_words + ":  rx " +
           std::to_string(port) + " tx 0 handshake never keepalive 0 version 0 [10.0.0.0/8]\n";
  }

  test::TempRoot files_;
  std::list<UapiServer> servers_;
  UserspaceWireGuard reader_{folder(), milliseconds(500)};
  Devices out_;
  test::KeptReport report_;
  std::chrono::steady_clock::duration took_{};
};

TEST_F(UserspaceWireGuardTest, FindsNothingWhereThereIsNoFolder) {
  EXPECT_EQ(read(), "");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(UserspaceWireGuardTest, AsksEverySocketOfTheFolder) {
  const auto& first = serve("utun0", test::answers(answer(1)));
  serve("utun1", test::answers(answer(2)));
  files_.with("wireguard/utun2.sock", "no socket")
      .with("wireguard/.sock", "")
      .with("wireguard/x", "");
  EXPECT_EQ(read(), line("utun0", 1) + line("utun1", 2));
  EXPECT_EQ(first.question(), "get=1\n\n");
  EXPECT_THAT(report_.texts, IsEmpty());
  EXPECT_THAT(out_.unread, IsEmpty());
  EXPECT_EQ(out_.devices[0].identity.index, 0u);
  EXPECT_NE(out_.devices[0].identity, out_.devices[1].identity);
}

TEST_F(UserspaceWireGuardTest, KnowsTheProcessThatAnswers) {
  serve("utun0", test::answers_in_pieces(answer(1), 3));
  UserspaceWireGuard patient(folder(), milliseconds(30'000));
  EXPECT_EQ(read(patient), line("utun0", 1));
  EXPECT_EQ(out_.devices.at(0).process, static_cast<std::uint32_t>(::getpid()));
}

// wireguard-go begins to listen, and hands that over to a process in the background.
TEST_F(UserspaceWireGuardTest, KnowsTheProcessThatAnotherOneListenedFor) {
  std::filesystem::create_directories(folder());
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (folder() / "utun0.sock").string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  const auto text = answer(1);
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const int client = ::accept(listener.get(), nullptr, nullptr);
    char request[64];
    const bool asked = ::recv(client, request, sizeof request, 0) > 0;
    ::_exit(asked && ::send(client, text.data(), text.size(), 0) > 0 ? 0 : 1);
  }
  EXPECT_EQ(read(), line("utun0", 1));
  EXPECT_EQ(out_.devices.at(0).process, static_cast<std::uint32_t>(child));
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(UserspaceWireGuardTest, TellsADevicesOwnKeyOnlyWhereItIsAskedFor) {
  serve("utun0", test::answers("private_key=" + std::string(64, '5') + '\n' + answer(1)));
  read();
  EXPECT_EQ(out_.devices.at(0).key, std::nullopt);
  UserspaceWireGuard asking(folder(), milliseconds(500), [](auto private_key) {
    EXPECT_EQ(private_key[31], 0x55);
    return test::key(5);
  });
  EXPECT_EQ(read(asking), line("utun0", 1));
  EXPECT_EQ(out_.devices.at(0).key, test::key(5));
}

TEST_F(UserspaceWireGuardTest, AsksOnlyWhatIsSelected) {
  const auto& other = serve("utun0", test::answers(answer(1)));
  serve("utun1", test::answers(answer(2)));
  EXPECT_EQ(read(Selection({"utun1"}, {})), line("utun1", 2));
  EXPECT_EQ(other.asked(), 0);
}

TEST_F(UserspaceWireGuardTest, PutsAnAnswerTogetherThatComesInPieces) {
  serve("utun0", test::answers_in_pieces(answer(1), 3));
  UserspaceWireGuard patient(folder(), milliseconds(30'000));
  EXPECT_EQ(read(patient), line("utun0", 1));
}

TEST_F(UserspaceWireGuardTest, TakesAnAnswerThatIsLargerThanItsBuffer) {
  std::string peers;
  for (int i = 0; i < 10'000; ++i) peers += key_line;
  serve("utun0", test::answers("listen_port=1\n" + peers + "errno=0\n\n"));
  UserspaceWireGuard patient(folder(), milliseconds(30'000));
  read(patient);
  ASSERT_EQ(out_.devices.size(), 1u);
  EXPECT_EQ(out_.devices[0].peer_count, 10'000u);
}

TEST_F(UserspaceWireGuardTest, IsTheSameWhenAskedAgain) {
  serve("utun0", test::answers(answer(1)));
  EXPECT_EQ(read(), line("utun0", 1));
  EXPECT_EQ(read(), line("utun0", 1));
}

TEST_F(UserspaceWireGuardTest, LosesOnlyTheSocketThatFails) {
  struct Case {
    const char* what;
    UapiServer::Talk talk;
    const char* why;
  };
  const std::vector<Case> cases{
      {"hung", test::hangs(), "does not answer: is it hung?"},
      {"half an answer", test::hangs(answer(5).substr(0, 40)), "was not whole in 500 ms"},
      {"closed early", test::answers(answer(5).substr(0, 100)), "the answer broke off"},
      {"closed at once", test::answers(""), "the answer broke off"},
      {"garbage", test::answers("\x01\x02\xff garbage\n\n"), "a line without '='"},
      {"no line", test::repeats(std::string(4096, 'x')), "a line that does not end"},
      {"an error", test::answers("errno=-5\n\n"), "errno=-5"},
      {"a bad value", test::answers("listen_port=x\nerrno=0\n\n"), "value of listen_port"},
  };
  for (const auto& [what, talk, why] : cases) {
    UserspaceWireGuard reader(folder(), milliseconds(500));
    servers_.clear();
    std::filesystem::remove_all(folder());
    serve("utun0", test::answers(answer(1)));
    serve("utun1", talk);
    serve("utun2", test::answers(answer(2)));
    EXPECT_EQ(read(reader), line("utun0", 1) + line("utun2", 2)) << what;
    EXPECT_THAT(report_.texts, ElementsAre(AllOf(HasSubstr("utun1"), HasSubstr(why)))) << what;
    EXPECT_EQ(out_.unread.size(), 1u) << what;
  }
}

TEST_F(UserspaceWireGuardTest, StopsAnEndlessAnswer) {
  std::string block;
  for (int i = 0; i < 1000; ++i) block += "something_new=" + std::string(80, 'x') + "\n";
  const auto& endless = serve("utun0", test::repeats(block));
  UserspaceWireGuard patient(folder(), milliseconds(30'000));
  EXPECT_EQ(read(patient), "");
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("an endless answer")));
  EXPECT_EQ(read(patient), "");
  EXPECT_EQ(endless.asked(), 1);  // left alone for a while
  EXPECT_EQ(report_.texts.size(), 1u);
}

TEST_F(UserspaceWireGuardTest, TakesAFullQueueOfConnectionsForAHungProcess) {
  std::filesystem::create_directories(folder());
  const auto path = folder() / "utun0.sock";
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), name, sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 0), 0);
  const Fd first(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(first.get(), name, sizeof address), 0);
  EXPECT_EQ(read(), "");
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("utun0: its process does not answer")));
  EXPECT_EQ(out_.unread.size(), 1u);
}

TEST_F(UserspaceWireGuardTest, WaitsForTwentyHungSocketsNoLongerThanForOne) {
  for (int i = 0; i < 20; ++i) serve("hung" + std::to_string(i), test::hangs());
  serve("utun0", test::answers(answer(1)));
  EXPECT_EQ(read(), line("utun0", 1));
  EXPECT_GE(took_, milliseconds(490));
  EXPECT_LT(took_, milliseconds(1500));
  EXPECT_EQ(report_.texts.size(), 20u);
  EXPECT_EQ(out_.unread.size(), 20u);
}

TEST_F(UserspaceWireGuardTest, LeavesAHungSocketAloneForAWhile) {
  const auto& hung = serve("hung", test::hangs());
  read();
  ASSERT_EQ(hung.asked(), 1);
  EXPECT_EQ(read(), "");
  EXPECT_LT(took_, milliseconds(400));  // not asked, not waited for
  EXPECT_EQ(hung.asked(), 1);
  EXPECT_THAT(report_.codes, ElementsAre(Errc::timed_out));  // but it is not forgotten
  EXPECT_EQ(out_.unread.size(), 1u);
}

TEST_F(UserspaceWireGuardTest, NamesASocketWhoseProcessDiedAndLeavesItThere) {
  serve("utun0", test::answers(answer(1)));
  servers_.clear();
  ASSERT_TRUE(std::filesystem::exists(folder() / "utun0.sock"));
  EXPECT_EQ(read(), "");
  EXPECT_THAT(report_.texts,
              ElementsAre(AllOf(HasSubstr("utun0.sock"), HasSubstr("nobody listens"))));
  EXPECT_EQ(out_.unread.size(), 0u);  // gone, not unreadable
  EXPECT_TRUE(std::filesystem::exists(folder() / "utun0.sock"));
}

// Made printable, it might be the name of a neighbour.
TEST_F(UserspaceWireGuardTest, LeavesOutANameThatNoOutputCanCarry) {
  serve("utun_0", test::answers(answer(1)));
  serve("utun\t0", test::answers(answer(2)));
  serve(
      "utun\xff"
      "0",
      test::answers(answer(3)));
  EXPECT_EQ(read(), line("utun_0", 1));
  EXPECT_THAT(report_.texts, testing::Each(HasSubstr("utun?0: left out, its name")));
  EXPECT_EQ(report_.texts.size(), 2u);
}

TEST_F(UserspaceWireGuardTest, LeavesEverySocketThere) {
  serve("utun0", test::answers(answer(1)));
  serve("utun1", test::answers("errno=1\n\n"));
  serve("utun2", test::hangs());
  read();
  for (const char* name : {"utun0.sock", "utun1.sock", "utun2.sock"}) {
    EXPECT_TRUE(std::filesystem::exists(folder() / name)) << name;
  }
}

TEST_F(UserspaceWireGuardTest, ForgetsASocketThatIsGone) {
  serve("utun0", test::answers("errno=1\n\n"));
  read();
  std::filesystem::remove(folder() / "utun0.sock");
  EXPECT_EQ(read(), "");
  EXPECT_THAT(report_.texts, IsEmpty());
  EXPECT_THAT(out_.unread, IsEmpty());
}

TEST_F(UserspaceWireGuardTest, KeepsWhatItKnewWhereTheFolderCannotBeRead) {
  serve("utun0", test::answers(answer(1)));
  read();
  const auto known = out_.devices.at(0).identity;
  const auto aside = files_.root().full_path("aside");
  std::filesystem::rename(folder(), aside);
  std::filesystem::create_symlink(folder(), folder());  // ELOOP, for root also
  EXPECT_EQ(read(), "");
  EXPECT_THAT(report_.codes, ElementsAre(Errc::io));
  EXPECT_TRUE(out_.is_unread(known));
  std::filesystem::remove(folder());
  std::filesystem::rename(aside, folder());
  EXPECT_EQ(read(), line("utun0", 1));
}

TEST_F(UserspaceWireGuardTest, SaysThatAPathIsTooLongForASocket) {
  const auto deep = files_.root().full_path(std::string(60, 'd')) / std::string(60, 'e');
  std::filesystem::create_directories(deep);
  // Bound where the path is short, then moved.
  serve("utun0", test::answers(answer(1)));
  std::filesystem::rename(folder() / "utun0.sock", deep / "utun0.sock");
  UserspaceWireGuard reader(deep, milliseconds(500));
  EXPECT_EQ(read(reader), "");
  EXPECT_THAT(report_.codes, ElementsAre(Errc::io));
}

}  // namespace
}  // namespace wgvitals::kernel
