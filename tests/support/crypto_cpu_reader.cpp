// crypto_cpu_reader: attaches the eBPF programs, says "attached" or why not, and answers each line
// of its input with what they counted, a line each and a dot at the end:
//   NETNS IFINDEX QUEUE|- WORK CPU NS RUNS        (QUEUE is - where the device is known)
// The end of its input detaches them.

#include <array>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "common/trace/crypto_cpu.h"

namespace {

using wgvitals::trace::CryptoCpu;

constexpr std::array words{"encrypt", "decrypt", "transmit", "handshake", "receive", "packets"};

bool answer(CryptoCpu& cpu) {
  const auto read = cpu.read();
  if (!read) {
    std::cout << to_text(read.error()) << std::endl;
    return false;
  }
  for (const auto& time : read->times) {
    std::cout << time.device.place << ' ' << time.device.index << ' '
              << (time.queue.empty() ? "-" : time.queue) << ' '
              << words.at(static_cast<std::size_t>(time.work)) << ' ' << time.cpu << ' ' << time.ns
              << ' ' << time.runs << '\n';
  }
  std::cout << "missed " << read->missed << "\n." << std::endl;
  return true;
}

}  // namespace

int main() try {
  auto cpu = CryptoCpu::attach(wgvitals::Root());
  if (!cpu) {
    std::cout << to_text(cpu.error()) << std::endl;
    return 1;
  }
  std::cout << "attached" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    if (!answer(**cpu)) return 1;
  }
  return 0;
} catch (const std::exception& error) {
  std::fputs(error.what(), stderr);
  return 1;
}
