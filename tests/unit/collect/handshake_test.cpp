// The handshake collector: what is configured, and what is told of it.

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "common/collect/collector.h"
#include "common/probe/crypto.h"
#include "tests/support/kept_report.h"
#include "tests/support/said.h"
#include "tests/support/services.h"
#include "tests/support/settings.h"
#include "tests/support/temp_root.h"
#include "tests/support/wg_responder.h"

namespace wgvitals::collect {

extern const Entry handshake;

namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Secret = test::WgResponder::Secret;

Secret secret(std::uint8_t fill) {
  Secret bytes;
  bytes.fill(fill);
  return bytes;
}

std::string to_line(const Secret& bytes) {
  const auto text = to_base64(PublicKey{bytes});
  return std::string(view(text)) + "\n";
}

std::string to_key_text(const PublicKey& key) {
  const auto text = to_base64(key);
  return std::string(view(text));
}

PublicKey public_key_of(const Secret& bytes) {
  return probe::Crypto::load().value()->public_key_of(bytes);
}

// A WireGuard server on a port of 127.0.0.1: it answers handshakes, and pings of any address.
class Server {
 public:
  explicit Server(const PublicKey& peer)
      : crypto_(probe::Crypto::load().value()), responder_(*crypto_, {secret(7), peer}) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket_.get(), plain, size), 0);
    EXPECT_EQ(::getsockname(socket_.get(), plain, &size), 0);
    place = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    ended_ = true;
    thread_.join();
  }
  Server(const Server&) = delete;

  std::string place;
  std::string key = to_key_text(public_key_of(secret(7)));

 private:
  void serve() {
    while (!ended_) {
      pollfd wait{socket_.get(), POLLIN, 0};
      if (::poll(&wait, 1, 20) != 1) continue;
      std::uint8_t bytes[2048];
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const auto got = ::recvfrom(socket_.get(), bytes, sizeof bytes, 0,
                                  reinterpret_cast<sockaddr*>(&from), &size);
      if (got <= 0) continue;
      const auto answer = answer_to({bytes, static_cast<std::size_t>(got)});
      if (answer.empty()) continue;
      (void)!::sendto(socket_.get(), answer.data(), answer.size(), 0,
                      reinterpret_cast<sockaddr*>(&from), size);
    }
  }

  std::vector<std::uint8_t> answer_to(std::span<const std::uint8_t> packet) {
    if (responder_.consume_initiation(packet)) {
      const auto response = responder_.respond(1);
      return {response.begin(), response.end()};
    }
    auto inner = responder_.open(packet);
    if (!inner || inner->size() < 28) return {};
    std::swap_ranges(inner->begin() + 12, inner->begin() + 16, inner->begin() + 16);
    (*inner)[20] = 0;  // from echo request, 8; the checksum is more by as much
    const unsigned sum = ((*inner)[22] * 256u + (*inner)[23]) + 8 * 256u;
    const unsigned folded = (sum & 0xffff) + (sum >> 16);
    (*inner)[22] = static_cast<std::uint8_t>(folded >> 8);
    (*inner)[23] = static_cast<std::uint8_t>(folded);
    return responder_.seal(*inner);
  }

  Fd socket_{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  std::shared_ptr<const probe::Crypto> crypto_;
  test::WgResponder responder_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

class HandshakeCollectorTest : public testing::Test {
 protected:
  HandshakeCollectorTest() {
    files.with("key", to_line(secret(9))).with("open", to_line(secret(9))).with("state/x", "");
    std::filesystem::permissions(path("key"), std::filesystem::perms(0600));
    std::filesystem::permissions(path("open"), std::filesystem::perms(0644));
    ::setenv("STATE_DIRECTORY", path("state").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("STATE_DIRECTORY");
    collector.reset();
    services.loop.stop();
  }

  std::string path(const std::string& name) { return files.root().full_path(name).string(); }
  std::string block(const std::string& server, const std::string& key,
                    const std::string& more = "") {
    return "[[inputs.wgvitals.probe]]\nserver = \"" + server + "\"\nserver_key = \"" + key +
           "\"\nkey_file = \"" + path("key") + "\"\ntimeout = \"1s\"\nretries = 1\n" + more;
  }
  void make(const std::string& toml) {
    collector = handshake.make(services.services, test::settings(toml));
  }
  std::vector<std::string> read() {
    test::KeptReport report;
    collector->read(devices, report);
    notes = report.notes;
    return report.texts;
  }
  std::string emit() const {
    test::Said said;
    collector->emit({}, devices, peers, said);
    return said.text();
  }
  // What is told once there is something of all servers.
  std::string gather() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      (void)read();
    } while (!collector->unsettled().empty() && std::chrono::steady_clock::now() < end);
    return emit();
  }
  void add_device(const PublicKey& key) {
    auto& device = devices.devices.emplace_back();
    device.name = "wg7";
    device.key = key;
  }

  test::TempRoot files;
  test::TestServices services;
  std::unique_ptr<Collector> collector;
  Devices devices;
  Peers peers;
  std::vector<std::string> notes;  // of the last read()
  PublicKey own = public_key_of(secret(9));
};

