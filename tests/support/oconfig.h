// A configuration block as collectd hands it to a plugin.
#pragma once

#include <liboconfig/oconfig.h>

#include <deque>
#include <string>
#include <variant>
#include <vector>

namespace wgvitals::test {

class Block {
 public:
  struct Value {
    Value(const char* text) : held(std::string(text)) {}
    Value(std::string text) : held(std::move(text)) {}
    Value(double number) : held(number) {}
    Value(bool truth) : held(truth) {}
    std::variant<std::string, double, bool> held;
  };

  Block& add(const std::string& key, const std::vector<Value>& values) {
    auto& list = values_.emplace_back();
    for (const auto& value : values) {
      oconfig_value_t one{};
      if (const auto* text = std::get_if<std::string>(&value.held)) {
        one.type = OCONFIG_TYPE_STRING;
        one.value.string = texts_.emplace_back(*text).data();
      } else if (const auto* number = std::get_if<double>(&value.held)) {
        one.type = OCONFIG_TYPE_NUMBER;
        one.value.number = *number;
      } else {
        one.type = OCONFIG_TYPE_BOOLEAN;
        one.value.boolean = std::get<bool>(value.held) ? 1 : 0;
      }
      list.push_back(one);
    }
    oconfig_item_t item{};
    item.key = texts_.emplace_back(key).data();
    item.values = list.data();
    item.values_num = static_cast<int>(list.size());
    items_.push_back(item);
    return *this;
  }

  // A block within; valid while `inner` is, until its next add().
  Block& add(const std::string& key, const std::vector<Value>& values, Block& inner) {
    add(key, values);
    items_.back().children = inner.items_.data();
    items_.back().children_num = static_cast<int>(inner.items_.size());
    return *this;
  }

  // Valid while the block is, until the next add().
  oconfig_item_t& item() {
    top_.key = texts_.emplace_back("Plugin").data();
    top_.children = items_.data();
    top_.children_num = static_cast<int>(items_.size());
    return top_;
  }

 private:
  std::deque<std::string> texts_;
  std::deque<std::vector<oconfig_value_t>> values_;
  std::vector<oconfig_item_t> items_;
  oconfig_item_t top_{};
};

}  // namespace wgvitals::test
