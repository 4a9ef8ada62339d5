#include "common/trace/ebpf/btf_types.h"

#include <span>
#include <string_view>

namespace wgvitals::trace {

BtfTypes::BtfTypes(const Libbpf& bpf, const std::filesystem::path& module)
    : bpf_(bpf),
      kernel_(bpf.btf_load_vmlinux()),
      module_(kernel_ == nullptr ? nullptr : bpf.btf_parse_split(module.c_str(), kernel_)) {}

BtfTypes::~BtfTypes() {
  bpf_.btf_free(module_);
  bpf_.btf_free(kernel_);
}

std::optional<std::uint32_t> BtfTypes::offset_of(const char* type, const char* member) const {
  const auto* types = module_ == nullptr ? kernel_ : module_;
  if (types == nullptr) return std::nullopt;
  const auto id = bpf_.btf_find_by_name_kind(types, type, BTF_KIND_STRUCT);
  const auto* found = id < 0 ? nullptr : bpf_.btf_type_by_id(types, static_cast<std::uint32_t>(id));
  if (found == nullptr) return std::nullopt;
  const std::span members(btf_members(found), btf_vlen(found));
  for (std::uint32_t i = 0; i < members.size(); ++i) {
    const auto* name = bpf_.btf_name_by_offset(types, members[i].name_off);
    if (name != nullptr && std::string_view(name) == member) {
      return btf_member_bit_offset(found, i) / 8;
    }
  }
  return std::nullopt;
}

}  // namespace wgvitals::trace