TEST_F(HandshakeCollectorTest, NothingWithoutBlocks) {
  make("");
  EXPECT_EQ(collector, nullptr);
}

TEST_F(HandshakeCollectorTest, TellsOfAServerAndWhatIsBehindIt) {
  const Server server(own);
  make(block(server.place, server.key,
             "name = \"berlin\"\nlabels.site = \"x\"\ntunnel_address = \"10.0.0.1\"\n"
             "tunnel_source = \"10.0.0.2\"\ntunnel_count = 2\n"));
  EXPECT_EQ(emit(), "");
  EXPECT_THAT(gather(),
              AllOf(ContainsRegex("^wireguard_probe,probe=berlin,server=" + server.place +
                                  ",site=x ok=1 outcome_code=0 handshake_rtt_ms=[0-9.e-]+ "
                                  "cookie=0 tunnel_sent=2 tunnel_received=2 "
                                  "tunnel_rtt_ms=[0-9.e-]+ tunnel_loss_percent=0\n"),
                    ContainsRegex("\nwireguard_probe,probe=berlin,server=" + server.place +
                                  ",site=x outcome=\"ok\"")));
  EXPECT_THAT(read(), IsEmpty());
  collector->told();
  EXPECT_EQ(emit(), "");  // a result is told once
}

TEST_F(HandshakeCollectorTest, TellsOfServersThatDoNotAnswerWithoutNumbersOfAnAnswer) {
  const Server server(public_key_of(secret(3)));  // knows another key
  make(block(server.place, server.key) +
       block("no.such..name:51820", server.key, "name = \"nameless\"\n"));
  const auto said = gather();
  EXPECT_THAT(said, AllOf(HasSubstr("wireguard_probe,probe=" + server.place +
                                    ",server=" + server.place + " ok=0 outcome_code=1 cookie=0\n"),
                          HasSubstr(" outcome=\"silent\" advice=\"")));
  EXPECT_THAT(said, AllOf(HasSubstr("probe=nameless,server=no.such..name:51820 ok=0 "
                                    "outcome_code=8\n"),
                          HasSubstr(" outcome=\"name_error\" advice=\"")));
  EXPECT_THAT(read(), ElementsAre(HasSubstr("no.such..name")));
}

TEST_F(HandshakeCollectorTest, MistakesAreSaidAndTheRestGoesOn) {
  const Server server(own);
  const auto key = server.key;
  make(block("example.org", key) + block(":51820", key) + block("a:1", "c2hvcnQ=") +
       "[[inputs.wgvitals.probe]]\nserver = \"a:2\"\nserver_key = \"" + key + "\"\n" +
       block("a:3", key, "source_address = \"here\"\n") +
       block("a:4", key, "tunnel_address = \"10.0.0.1\"\n") +
       block("a:5", key, "tunnel_address = \"10.0.0.1\"\ntunnel_source = \"fd00::1\"\n") +
       block("a:6", key, "tunnel_address = \"x\"\ntunnel_source = \"10.0.0.1\"\n") +
       block("a:7", key, "tunnel_port = 80\n") + block(server.place, key, "name = \"one\"\n") +
       block("a:8", key, "name = \"one\"\nlabels.outcome = \"x\"\n"));
  const auto problem = [](const char* text) { return AllOf(HasSubstr("line "), HasSubstr(text)); };
  EXPECT_THAT(
      read(),
      ElementsAre(
          problem("server: 'example.org' is no host:port"),
          problem("server: ':51820' is no host:port"),
          problem("probe 'a:1': server_key is no public key"), problem("probe 'a:2': no key_file"),
          problem("source_address: 'here' is no address"),
          problem("tunnel_address without tunnel_source"), problem("different address families"),
          problem("tunnel_address: 'x' is no address"), problem("of no use without tunnel_address"),
          problem("probe 'one' is there already; the second is passed over")));
  EXPECT_THAT(gather(), HasSubstr("probe=one,server=" + server.place + " ok=1 "));
}

