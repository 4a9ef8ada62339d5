// Many WireGuard servers of one peer, each with a key and a port on 127.0.0.1, which answer
// initiations after a set delay and keep how long they took over each:
//
//   handshake_servers COUNT DELAY_MS
//
// says "PORT PUBLIC_KEY" of each, and when its input ends "PORT NANOSECONDS..." of each one's
// answers, from when the kernel received the initiation until the response was handed to it.

#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <stdexcept>
#include <vector>

#include "common/base/fd.h"
#include "common/probe/sockets.h"
#include "tests/bench/handshake_keys.h"
#include "tests/support/wg_responder.h"
// Last.
#include <fmt/format.h>

namespace wgvitals::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Server {
  test::WgResponder responder;
  Fd socket;
  std::uint16_t port = 0;
  std::vector<std::chrono::nanoseconds> took;
};

struct Answer {
  Clock::time_point due, received;
  Server* server;
  std::array<std::uint8_t, 92> bytes;
  Endpoint to;
};

class Servers {
 public:
  Servers(std::size_t count, std::chrono::milliseconds delay)
      : delay_(delay), epoll_(::epoll_create1(0)) {
    const auto peer = crypto_->public_key_of(client_key());
    servers_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      servers_.push_back({{*crypto_, {server_key(i), peer}}, open(), 0, {}});
      auto& server = servers_.back();
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      (void)::getsockname(server.socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
      server.port = to_endpoint(address).port;
      watch(server.socket.get(), &server);
      fmt::print("{} {}\n", server.port, view(to_base64(server.responder.public_key())));
    }
    watch(STDIN_FILENO, nullptr);
    std::fflush(stdout);
  }

  void serve() {
    for (;;) {
      const auto wait = answers_.empty() ? -1 : milliseconds_until(answers_.front().due);
      epoll_event events[64];
      const int count = ::epoll_wait(epoll_.get(), events, 64, wait);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.ptr == nullptr) return;
        receive(*static_cast<Server*>(events[i].data.ptr));
      }
      while (!answers_.empty() && answers_.front().due <= Clock::now()) send();
    }
  }

  void tell() const {
    for (const auto& server : servers_) {
      fmt::print("{}", server.port);
      for (const auto took : server.took) fmt::print(" {}", took.count());
      fmt::print("\n");
    }
  }

 private:
  static Fd open() {
    Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    probe::SocketPath path;
    path.source = *parse_address("127.0.0.1");
    if (const auto applied = probe::apply(path, socket.get()); !applied) {
      throw std::runtime_error(to_text(applied.error()));
    }
    return socket;
  }

  void watch(int fd, Server* server) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = server;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      throw std::runtime_error("epoll_ctl");
    }
  }

  static int milliseconds_until(Clock::time_point when) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now());
    return static_cast<int>(std::max<std::int64_t>(0, left.count()));
  }

  void receive(Server& server) {
    std::array<std::uint8_t, 256> room;
    const probe::Received packet(server.socket.get(), 0, room);
    if (packet.size < 0 || !server.responder.consume_initiation(packet.content())) return;
    answers_.push_back({packet.at.mono + delay_, packet.at.mono, &server,
                        server.responder.respond(7), packet.from});
  }

  void send() {
    const auto& answer = answers_.front();
    sockaddr_storage address{};
    const auto size = to_sockaddr(answer.to, address);
    answer.server->took.push_back(Clock::now() - answer.received);
    (void)::sendto(answer.server->socket.get(), answer.bytes.data(), answer.bytes.size(), 0,
                   reinterpret_cast<const sockaddr*>(&address), size);
    answers_.pop_front();
  }

  std::chrono::milliseconds delay_;
  Fd epoll_;
  std::shared_ptr<const probe::Crypto> crypto_ = *probe::Crypto::load();
  std::vector<Server> servers_;
  std::deque<Answer> answers_;  // all have one delay
};

}  // namespace
}  // namespace wgvitals::bench

int main(int argc, char** argv) {
  try {
    if (argc != 3) throw std::runtime_error("handshake_servers COUNT DELAY_MS");
    wgvitals::bench::Servers servers(static_cast<std::size_t>(std::atoi(argv[1])),
                                     std::chrono::milliseconds(std::atoi(argv[2])));
    servers.serve();
    servers.tell();
    return 0;
  } catch (const std::exception& error) {
    (void)std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
