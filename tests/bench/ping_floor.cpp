// The floor of what a ping costs, as a program of ping_driver.h: a bare loop that sends and
// receives, evenly over the second, and looks at nothing that comes. RESULTS stays empty.

#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <system_error>
#include <thread>

#include "common/base/fd.h"
#include "tests/bench/ping_driver.h"

namespace wgvitals::bench {
namespace {

constexpr std::size_t batch = 64;

void check(bool good, const char* what) {
  if (!good) throw std::system_error(errno, std::generic_category(), what);
}

template <class T>
void set(const Fd& socket, int level, int name, const T& value) {
  check(::setsockopt(socket.get(), level, name, &value, sizeof value) == 0, "setsockopt");
}

Fd open_socket(bool ipv6) {
  Fd socket(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                     ipv6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP}));
  check(static_cast<bool>(socket), "socket");
  set(socket, SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20);
  set(socket, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  if (ipv6) {
    icmp6_filter filter{};
    std::memset(&filter, 0xff, sizeof filter);
    filter.data[129 / 32] &= ~(1u << 129 % 32);  // all but echo replies
    set(socket, IPPROTO_ICMPV6, ICMPV6_FILTER, filter);
  } else {
    set(socket, IPPROTO_RAW, ICMP_FILTER, icmp_filter{~1u});
  }
  return socket;
}

class Sender {
 public:
  Sender(const Task& task, const Fd& socket) : socket_(socket) {
    for (const auto& target : task.targets) (void)to_sockaddr(target, addresses_.emplace_back());
    const bool ipv6 = task.targets[0].family == AddressFamily::ipv6;
    for (std::size_t i = 0; i < batch; ++i) {
      auto& header = messages_[i].msg_hdr;
      packets_[i][0] = ipv6 ? 128 : 8;
      parts_[i] = {packets_[i].data(), packets_[i].size()};
      header.msg_iov = &parts_[i];
      header.msg_iovlen = 1;
      header.msg_namelen = ipv6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    }
  }

  // Probes of the targets from `first` to before `last`, counted through all rounds.
  void send(std::size_t first, std::size_t last) {
    while (first < last) {
      const auto count = std::min(batch, last - first);
      for (std::size_t i = 0; i < count; ++i) {
        auto& packet = packets_[i];
        const auto round = static_cast<std::uint8_t>(first / addresses_.size());
        packet[7] = round;
        packet[2] = 0xf7;  // type 8 and the number alone are not 0
        packet[3] = static_cast<std::uint8_t>(~round);
        messages_[i].msg_hdr.msg_name = &addresses_[(first + i) % addresses_.size()];
      }
      const int sent = ::sendmmsg(socket_.get(), messages_.data(), static_cast<unsigned>(count), 0);
      check(sent > 0, "sendmmsg");
      first += static_cast<std::size_t>(sent);
    }
  }

 private:
  const Fd& socket_;
  std::vector<sockaddr_storage> addresses_;
  std::array<std::array<std::uint8_t, 8 + payload>, batch> packets_{};
  std::array<iovec, batch> parts_{};
  std::array<mmsghdr, batch> messages_{};
};

class Receiver {
 public:
  explicit Receiver(const Fd& socket) : socket_(socket) {
    for (std::size_t i = 0; i < batch; ++i) parts_[i] = {packets_[i].data(), packets_[i].size()};
  }

  std::size_t receive() {
    std::size_t all = 0;
    for (;;) {
      for (std::size_t i = 0; i < batch; ++i) {
        auto& header = messages_[i].msg_hdr;
        header.msg_iov = &parts_[i];
        header.msg_iovlen = 1;
        header.msg_name = &names_[i];
        header.msg_namelen = sizeof names_[i];
        header.msg_control = controls_[i].data();
        header.msg_controllen = controls_[i].size();
      }
      const int got = ::recvmmsg(socket_.get(), messages_.data(), batch, MSG_DONTWAIT, nullptr);
      if (got <= 0) return all;
      all += static_cast<std::size_t>(got);
      if (static_cast<std::size_t>(got) < batch) return all;
    }
  }

 private:
  const Fd& socket_;
  std::array<std::array<std::uint8_t, 256>, batch> packets_{};
  std::array<std::array<std::uint8_t, 128>, batch> controls_{};
  std::array<sockaddr_storage, batch> names_{};
  std::array<iovec, batch> parts_{};
  std::array<mmsghdr, batch> messages_{};
};

void ping(const Task& task) {
  const Cost cost;
  const auto socket = open_socket(task.targets[0].family == AddressFamily::ipv6);
  Sender sender(task, socket);
  Receiver receiver(socket);
  const auto all = task.targets.size() * task.rounds;
  std::size_t sent = 0;
  std::size_t received = 0;
  // Of few targets each has a tick of its own.
  const auto tick =
      std::max<Clock::duration>(interval / task.targets.size(), std::chrono::milliseconds(1));
  const auto begin = Clock::now();
  const auto end = begin + interval * task.rounds + timeout;
  for (auto next = begin; next < end && received < all; next += tick) {
    std::this_thread::sleep_until(next);
    const auto ticks = static_cast<std::size_t>((next - begin + tick) / tick);
    const auto until = std::min(task.targets.size() * ticks * tick / interval, all);
    sender.send(sent, until);
    sent = until;
    received += receiver.receive();
  }
  fmt::print("{{{},\"sent\":{},\"received\":{}}}\n", cost.json(), sent, received);
  write_results(task, {});
}

}  // namespace
}  // namespace wgvitals::bench

int main(int argc, char** argv) { return wgvitals::bench::run(argc, argv, wgvitals::bench::ping); }
