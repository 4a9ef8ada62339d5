// Dumps over a netlink socket: libmnl's messages and attributes, our own receive loop, so that no
// error and no torn dump is lost (Documentation/userspace-api/netlink/intro.rst).
#pragma once

#include <libmnl/libmnl.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "common/base/datagram.h"
#include "common/base/result.h"
#include "common/base/secret.h"

namespace wgvitals::kernel {

// Opens a netlink socket of a protocol (NETLINK_ROUTE, NETLINK_GENERIC): the seam for tests, and
// for other network namespaces.
using OpenNetlink = std::function<Result<std::unique_ptr<Datagram>>(int protocol)>;

Result<Fd> open_netlink_socket(int protocol);

// A request under construction, at most a page.
class NetlinkRequest {
 public:
  NetlinkRequest(std::uint16_t type, std::uint16_t flags);

  // The room for a family's fixed header, zeroed; before any attribute.
  template <class Header>
  Header& extra_header() {
    return *static_cast<Header*>(::mnl_nlmsg_put_extra_header(header(), sizeof(Header)));
  }
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes_); }
  std::span<const std::byte> bytes() {
    return {reinterpret_cast<const std::byte*>(bytes_), header()->nlmsg_len};
  }

 private:
  alignas(NLMSG_ALIGNTO) char bytes_[4096] = {};
};

// One socket, its sequence numbers and its buffer, which is wiped after each answer. After an
// error of the socket itself it closes, and opens anew at the next request.
class Netlink {
 public:
  Netlink(OpenNetlink open, int protocol);

  using Take = std::function<Result<Done>(const nlmsghdr&)>;

  // Sends, and hands every message of the answer to `take`. After an error from `take` the rest is
  // still received, then that error is returned. Errors of the kernel come as errc_of() says;
  // interrupted where the dump was torn (NLM_F_DUMP_INTR).
  Result<Done> ask(NetlinkRequest& request, const Take& take);

  void close() { socket_.reset(); }

 private:
  Result<Done> receive(std::uint32_t sequence, bool dump, const Take& take);

  OpenNetlink open_;
  int protocol_;
  std::unique_ptr<Datagram> socket_;
  std::uint32_t sequence_ = 0;
  SecretBuffer buffer_;
};

// The kernel's answer as one of our errors: ENODEV, EOPNOTSUPP and ENOENT are absent, EPERM and
// EACCES denied, EINTR and EBUSY interrupted.
Errc errc_of_netlink(int number);

// Does a message of its own stated length fit into what is left? mnl_nlmsg_ok() alone takes a
// length of 2 GiB and more for a negative one.
inline bool is_whole(const nlmsghdr& message, int left) {
  return ::mnl_nlmsg_ok(&message, left) && message.nlmsg_len <= static_cast<std::uint32_t>(left);
}

// libmnl's functions for an attribute, without the call: a peer has a dozen of them.
inline int type_of(const nlattr& attribute) { return attribute.nla_type & NLA_TYPE_MASK; }
inline std::size_t payload_size(const nlattr& attribute) {
  return static_cast<std::size_t>(attribute.nla_len) - NLA_HDRLEN;
}
inline const void* payload(const nlattr& attribute) {
  return reinterpret_cast<const char*>(&attribute) + NLA_HDRLEN;
}

// A fixed-size attribute's value; empty where its size is another.
template <class T>
bool get_attribute(const nlattr& attribute, T& value) {
  if (payload_size(attribute) != sizeof(T)) return false;
  __builtin_memcpy(&value, payload(attribute), sizeof(T));
  return true;
}

// Calls `take(attribute)` for each attribute of a run of `size` bytes. false where the run itself
// is damaged, or where `take` returned false.
template <class Take>
bool for_each_attribute(const void* run, std::size_t size, Take&& take) {
  const auto* at = static_cast<const char*>(run);
  auto left = static_cast<std::ptrdiff_t>(size);
  while (left >= NLA_HDRLEN) {
    const auto& attribute = *reinterpret_cast<const nlattr*>(at);
    if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > left || !take(attribute))
      return false;
    const auto step = NLA_ALIGN(attribute.nla_len);
    at += step;
    left -= step;
  }
  return left <= 0;
}

template <class Take>
bool for_each_nested(const nlattr& nest, Take&& take) {
  return for_each_attribute(payload(nest), payload_size(nest), std::forward<Take>(take));
}

}  // namespace wgvitals::kernel
