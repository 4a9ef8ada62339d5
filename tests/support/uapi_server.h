// Userspace WireGuard's side of the UAPI: a real AF_UNIX server with a behaviour by script.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "common/base/fd.h"

namespace wgvitals::test {

class UapiServer {
 public:
  // What is done with one client, whose question was read.
  using Talk = std::function<void(UapiServer& server, int client)>;

  UapiServer(const std::filesystem::path& path, Talk talk) : talk_(std::move(talk)) {
    std::filesystem::create_directories(path.parent_path());
    listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 16) != 0) {
      throw std::system_error(errno, std::generic_category(), path.string());
    }
    thread_ = std::thread([this] { serve(); });
  }
  UapiServer(const UapiServer&) = delete;
  ~UapiServer() {  // leaves its socket behind, like a process that died
    stopping_ = true;
    thread_.join();
  }

  int asked() const { return asked_; }
  std::string question() const {
    const std::lock_guard lock(mutex_);
    return question_;
  }
  void set_talk(Talk talk) {
    const std::lock_guard lock(mutex_);
    talk_ = std::move(talk);
  }

  // For talks: false where the client went away or the server is to end.
  bool send(int client, std::string_view text) const {
    while (!text.empty()) {
      if (stopping_) return false;
      const auto sent = ::send(client, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) return false;
      if (sent > 0) text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  bool stopping() const { return stopping_; }

 private:
  void serve() {
    while (!stopping_) {
      pollfd waiting{listener_.get(), POLLIN, 0};
      if (::poll(&waiting, 1, 10) <= 0) continue;
      const Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) continue;
      const timeval patience{0, 20'000};
      ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
      ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      read_question(client.get());
      ++asked_;
      Talk talk;
      {
        const std::lock_guard lock(mutex_);
        talk = talk_;
      }
      talk(*this, client.get());
    }
  }

  void read_question(int client) {
    std::string text;
    char block[64];
    while (!stopping_ && !text.ends_with("\n\n")) {
      const auto size = ::recv(client, block, sizeof block, 0);
      if (size == 0 || (size < 0 && errno != EAGAIN)) break;
      if (size > 0) text.append(block, static_cast<std::size_t>(size));
    }
    const std::lock_guard lock(mutex_);
    question_ = text;
  }

  Fd listener_;
  mutable std::mutex mutex_;
  Talk talk_;
  std::string question_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> asked_ = 0;
  std::thread thread_;
};

// The behaviours.

inline UapiServer::Talk answers(std::string text) {
  return [text = std::move(text)](UapiServer& server, int client) { server.send(client, text); };
}

inline UapiServer::Talk answers_in_pieces(std::string text, std::size_t piece) {
  return [text = std::move(text), piece](UapiServer& server, int client) {
    for (std::string_view rest = text; !rest.empty();) {
      const auto part = rest.substr(0, piece);
      if (!server.send(client, part)) return;
      rest.remove_prefix(part.size());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
}

// Keeps the client until the server ends.
inline UapiServer::Talk hangs(std::string first = {}) {
  return [first = std::move(first)](UapiServer& server, int client) {
    server.send(client, first);
    while (!server.stopping()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
}

inline UapiServer::Talk repeats(std::string block) {
  return [block = std::move(block)](UapiServer& server, int client) {
    while (server.send(client, block)) {
    }
  };
}

}  // namespace wgvitals::test