TEST_F(HandshakeCollectorTest, AKeyThatCannotBeUsedIsSaidAsLongAsItLasts) {
  for (const auto* name : {"open", "missing"}) {
    make("[[inputs.wgvitals.probe]]\nserver = \"127.0.0.1:9\"\nserver_key = \"" +
         to_key_text(public_key_of(secret(7))) + "\"\nkey_file = \"" + path(name) + "\"\n");
    for (int i = 0; i < 2; ++i) {
      test::KeptReport report;
      collector->read(devices, report);
      EXPECT_THAT(report.texts, ElementsAre(HasSubstr(path(name))));
      EXPECT_THAT(report.codes, Not(testing::Contains(Errc::absent)));  // which is no failure
    }
    EXPECT_EQ(collector->unsettled(), "");  // there is nothing to wait for
    EXPECT_EQ(emit(), "");
  }
}

TEST_F(HandshakeCollectorTest, AKeyThatCanBeUsedAtLastIsProbedWith) {
  const Server server(own);
  std::filesystem::permissions(path("key"), std::filesystem::perms(0644));
  make(block(server.place, server.key));
  EXPECT_THAT(read(), ElementsAre(HasSubstr("chmod 600")));
  std::filesystem::permissions(path("key"), std::filesystem::perms(0600));
  EXPECT_THAT(gather(), HasSubstr(" ok=1 "));
}

TEST_F(HandshakeCollectorTest, TheKeyOfALocalDeviceIsRefusedUntilThatHasAnother) {
  const Server server(own);
  add_device(own);
  make(block(server.place, server.key, "name = \"one\"\n"));
  EXPECT_THAT(read(), ElementsAre(AllOf(HasSubstr("probe 'one'"), HasSubstr("device wg7"),
                                        HasSubstr("wgvitals probe setup"))));
  EXPECT_EQ(collector->unsettled(), "");
  EXPECT_EQ(emit(), "");
  // What cannot be read may have it still.
  devices.clear();
  devices.incomplete = true;
  EXPECT_THAT(read(), testing::Contains(HasSubstr("device wg7")));
  devices.clear();
  add_device(public_key_of(secret(4)));
  EXPECT_THAT(read(), IsEmpty());
  EXPECT_EQ(collector->unsettled(), "1 of 1 servers");
}

TEST_F(HandshakeCollectorTest, TheServersOwnKeyIsRefused) {
  make(block("127.0.0.1:9", to_key_text(own), "name = \"one\"\n"));
  EXPECT_THAT(read(), ElementsAre(HasSubstr("probe 'one': the key is the server's")));
  EXPECT_EQ(emit(), "");
}

TEST_F(HandshakeCollectorTest, SaysThatTheKeyWasNotCheckedAndProbes) {
  const Server server(own);
  devices.unread.push_back({});
  make(block(server.place, server.key));
  EXPECT_THAT(read(), IsEmpty()) << "probing needs no rights, so that is no failure";
  EXPECT_THAT(notes, ElementsAre(HasSubstr("needs CAP_NET_ADMIN")));
  EXPECT_THAT(gather(), HasSubstr(" ok=1 "));
  devices.clear();
  EXPECT_THAT(read(), IsEmpty());
  EXPECT_THAT(notes, IsEmpty());
  devices.incomplete = true;
  EXPECT_THAT(read(), IsEmpty());
  EXPECT_THAT(notes, IsEmpty()) << "it was checked";
}

TEST_F(HandshakeCollectorTest, TheCollectorOfDevicesMustReadAllToCheckTheKey) {
  for (const std::string less : {"wireguard = false", "interface_include = [\"wg0\"]",
                                 "interface_exclude = [\"wg1\"]", "interface = [\"wg0\"]"}) {
    make(less + '\n' + block("127.0.0.1:9", to_key_text(public_key_of(secret(7)))));
    EXPECT_THAT(read(), IsEmpty()) << less;
    EXPECT_THAT(notes, ElementsAre(HasSubstr("the collector wireguard"))) << less;
  }
}

}  // namespace
}  // namespace wgvitals::collect
