// A kernel that answers one netlink request after another, whatever they are, and keeps them.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "tests/support/recorded_datagram.h"

namespace wgvitals::test {

// Outlives its sockets.
class AnsweringNetlink {
 public:
  explicit AnsweringNetlink(std::vector<Answer> answers) : answers_(std::move(answers)) {}

  kernel::OpenNetlink opener() {
    return [this](int) -> Result<std::unique_ptr<Datagram>> {
      return std::unique_ptr<Datagram>(std::make_unique<Socket>(*this));
    };
  }
  std::vector<Message> asked;

 private:
  struct Socket final : Datagram {
    explicit Socket(AnsweringNetlink& kernel_) : kernel(kernel_) {}
    Result<Done> send(std::span<const std::byte> message) override {
      kernel.asked.emplace_back(message.begin(), message.end());
      next = 0;
      return Done{};
    }
    Result<std::size_t> receive(std::span<std::byte> buffer, std::chrono::milliseconds) override {
      auto message = kernel.answers_.at(kernel.asked.size() - 1).datagrams.at(next++);
      header_of(message).nlmsg_seq = header_of(kernel.asked.back()).nlmsg_seq;
      std::ranges::copy(message, buffer.begin());
      return message.size();
    }
    AnsweringNetlink& kernel;
    std::size_t next = 0;
  };

  std::vector<Answer> answers_;
};

}  // namespace wgvitals::test
