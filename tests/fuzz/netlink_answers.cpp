// Whole readings of the kernel's devices, over a socket that answers with what the fuzzer's bytes
// choose: links, dumps, ends, errors, torn and late messages, in any order and packing.

#include "common/kernel/wireguard_netlink.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"
#include "tests/support/keys.h"
#include "tests/support/netlink_messages.h"

namespace wgvitals::fuzz {
namespace {

using test::Message;
using test::MessageBuilder;

constexpr std::uint16_t family = 31;

class Kernel final : public Datagram {
 public:
  explicit Kernel(Bytes& in) : in_(in) {}

  Result<Done> send(std::span<const std::byte> message) override {
    sequence_ = reinterpret_cast<const nlmsghdr*>(message.data())->nlmsg_seq;
    if (in_.rarely()) return Error{Errc::io, 0, "send"};
    return Done{};
  }

  Result<std::size_t> receive(std::span<std::byte> buffer, std::chrono::milliseconds) override {
    if (!in_.more()) return Error{Errc::timed_out, 0, "receive"};
    if (in_.rarely()) return Error{Errc::interrupted, 0, "receive"};
    std::size_t size = 0;
    for (auto left = 1 + in_.below(4); left > 0; --left) {
      const auto next = message();
      if (size + next.size() > buffer.size()) break;
      std::memcpy(buffer.data() + size, next.data(), next.size());
      size += MNL_ALIGN(next.size());
    }
    return size;
  }

 private:
  Message message() {
    auto made = body();
    if (made.size() < sizeof(nlmsghdr)) return made;
    auto& header = test::header_of(made);
    header.nlmsg_seq = in_.rarely() ? sequence_ - 1 : sequence_;
    if (in_.rarely()) header.nlmsg_flags |= NLM_F_DUMP_INTR;
    if (in_.rarely()) header.nlmsg_len = in_.number<std::uint32_t>();
    return made;
  }

  Message body() {
    switch (in_.below(8)) {
      case 0:
      case 1:
        return link();
      case 2:
        return test::family_message(family);
      case 3:
        return test::device_message(family, {1, "wg0"}, peers());
      case 4:
        return test::more_peers(family, peers());
      case 5:
      case 6:
        return MessageBuilder(in_.rarely() ? NLMSG_ERROR : NLMSG_DONE)
            .fixed(in_.rarely() ? -static_cast<int>(in_.below(128)) : 0)
            .message();
      default:
        break;
    }
    const auto bytes = in_.text();
    MessageBuilder other(in_.number<std::uint16_t>());
    return other.put_bytes(1, bytes.data(), bytes.size()).message();
  }

  Message link() {
    constexpr std::array names{"wg0", "wg1", "eth0"};
    const auto index = in_.below(names.size());
    const auto* kind = index == 2 ? "veth" : "wireguard";
    return test::link_message(
        test::named_link(names[index], kind, static_cast<std::uint32_t>(index)));
  }

  std::vector<test::KernelPeer> peers() {
    std::vector<test::KernelPeer> list(in_.below(4));
    for (auto& peer : list) {
      peer.key = test::key(static_cast<std::uint32_t>(in_.below(3)));
      peer.allowed_ips.resize(in_.below(3), {"10.0.0.0", 8});
      if (in_.rarely()) peer.allowed_ips.push_back({"::", 129});
    }
    return list;
  }

  Bytes& in_;
  std::uint32_t sequence_ = 0;
};

class Failures final : public Report {
 public:
  void failed(const Error&) override { any = true; }
  void retried() override {}
  bool any = false;
};

// Half readings leave nothing behind.
void check_devices(const Devices& seen) {
  std::size_t peers = 0, prefixes = 0;
  for (const auto& device : seen.devices) {
    check(device.first_peer == peers, "a device's peers follow those of the one before");
    peers += device.peer_count;
  }
  check(peers == seen.peers.size(), "every peer is some device's");
  for (const auto& peer : seen.peers) {
    check(peer.first_prefix == prefixes, "a peer's prefixes follow those of the one before");
    prefixes += peer.prefix_count;
  }
  check(prefixes == seen.prefixes.size(), "every prefix is some peer's");
}

void read_twice(Bytes& in) {
  const auto open = [&in](int) -> Result<std::unique_ptr<Datagram>> {
    return std::unique_ptr<Datagram>(std::make_unique<Kernel>(in));
  };
  kernel::KernelWireGuard reader(open, "", 4026);
  for (int i = 0; i < 2; ++i) {
    Devices seen;
    Failures failures;
    reader.read({}, seen, failures);
    check_devices(seen);
    check(seen.unread.empty() || failures.any, "what could not be read is said");
  }
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::Bytes in(data, size);
  wgvitals::fuzz::read_twice(in);
  return 0;
}
