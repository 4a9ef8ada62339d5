#include "common/base/datagram.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace wgvitals {
namespace {

class SocketDatagram final : public Datagram {
 public:
  explicit SocketDatagram(Fd socket) : socket_(std::move(socket)) {}

  Result<Done> send(std::span<const std::byte> message) override {
    const auto sent = ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL);
    if (sent < 0) return Error{Errc::io, errno, "send"};
    return Done{};
  }

  Result<std::size_t> receive(std::span<std::byte> buffer,
                              std::chrono::milliseconds wait) override {
    pollfd ready{socket_.get(), POLLIN, 0};
    const auto until = std::chrono::steady_clock::now() + wait;
    int count = 0;
    do {  // a signal meant for another thread may come by
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      count = ::poll(&ready, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    } while (count < 0 && errno == EINTR);
    if (count == 0) return Error{Errc::timed_out, 0, "receive: no answer in time"};
    if (count < 0) return Error{Errc::io, errno, "poll"};

    iovec part{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    const auto size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT);
    if (size < 0) {
      return Error{errno == ENOBUFS ? Errc::interrupted : Errc::io, errno, "receive"};
    }
    if ((header.msg_flags & MSG_TRUNC) != 0) {
      return Error{Errc::malformed, 0, "receive: a message larger than the buffer"};
    }
    return static_cast<std::size_t>(size);
  }

 private:
  Fd socket_;
};

}  // namespace

std::unique_ptr<Datagram> make_datagram(Fd socket) {
  return std::make_unique<SocketDatagram>(std::move(socket));
}

}  // namespace wgvitals
