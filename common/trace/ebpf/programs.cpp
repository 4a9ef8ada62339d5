#include "common/trace/ebpf/programs.h"

#include <cstring>
#include <string_view>

#include "common/base/text.h"

namespace wgvitals::trace {
namespace {

constexpr std::size_t most_log = 1 << 20;

// The line of the verifier's log that says why: the one before its statistics.
std::string last_words(const std::vector<char>& log) {
  std::string_view rest(log.data(), ::strnlen(log.data(), log.size())), last;
  while (const auto line = text::next_line(rest)) {
    if (line->starts_with("processed ")) break;
    if (!text::trim(*line).empty()) last = *line;
  }
  return text::to_printable(text::cut(text::trim(last), 200));
}

}  // namespace

Error Programs::failed(int number, const std::string& what) const {
  const auto where = std::string(who_) + ": " + what;
  if (number == EPERM || number == EACCES) {
    return {Errc::denied, number,
            where +
                ": the kernel refuses (CAP_BPF and CAP_PERFMON are there: a security module, or a "
                "container's filter of system calls?)"};
  }
  return {Errc::io, number, where};
}

Programs::~Programs() {
  while (!links_.empty()) {
    (void)bpf_.link_destroy(links_.back());
    links_.pop_back();
  }
  bpf_.object_close(object_);
}

Result<Done> Programs::load(std::span<const std::byte> object,
                            std::span<const std::byte> settings) {
  std::vector<char> log(most_log);
  bpf_object_open_opts options{};
  options.sz = sizeof options;
  options.object_name = "wgvitals";
  options.kernel_log_buf = log.data();
  options.kernel_log_size = log.size();
  object_ = bpf_.object_open_mem(object.data(), object.size(), &options);
  if (object_ == nullptr) return failed(errno, "libbpf does not take our object");
  auto* constants = bpf_.object_find_map_by_name(object_, ".rodata");
  if (constants == nullptr ||
      bpf_.map_set_initial_value(constants, settings.data(), settings.size()) != 0) {
    return failed(errno, "the object has no settings");
  }
  if (bpf_.object_load(object_) != 0) {
    const int number = errno;
    constexpr const char* what = "the programs do not load";
    const auto words = last_words(log);
    if (words.empty()) return failed(number, std::string(what) + Libbpf::last_warning());
    // The verifier's EACCES is no missing right.
    return Error{Errc::io, number, std::string(who_) + ": " + what + ": " + words};
  }
  return Done{};
}

Result<Done> Programs::attach() {
  for (auto* program = bpf_.object_next_program(object_, nullptr); program != nullptr;
       program = bpf_.object_next_program(object_, program)) {
    auto* link = bpf_.program_attach(program);
    if (link == nullptr) {
      return failed(errno, std::string("attaching ") + bpf_.program_name(program));
    }
    links_.push_back(link);
  }
  return Done{};
}

Result<int> Programs::find_map(const char* name) const {
  const auto* map = bpf_.object_find_map_by_name(object_, name);
  const int found = map == nullptr ? -1 : bpf_.map_fd(map);
  if (found < 0) return failed(0, std::string("the object lacks the map ") + name);
  return found;
}

Result<std::size_t> Programs::cpu_count() const {
  const int count = bpf_.num_possible_cpus();
  if (count <= 0) return failed(-count, "the kernel's possible CPUs");
  return static_cast<std::size_t>(count);
}

}  // namespace wgvitals::trace
