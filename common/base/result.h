// A value, or the reason why there is none. A Result that nobody looks at is a warning.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace wgvitals {

enum class Errc : std::uint8_t {
  absent,       // the thing does not exist here: no failure
  denied,       // a capability or permission is missing
  interrupted,  // the reading was torn by a change; worth another try
  timed_out,    // no answer within the deadline
  malformed,    // bytes that break their own format
  io,           // anything else that the system said
};

struct Error {
  Errc code;
  int number = 0;     // errno, or 0
  std::string where;  // "wg0: peer attribute 7 has 4 bytes"
};

// "wg0: needs CAP_NET_ADMIN" and, where the system gave one, its own words behind it.
std::string to_text(const Error& error);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  // Asking for the one that is not there throws std::bad_variant_access: a mistake of ours.
  T& value() { return std::get<0>(state_); }
  const T& value() const { return std::get<0>(state_); }
  const Error& error() const { return std::get<1>(state_); }

  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> state_;
};

// The result of what gives nothing back but its success.
struct Done {};

}  // namespace wgvitals
