// work_sampler: looks at what each CPU does 4,000 times a second (perf_event_open(2), the
// CPU's clock) and answers each line of its input with how many nanoseconds WireGuard's works took
// since it said "sampling", without softirqs on top and with them, and how many samples were lost.
// Knows nothing of tracepoints: it goes by the functions on the kernel's stack, which take root to
// name.

#include <linux/perf_event.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "common/base/fd.h"

namespace {

using wgvitals::Fd;

constexpr std::uint64_t period_ns =
    250'007;  // beats with nothing; more where an emulator's host is busy
constexpr std::size_t data_size = 1 << 20;  // more than comes between two looks
constexpr int look_ms = 100;

enum class Role : std::uint8_t { other, work, softirq };

Role role_of(std::string_view function) {
  if (function.starts_with("wg_packet_") && function.ends_with("_worker")) return Role::work;
  const bool softirqs = function == "__do_softirq" || function == "handle_softirqs";
  return softirqs ? Role::softirq : Role::other;
}

// By the address at which each function of the kernel begins: "ffffffffc0a01000 t name [module]".
class Functions {
 public:
  Functions() {
    std::ifstream file("/proc/kallsyms");
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::uint64_t address = 0;
      std::string type, name;
      words >> std::hex >> address >> type >> name;
      const auto role = role_of(name);
      auto& known = roles_[address];
      if (role != Role::other) known = role;
      found_ = found_ || (role == Role::work && address != 0);
    }
  }
  bool found() const { return found_; }
  Role role_at(std::uint64_t address) const {
    const auto next = roles_.upper_bound(address);
    return next == roles_.begin() ? Role::other : std::prev(next)->second;
  }

 private:
  std::map<std::uint64_t, Role> roles_;
  bool found_ = false;
};

// A CPU's samples.
class Ring {
 public:
  explicit Ring(int cpu) : page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))) {
    perf_event_attr wanted{};
    wanted.size = sizeof wanted;
    wanted.type = PERF_TYPE_SOFTWARE;
    wanted.config = PERF_COUNT_SW_CPU_CLOCK;
    wanted.sample_period = period_ns;
    wanted.sample_type = PERF_SAMPLE_TIME | PERF_SAMPLE_CALLCHAIN;
    wanted.exclude_callchain_user = 1;
    event_ = Fd(static_cast<int>(
        ::syscall(SYS_perf_event_open, &wanted, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
    if (!event_) throw std::system_error(errno, std::generic_category(), "perf_event_open");
    auto* mapped =
        ::mmap(nullptr, page_ + data_size, PROT_READ | PROT_WRITE, MAP_SHARED, event_.get(), 0);
    if (mapped == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    head_ = static_cast<perf_event_mmap_page*>(mapped);
    data_ = static_cast<const unsigned char*>(mapped) + page_;
  }
  Ring(const Ring&) = delete;
  Ring(Ring&& other) noexcept
      : page_(other.page_),
        event_(std::move(other.event_)),
        head_(std::exchange(other.head_, nullptr)),
        data_(other.data_),
        last_(other.last_) {}
  ~Ring() {
    if (head_ != nullptr) ::munmap(head_, page_ + data_size);
  }

  // `sample` gets how long after the one before it was, and the addresses on the stack, the
  // innermost first. What is returned was lost.
  template <class Sample>
  std::uint64_t take(Sample sample) {
    std::uint64_t lost = 0;
    const auto end = std::atomic_ref(head_->data_head).load(std::memory_order_acquire);
    auto at = head_->data_tail;
    while (at < end) {
      perf_event_header header{};
      copy(at, &header, sizeof header);
      std::vector<std::uint64_t> words((header.size - sizeof header) / sizeof(std::uint64_t));
      copy(at + sizeof header, words.data(), words.size() * sizeof(std::uint64_t));
      if (header.type == PERF_RECORD_SAMPLE) {
        const auto last = std::exchange(last_, words.at(0));
        if (last != 0) sample(words[0] - last, std::span(words).subspan(2, words.at(1)));
      } else if (header.type == PERF_RECORD_LOST) {
        lost += words.at(1);
      }
      at += header.size;
    }
    std::atomic_ref(head_->data_tail).store(at, std::memory_order_release);
    return lost;
  }

 private:
  void copy(std::uint64_t from, void* into, std::size_t size) const {
    for (std::size_t i = 0; i < size; ++i) {
      static_cast<unsigned char*>(into)[i] = data_[(from + i) % data_size];
    }
  }

  std::size_t page_;
  Fd event_;
  perf_event_mmap_page* head_ = nullptr;
  const unsigned char* data_ = nullptr;
  std::uint64_t last_ = 0;  // when the last sample was
};

struct Taken {
  std::uint64_t works_ns = 0, with_softirqs_ns = 0;
};

void add(const Functions& functions, std::span<const std::uint64_t> stack, std::uint64_t ns,
         Taken& taken) {
  bool in_softirq = false;
  for (const auto address : stack) {
    if (address >= static_cast<std::uint64_t>(PERF_CONTEXT_MAX)) continue;  // none: a mark
    const auto role = functions.role_at(address);
    in_softirq = in_softirq || role == Role::softirq;
    if (role != Role::work) continue;
    taken.with_softirqs_ns += ns;
    if (!in_softirq) taken.works_ns += ns;
    return;
  }
}

void run() {
  const Functions functions;
  if (!functions.found()) throw std::runtime_error("no WireGuard, or its addresses are hidden");
  std::vector<Ring> rings;
  const auto cpus = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  rings.reserve(static_cast<std::size_t>(cpus));
  for (int cpu = 0; cpu < cpus; ++cpu) rings.emplace_back(cpu);
  std::cout << "sampling" << std::endl;
  Taken taken;
  std::uint64_t lost = 0;
  pollfd input{STDIN_FILENO, POLLIN, 0};
  for (;;) {
    const bool asked = ::poll(&input, 1, look_ms) > 0;
    for (auto& ring : rings) {
      lost += ring.take([&](std::uint64_t ns, std::span<const std::uint64_t> stack) {
        add(functions, stack, ns, taken);
      });
    }
    if (!asked) continue;
    std::array<char, 64> line;
    if (::read(STDIN_FILENO, line.data(), line.size()) <= 0) return;
    std::cout << taken.works_ns << ' ' << taken.with_softirqs_ns << ' ' << lost << std::endl;
  }
}

}  // namespace

int main() try {
  run();
  return 0;
} catch (const std::exception& error) {
  std::cout << error.what() << std::endl;
  return 1;
}
