#include "common/base/capabilities.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace wgvitals {
namespace {

struct Sets {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};

  bool get() { return ::syscall(SYS_capget, &header, data) == 0; }
  void set() { (void)::syscall(SYS_capset, &header, data); }
};

}  // namespace

void raise_capabilities() {
  Sets sets;
  if (!sets.get()) return;
  for (auto& half : sets.data) half.effective |= half.permitted;
  sets.set();
}

bool has_capability(Capability capability) {
  Sets sets;
  const auto bit = static_cast<unsigned>(capability);
  return sets.get() && (sets.data[bit / 32].effective >> (bit % 32) & 1) != 0;
}

}  // namespace wgvitals
