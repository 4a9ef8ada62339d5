// libbpf, loaded when it is first wanted: as much of it as the loader calls.
#pragma once

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <string>
#include <string_view>
#include <utility>

#include "common/base/library.h"
#include "common/base/result.h"

namespace wgvitals::trace {

class Libbpf {
 public:
  // Of version 1, silent. The error names the package to install; `who` stands first in it.
  static Result<Libbpf> load(std::string_view who);

  // What it said last on this thread, with ": " in front; empty: nothing.
  static std::string last_warning();

  decltype(::bpf_object__open_mem)* object_open_mem = nullptr;
  decltype(::bpf_object__load)* object_load = nullptr;
  decltype(::bpf_object__close)* object_close = nullptr;
  decltype(::bpf_object__next_program)* object_next_program = nullptr;
  decltype(::bpf_object__find_map_by_name)* object_find_map_by_name = nullptr;
  decltype(::bpf_program__attach)* program_attach = nullptr;
  decltype(::bpf_program__name)* program_name = nullptr;
  decltype(::bpf_link__destroy)* link_destroy = nullptr;
  decltype(::bpf_map__fd)* map_fd = nullptr;
  decltype(::bpf_map__set_initial_value)* map_set_initial_value = nullptr;
  decltype(::bpf_map_get_next_key)* map_get_next_key = nullptr;
  decltype(::bpf_map_lookup_elem)* map_lookup_elem = nullptr;
  decltype(::bpf_map_delete_elem)* map_delete_elem = nullptr;
  decltype(::libbpf_num_possible_cpus)* num_possible_cpus = nullptr;
  decltype(::btf__load_vmlinux_btf)* btf_load_vmlinux = nullptr;
  decltype(::btf__parse_split)* btf_parse_split = nullptr;
  decltype(::btf__find_by_name_kind)* btf_find_by_name_kind = nullptr;
  decltype(::btf__type_by_id)* btf_type_by_id = nullptr;
  decltype(::btf__name_by_offset)* btf_name_by_offset = nullptr;
  decltype(::btf__free)* btf_free = nullptr;

 private:
  explicit Libbpf(Library library) : library_(std::move(library)) {}
  Result<Done> find_all();

  Library library_;
};

}  // namespace wgvitals::trace
