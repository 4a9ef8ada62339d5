// Parts of the kernel that may be modules. A question to one that is not there makes the kernel
// load it, and reading loads none: whether it is there is told by files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/files.h"

namespace wgvitals::kernel {

class KernelModule {
 public:
  enum class State : std::uint8_t {
    there,
    missing,
    untold,  // not loaded, and the list of what is built in cannot be read
  };

  // `root` outlives this.
  KernelModule(const Root& root, std::string name) : root_(root), name_(std::move(name)) {}

  // What is loaded may change; what is built in is looked up once.
  State look();

  // Of the last look, where the module was not there.
  std::string advice() const;

 private:
  State look_up_built_in();

  const Root& root_;
  std::string name_;
  std::string list_;  // of what is built in
  std::optional<State> built_in_;
};

}  // namespace wgvitals::kernel
