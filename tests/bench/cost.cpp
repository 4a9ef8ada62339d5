// The CPU time of work on WireGuard, all threads together: a line a round, nanoseconds and (of
// other programs) resident KiB. Where the clock advances by a nanosecond an instruction, it is the
// number of instructions.
//
//   cost dump DEVICE ROUNDS
//     a bare receive loop: a dump, of which nothing is parsed
//   cost run ROUNDS COMMAND...
//     a program from its start to its end; its output goes nowhere
//   cost lines COUNT ROUNDS COMMAND...
//     a resident program that a line on stdin asks for COUNT lines
//   cost quiet ROUNDS COMMAND...
//     the same; its output goes nowhere, a round ends when it rests
//   cost every SECONDS ROUNDS FILE COMMAND...
//     the same, asked every so many seconds; its output goes through a pipe and into the file

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

namespace {

std::int64_t check(std::int64_t result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

std::int64_t read_clock(clockid_t clock) {
  timespec time{};
  check(::clock_gettime(clock, &time), "clock_gettime");
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// A bare dump.

alignas(nlmsghdr) char buffer[32 * 1024];

void send_request(int socket, std::uint16_t type, int flags, std::uint8_t command,
                  std::uint16_t attribute, const char* text) {
  auto* message = ::mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = type;
  message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  auto* generic =
      static_cast<genlmsghdr*>(::mnl_nlmsg_put_extra_header(message, sizeof(genlmsghdr)));
  generic->cmd = command;
  generic->version = 1;
  ::mnl_attr_put_strz(message, attribute, text);
  check(::send(socket, message, message->nlmsg_len, 0), "send");
}

std::uint16_t find_family(int socket) {
  send_request(socket, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
  check(::recv(socket, buffer, sizeof buffer, 0), "recv");
  std::uint16_t family = 0;
  const auto take = [](const nlattr* attribute, void* id) {
    if (::mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID) {
      *static_cast<std::uint16_t*>(id) = ::mnl_attr_get_u16(attribute);
    }
    return MNL_CB_OK;
  };
  ::mnl_attr_parse(reinterpret_cast<const nlmsghdr*>(buffer), sizeof(genlmsghdr), take, &family);
  if (family == 0) throw std::runtime_error("no WireGuard");
  return family;
}

// Whether the dump's end is in this datagram.
bool has_end(std::int64_t size) {
  auto left = static_cast<int>(size);
  const auto* message = reinterpret_cast<const nlmsghdr*>(buffer);
  for (; ::mnl_nlmsg_ok(message, left); message = ::mnl_nlmsg_next(message, &left)) {
    if (message->nlmsg_type == NLMSG_ERROR) throw std::runtime_error("the kernel refused");
    if (message->nlmsg_type == NLMSG_DONE) return true;
  }
  return false;
}

void dump(const char* device, int rounds) {
  const auto socket =
      static_cast<int>(check(::socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC), "socket"));
  const auto family = find_family(socket);
  for (auto before = read_clock(CLOCK_PROCESS_CPUTIME_ID); rounds > 0; --rounds) {
    send_request(socket, family, NLM_F_DUMP, WG_CMD_GET_DEVICE, WGDEVICE_A_IFNAME, device);
    while (!has_end(check(::recv(socket, buffer, sizeof buffer, 0), "recv"))) {
    }
    const auto after = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    std::printf("%ld\n", after - before);
    before = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  }
}

// Other programs.

struct Child {
  pid_t id = -1;
  int in = -1, out = -1;  // pipes to and from it
};

Child start(char** command, bool seen) {
  int in[2], out[2];
  check(::pipe(in), "pipe");
  check(::pipe(out), "pipe");
  Child child{static_cast<pid_t>(check(::fork(), "fork")), in[1], out[0]};
  if (child.id == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(seen ? out[1] : ::open("/dev/null", O_WRONLY), STDOUT_FILENO);
    for (const int end : {in[0], in[1], out[0], out[1]}) ::close(end);
    ::execvp(command[0], command);
    std::perror(command[0]);
    std::_Exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  return child;
}

void close_pipes(const Child& child) {
  ::close(child.in);
  ::close(child.out);
}

void run(char** command, int rounds) {
  for (; rounds > 0; --rounds) {
    const auto child = start(command, false);
    close_pipes(child);
    int status = 0;
    rusage used{};
    check(::wait4(child.id, &status, 0, &used), "wait4");
    if (status != 0) throw std::runtime_error("the program failed");
    const auto to_ns = [](const timeval& time) {
      return (time.tv_sec * 1'000'000 + time.tv_usec) * 1000;
    };
    std::printf("%ld %ld\n", to_ns(used.ru_utime) + to_ns(used.ru_stime), used.ru_maxrss);
  }
}

long read_resident_kib(pid_t id) {
  std::ifstream file("/proc/" + std::to_string(id) + "/statm");
  long pages = 0;
  file >> pages >> pages;
  return pages * ::sysconf(_SC_PAGESIZE) / 1024;
}

void read_lines(const Child& child, std::int64_t count) {
  while (count > 0) {
    const auto size = check(::read(child.out, buffer, sizeof buffer), "read");
    if (size == 0) throw std::runtime_error("the program ended");
    count -= std::count(buffer, buffer + size, '\n');
  }
}

void wait_for_rest(clockid_t clock) {
  std::int64_t before = 0, now = 0;
  do {
    before = now;
    ::usleep(200'000);
    now = read_clock(clock);
  } while (now != before);
}

clockid_t clock_of(const Child& child) {
  clockid_t clock{};
  if (::clock_getcpuclockid(child.id, &clock) != 0) throw std::runtime_error("no clock");
  return clock;
}

// Between the ends of two answers lies one round, with all that is done beside the answer.
void ask(char** command, int rounds, std::int64_t lines) {
  const auto child = start(command, lines > 0);
  const auto clock = clock_of(child);
  for (std::int64_t before = 0; rounds > 0; --rounds) {
    check(::write(child.in, "\n", 1), "write");
    if (lines > 0) {
      read_lines(child, lines);
    } else {
      wait_for_rest(clock);
    }
    const auto after = read_clock(clock);
    std::printf("%ld %ld\n", after - before, read_resident_kib(child.id));
    before = after;
  }
  ::kill(child.id, SIGKILL);
  close_pipes(child);
}

void pass_on_until(std::int64_t end, const Child& child, std::ofstream& file) {
  for (std::int64_t now = 0; (now = read_clock(CLOCK_MONOTONIC)) < end;) {
    pollfd readable{child.out, POLLIN, 0};
    const auto wait_ms = static_cast<int>((end - now) / 1'000'000 + 1);
    if (check(::poll(&readable, 1, wait_ms), "poll") == 0) continue;
    const auto size = check(::read(child.out, buffer, sizeof buffer), "read");
    if (size == 0) throw std::runtime_error("the program ended");
    file.write(buffer, size);
  }
}

// Between two questions lies one round.
void ask_every(std::int64_t seconds, int rounds, const char* path, char** command) {
  std::ofstream file(path);
  const auto child = start(command, true);
  const auto clock = clock_of(child);
  auto end = read_clock(CLOCK_MONOTONIC);
  for (std::int64_t before = 0; rounds > 0; --rounds) {
    check(::write(child.in, "\n", 1), "write");
    pass_on_until(end += seconds * 1'000'000'000, child, file);
    const auto after = read_clock(clock);
    std::printf("%ld %ld\n", after - before, read_resident_kib(child.id));
    before = after;
  }
  ::kill(child.id, SIGKILL);
  close_pipes(child);
}

}  // namespace

int main(int count, char** words) {
  try {
    const std::string_view what = count > 3 ? words[1] : "";
    if (what == "dump") {
      dump(words[2], std::atoi(words[3]));
    } else if (what == "run") {
      run(words + 3, std::atoi(words[2]));
    } else if (what == "lines" && count > 4) {
      ask(words + 4, std::atoi(words[3]), std::atoll(words[2]));
    } else if (what == "quiet") {
      ask(words + 3, std::atoi(words[2]), 0);
    } else if (what == "every" && count > 5) {
      ask_every(std::atoll(words[2]), std::atoi(words[3]), words[4], words + 5);
    } else {
      std::fprintf(stderr, "cost dump|run|lines|quiet|every ...: see cost.cpp\n");
      return 2;
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cost: %s\n", error.what());
    return 1;
  }
}
