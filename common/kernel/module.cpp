#include "common/kernel/module.h"

#include <filesystem>
#include <system_error>

#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

bool exists(const Root& root, const std::string& path) {
  std::error_code unused;
  return std::filesystem::exists(root.full_path(path), unused);
}

}  // namespace

KernelModule::State KernelModule::look() {
  if (exists(root_, "sys/module/" + name_)) return State::there;
  // A kernel without modules has no list of them, and cannot load what it does not contain. But the
  // list may only be hidden, and then the rest of procfs is, too (its mount option subset=pid).
  if (!exists(root_, "proc/modules") && exists(root_, "proc/stat")) return State::there;
  if (!built_in_) built_in_ = look_up_built_in();
  return *built_in_;
}

KernelModule::State KernelModule::look_up_built_in() {
  const auto release = root_.read("proc/sys/kernel/osrelease");
  list_ = "lib/modules/" + (release ? std::string(text::trim(*release)) : "") + "/modules.builtin";
  const auto names = release ? root_.read(list_) : release;
  if (!names) return State::untold;
  const bool there = names->find("/" + name_ + ".ko") != std::string::npos;
  return there ? State::there : State::missing;
}

std::string KernelModule::advice() const {
  if (built_in_ == State::untold) {
    return "whether the kernel has " + name_ + " built in is told by /" + list_ +
           ", which cannot be read (systemd's ProtectKernelModules= hides it); where it is a "
           "module: modprobe " +
           name_;
  }
  return "the kernel's module " + name_ + " is not loaded: modprobe " + name_;
}

}  // namespace wgvitals::kernel
