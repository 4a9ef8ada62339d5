#include "common/trace/ebpf/libbpf.h"

#include <array>
#include <cstdarg>
#include <cstdio>

#include "common/base/text.h"

namespace wgvitals::trace {
namespace {

std::array<char, 200>& warning() {
  thread_local std::array<char, 200> text{};
  return text;
}

// Else it would write to the host's stderr.
int keep_warning(libbpf_print_level level, const char* format, std::va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  return std::vsnprintf(warning().data(), warning().size(), format, arguments);
}

}  // namespace

std::string Libbpf::last_warning() {
  const auto text = text::to_printable(text::trim(warning().data()));
  return text.empty() ? text : ": " + text;
}

Result<Libbpf> Libbpf::load(std::string_view who) {
  const auto failed = [&](Error error) {
    error.where = std::string(who) + ": " + error.where;
    return error;
  };
  auto library = Library::open("libbpf.so.1", "libbpf1");
  if (!library) return failed(library.error());
  Libbpf bpf(std::move(*library));
  if (auto found = bpf.find_all(); !found) return failed(found.error());
  return bpf;
}

Result<Done> Libbpf::find_all() {
  Result<Done> done = Done{};
  const auto find = [&](const char* name, auto*& function) {
    if (done) done = library_.find(name, function);
  };
  decltype(::libbpf_set_print)* set_print = nullptr;
  find("libbpf_set_print", set_print);
  find("bpf_object__open_mem", object_open_mem);
  find("bpf_object__load", object_load);
  find("bpf_object__close", object_close);
  find("bpf_object__next_program", object_next_program);
  find("bpf_object__find_map_by_name", object_find_map_by_name);
  find("bpf_program__attach", program_attach);
  find("bpf_program__name", program_name);
  find("bpf_link__destroy", link_destroy);
  find("bpf_map__fd", map_fd);
  find("bpf_map__set_initial_value", map_set_initial_value);
  find("bpf_map_get_next_key", map_get_next_key);
  find("bpf_map_lookup_elem", map_lookup_elem);
  find("bpf_map_delete_elem", map_delete_elem);
  find("libbpf_num_possible_cpus", num_possible_cpus);
  find("btf__load_vmlinux_btf", btf_load_vmlinux);
  find("btf__parse_split", btf_parse_split);
  find("btf__find_by_name_kind", btf_find_by_name_kind);
  find("btf__type_by_id", btf_type_by_id);
  find("btf__name_by_offset", btf_name_by_offset);
  find("btf__free", btf_free);
  if (done) (void)set_print(keep_warning);
  return done;
}

}  // namespace wgvitals::trace
