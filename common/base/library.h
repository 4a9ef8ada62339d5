// A shared library that is loaded when it is first wanted, so that only those who want it need it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "common/base/result.h"

namespace wgvitals {

class Library {
 public:
  // `name` as the loader knows it: "liboping.so.0". absent, naming `package`, where it is missing.
  static Result<Library> open(const std::string& name, const std::string& package);

  // Sets `function` to the one of this name. malformed, and untouched, where it has none.
  template <class Function>
  Result<Done> find(const char* symbol, Function*& function) const {
    auto found = find_symbol(symbol);
    if (!found) return found.error();
    function = reinterpret_cast<Function*>(*found);
    return Done{};
  }

 private:
  struct Close {
    void operator()(void* handle) const;
  };

  Library(void* handle, std::string name) : handle_(handle), name_(std::move(name)) {}
  Result<void*> find_symbol(const char* symbol) const;

  std::unique_ptr<void, Close> handle_;
  std::string name_;
};

}  // namespace wgvitals
