// What is said: a Metric is a name with a meaning, a Family is the metrics of one kind of thing
// with the labels that tell such things apart, a Reading is a metric with a value, and a Record is
// one thing, seen once. Records and events are views; a Sink takes them during the call.
#pragma once

#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "common/model/now.h"

namespace wgvitals {

// A name that every host accepts as it stands; checked when it is compiled, never escaped.
class Name {
 public:
  consteval Name(const char* name) : view_(name) {
    if (!plain(view_)) throw "a name has letters, digits and '_'";
  }
  // For names that come from configuration.
  static constexpr std::optional<Name> checked(std::string_view name) {
    if (!plain(name)) return std::nullopt;
    return Name(name, 0);
  }
  constexpr std::string_view view() const { return view_; }

 private:
  constexpr Name(std::string_view name, int) : view_(name) {}
  static constexpr bool plain(std::string_view name) {
    for (const char c : name) {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!letter && !(c >= '0' && c <= '9') && c != '_') return false;
    }
    return !name.empty();
  }

  std::string_view view_;
};

enum class Type : std::uint8_t { i64, u64, f64, boolean, text };
enum class Kind : std::uint8_t { gauge, counter };
enum class Unit : std::uint8_t {
  none,
  truth,  // 0 or 1
  bytes,
  packets,
  seconds,
  milliseconds,
  nanoseconds,
  percent
};

// Its place in collectd's stock types.db: the readings of a record with the same type and instance
// are one value list, each at its source ("if_octets": rx is 0, tx is 1), times scale.
struct CollectdName {
  std::string_view type;  // empty: derive, bool or gauge, by kind and unit, and the field's name
  std::string_view instance;
  std::uint8_t source = 0;
  double scale = 1;
};

// Defined once, constexpr, in its collector's file: the only place that names it, for every host.
struct Metric {
  Name field;
  Type type;  // what leaves, whatever number is added
  Kind kind;
  Unit unit;
  std::string_view help;
  CollectdName collectd = {};
  // Empty: made from family, field and unit. Of a text, the name of its label.
  std::string_view prometheus = {};
  bool telegraf = false;  // the same as in Telegraf's own plugin
};

struct LabelName {
  Name tag;
  std::string_view prometheus = {};  // empty: as the tag
  bool identifies = true;  // false: tells no two things apart, so no part of collectd's names
  bool is_key = false;  // its values are keys in base64: nothing to escape but the '=' at the end
};

// Where a record stands in collectd. The first place of a family whose label a record has is taken.
struct Place {
  Name plugin;
  const LabelName* plugin_instance = nullptr;  // empty: none
  const LabelName* without = nullptr;          // a label that is no part of the identifier here
  // Told as NaN where a record lacks them, as the stock plugin of this name does.
  std::span<const Metric* const> as_nan = {};
  // In front of the label's value in the plugin instance ("probe_"); empty: that is the device.
  std::string_view prefix = {};
};

// One line of line protocol. What is told in several lines has several families of the same name.
struct Family {
  Name name;  // line protocol's measurement
  std::string_view help;
  std::span<const Metric* const> metrics;
  std::span<const LabelName* const> labels;
  std::span<const Place> places;
  bool configured_labels = false;  // takes friendly names and labels from configuration
};

// A number, a truth or a text. Integers stay exact. Text points into the caller's memory.
class Value {
 public:
  constexpr Value() : Value(0u) {}
  constexpr Value(std::same_as<bool> auto value) : type_(Type::boolean), boolean_(value) {}
  constexpr Value(std::unsigned_integral auto value) requires(!std::same_as<decltype(value), bool>)
      : type_(Type::u64), u64_(value) {}
  constexpr Value(std::signed_integral auto value) : type_(Type::i64), i64_(value) {}
  constexpr Value(std::floating_point auto value) : type_(Type::f64), f64_(value) {}
  constexpr Value(std::string_view value)
      : type_(Type::text), size_(static_cast<std::uint32_t>(value.size())), text_(value.data()) {}
  constexpr Value(const char* value) : Value(std::string_view(value)) {}
  Value(std::string&&) = delete;  // would not outlive the call

  constexpr Type type() const { return type_; }

  // The same number as another type; a text stays what it is. Nothing is left of this where both
  // types are known to the compiler, as they are where a reading is added.
  [[gnu::always_inline]] constexpr Value as(Type type) const {
    if (type == type_ || type_ == Type::text) return *this;
    switch (type) {
      case Type::u64:
        return number<std::uint64_t>();
      case Type::i64:
        return number<std::int64_t>();
      case Type::f64:
        return number<double>();
      case Type::boolean:
        return number<std::int64_t>() != 0;
      case Type::text:
        return *this;
    }
    return *this;
  }
  constexpr std::uint64_t u64() const { return u64_; }
  constexpr std::int64_t i64() const { return i64_; }
  constexpr double f64() const { return f64_; }
  constexpr bool boolean() const { return boolean_; }
  constexpr std::string_view text() const { return {text_, size_}; }

 private:
  template <class Number>
  [[gnu::always_inline]] constexpr Number number() const {
    switch (type_) {
      case Type::u64:
        return static_cast<Number>(u64_);
      case Type::i64:
        return static_cast<Number>(i64_);
      case Type::f64:
        return static_cast<Number>(f64_);
      default:
        return static_cast<Number>(boolean_);
    }
  }

  Type type_;
  std::uint32_t size_ = 0;
  union {
    std::uint64_t u64_;
    std::int64_t i64_;
    double f64_;
    bool boolean_;
    const char* text_;
  };
};

struct Label {
  const LabelName* name = nullptr;
  std::string_view value;  // empty: not said
};

struct Reading {
  const Metric* metric = nullptr;
  Value value;
};

// At most Capacity plain values, in place. What is not used is never written: it would cost more
// than the rest of a record.
template <class T, std::size_t Capacity>
class InlineList {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  // What finds no room is left out.
  template <class... Parts>
  void add(Parts&&... parts) {
    assert(size_ < Capacity);
    if (size_ < Capacity) ::new (bytes_ + sizeof(T) * size_++) T{std::forward<Parts>(parts)...};
  }
  bool empty() const { return size_ == 0; }
  void clear() { size_ = 0; }
  operator std::span<const T>() const {
    return {std::launder(reinterpret_cast<const T*>(bytes_)), size_};
  }

 private:
  alignas(T) std::byte bytes_[sizeof(T) * Capacity];
  std::size_t size_ = 0;
};

// Readings gathered for one record. What is absent is not added: there is no zero in its place.
template <std::size_t Capacity>
class Readings {
 public:
  void add(const Metric& metric, Value value) { readings_.add(&metric, value.as(metric.type)); }
  template <class T>
  void add(const Metric& metric, const std::optional<T>& value) {
    if (value) add(metric, Value(*value));
  }

  bool empty() const { return readings_.empty(); }
  void clear() { readings_.clear(); }
  operator std::span<const Reading>() const { return readings_; }

 private:
  InlineList<Reading, Capacity> readings_;
};

struct Record {
  const Family& family;
  std::span<const Label> labels;
  std::span<const Reading> readings;
};

// Something changed.
enum class Severity : std::uint8_t { failure = 1, warning = 2, okay = 4 };  // collectd's numbers

struct Event {
  Name event;
  Severity severity;
  std::span<const Label> labels;  // device, and the peer's where it is about one
  std::string_view from, to, message;
};

class Sink {
 public:
  virtual ~Sink() = default;
  virtual void begin(const Now& now) = 0;  // what follows was seen at this time
  virtual void take(const Record& record) = 0;
  virtual void take(const Event& event) = 0;
};

}  // namespace wgvitals
