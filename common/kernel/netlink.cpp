#include "common/kernel/netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>

namespace wgvitals::kernel {
namespace {

// The kernel fills a dump's datagram up to 32 KiB (net/netlink/af_netlink.c); one answer of its own
// making may be larger.
constexpr std::size_t buffer_size = 64 * 1024;
constexpr std::chrono::seconds answer_wait(2);

// At once for all of an answer's datagrams, which each overwrite the last.
class WipeAtEnd {
 public:
  explicit WipeAtEnd(const SecretBuffer& buffer) : buffer_(buffer) {}
  ~WipeAtEnd() { buffer_.wipe(used_); }
  WipeAtEnd(const WipeAtEnd&) = delete;
  void used(std::size_t size) { used_ = std::max(used_, size); }

 private:
  const SecretBuffer& buffer_;
  std::size_t used_ = 0;
};

Error kernel_error(int number) { return {errc_of_netlink(number), number, "netlink"}; }

}  // namespace

Result<Fd> open_netlink_socket(int protocol) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!socket) return Error{Errc::io, errno, "netlink socket"};
  sockaddr_nl anyone{};
  anyone.nl_family = AF_NETLINK;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&anyone), sizeof anyone) != 0) {
    return Error{Errc::io, errno, "netlink bind"};
  }
  return socket;
}

Errc errc_of_netlink(int number) {
  switch (number) {
    case ENODEV:
    case EOPNOTSUPP:
    case ENOENT:
      return Errc::absent;
    case EPERM:
    case EACCES:
      return Errc::denied;
    case EINTR:
    case EBUSY:
      return Errc::interrupted;
    default:
      return Errc::io;
  }
}

NetlinkRequest::NetlinkRequest(std::uint16_t type, std::uint16_t flags) {
  ::mnl_nlmsg_put_header(bytes_);
  header()->nlmsg_type = type;
  header()->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}

Netlink::Netlink(OpenNetlink open, int protocol)
    : open_(std::move(open)), protocol_(protocol), buffer_(buffer_size) {}

Result<Done> Netlink::ask(NetlinkRequest& request, const Take& take) {
  if (!socket_) {
    auto opened = open_(protocol_);
    if (!opened) return opened.error();
    socket_ = std::move(*opened);
  }
  request.header()->nlmsg_seq = ++sequence_;
  if (const auto sent = socket_->send(request.bytes()); !sent) {
    close();
    return sent.error();
  }
  const bool dump = (request.header()->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  return receive(sequence_, dump, take);
}

Result<Done> Netlink::receive(std::uint32_t sequence, bool dump, const Take& take) {
  WipeAtEnd wipe(buffer_);
  std::optional<Error> failure;
  bool torn = false;
  const auto outcome = [&]() -> Result<Done> {
    if (failure) return *failure;
    if (torn) return Error{Errc::interrupted, 0, "the dump was torn by a change"};
    return Done{};
  };
  while (true) {
    const auto size = socket_->receive(buffer_.bytes(), answer_wait);
    // Of a message that was too large the front is there.
    wipe.used(size ? *size : buffer_.bytes().size());
    if (!size) {
      close();
      return size.error();
    }
    int left = static_cast<int>(*size);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.bytes().data());
    bool ended = false;
    for (; !ended && is_whole(*message, left); message = ::mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence) continue;  // a late answer to a request given up
      torn = torn || (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
        // Both begin with the error, negative; 0 is success.
        int number = 0;
        if (::mnl_nlmsg_get_payload_len(message) >= sizeof number) {
          number = -*static_cast<const int*>(::mnl_nlmsg_get_payload(message));
        }
        if (number != 0 && !failure) failure = kernel_error(number);
        ended = true;
      } else if (message->nlmsg_type >= NLMSG_MIN_TYPE) {
        if (const auto taken = failure ? Result<Done>(Done{}) : take(*message); !taken) {
          failure = taken.error();
        }
        ended = !dump;
      }
    }
    if (!ended && left > 0) {
      close();
      return Error{Errc::malformed, 0, "a netlink message with a wrong length"};
    }
    if (ended) return outcome();
  }
}

}  // namespace wgvitals::kernel
