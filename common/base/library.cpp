#include "common/base/library.h"

#include <dlfcn.h>

namespace wgvitals {
namespace {

std::string last_error() {
  const char* error = ::dlerror();  // NOLINT(concurrency-mt-unsafe): glibc keeps one a thread
  return error == nullptr ? "" : error;
}

}  // namespace

void Library::Close::operator()(void* handle) const { (void)::dlclose(handle); }

Result<Library> Library::open(const std::string& name, const std::string& package) {
  auto* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return Error{Errc::absent, 0,
                 last_error() + ": install it (Debian: apt-get install " + package + ")"};
  }
  return Library(handle, name);
}

Result<void*> Library::find_symbol(const char* symbol) const {
  auto* found = ::dlsym(handle_.get(), symbol);
  if (found == nullptr) return Error{Errc::malformed, 0, name_ + ": has no function " + symbol};
  return found;
}

}  // namespace wgvitals
