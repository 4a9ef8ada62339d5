// The types of the running kernel and of one of its modules (BTF), as libbpf reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "common/trace/ebpf/libbpf.h"

namespace wgvitals::trace {

class BtfTypes {
 public:
  // Of the module's file below /sys/kernel/btf, or of the kernel alone where there is none: the
  // module may be built in. World-readable; asks for no capability.
  BtfTypes(const Libbpf& bpf, const std::filesystem::path& module);
  ~BtfTypes();
  BtfTypes(const BtfTypes&) = delete;
  BtfTypes& operator=(const BtfTypes&) = delete;

  // Where a member of a struct is, in bytes; empty where there is no such thing.
  std::optional<std::uint32_t> offset_of(const char* type, const char* member) const;

 private:
  const Libbpf& bpf_;
  ::btf* kernel_;
  ::btf* module_;  // null: none
};

}  // namespace wgvitals::trace
