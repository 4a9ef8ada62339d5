// A server on 127.0.0.1 that does with each connection what a test wants, on a thread of its own.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "common/base/fd.h"

namespace wgvitals::test {

inline Fd listen_on_loopback(int backlog = 64) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), backlog) != 0) {
    throw std::system_error(errno, std::generic_category(), "listen");
  }
  return socket;
}

inline std::uint16_t port_of(const Fd& socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::system_error(errno, std::generic_category(), "getsockname");
  }
  return ntohs(address.sin_port);
}

// A port where nobody listens.
inline std::uint16_t closed_port() { return port_of(listen_on_loopback()); }

inline void say(const Fd& socket, std::string_view text) {
  (void)!::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

// What comes until `end` is seen, or the other side ends.
inline std::string hear(const Fd& socket, std::string_view end) {
  std::string text;
  char byte;
  while (text.find(end) == std::string::npos && ::recv(socket.get(), &byte, 1, 0) == 1) {
    text += byte;
  }
  return text;
}

class TcpServer {
 public:
  explicit TcpServer(std::function<void(Fd)> talk)
      : talk_(std::move(talk)), thread_([this] { serve(); }) {}
  ~TcpServer() {
    ended_ = true;
    thread_.join();
  }
  TcpServer(const TcpServer&) = delete;

  std::uint16_t port() const { return port_of(socket_); }
  int connections() const { return connections_; }

 private:
  void serve() {
    while (!ended_) {
      pollfd ready{socket_.get(), POLLIN, 0};
      if (::poll(&ready, 1, 20) != 1) continue;
      Fd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      ++connections_;
      if (connection) talk_(std::move(connection));
    }
  }

  Fd socket_ = listen_on_loopback(4096);
  std::function<void(Fd)> talk_;
  std::atomic<bool> ended_ = false;
  std::atomic<int> connections_ = 0;
  std::thread thread_;
};

}  // namespace wgvitals::test
