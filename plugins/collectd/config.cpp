#include "plugins/collectd/config.h"

namespace wgvitals::collectd {
namespace {

config::Value to_value(const oconfig_value_t& value) {
  switch (value.type) {
    case OCONFIG_TYPE_STRING:
      return std::string(value.value.string);
    case OCONFIG_TYPE_NUMBER:
      return value.value.number;
    default:
      return value.value.boolean != 0;
  }
}

// The daemon's grammar gives every option a value, so that what has none is an empty block.
bool is_block(const oconfig_item_t& item) { return item.children_num > 0 || item.values_num == 0; }

std::vector<config::Value> values_of(const oconfig_item_t& item) {
  std::vector<config::Value> values;
  values.reserve(static_cast<std::size_t>(item.values_num));
  for (int i = 0; i < item.values_num; ++i) values.push_back(to_value(item.values[i]));
  return values;
}

config::Block to_block(const oconfig_item_t& item) {
  config::Block block{item.key, {}, {}, 0};
  if (item.values_num > 0) block.title = config::to_title(to_value(item.values[0]));
  for (int i = 0; i < item.children_num; ++i) {
    const auto& child = item.children[i];
    if (is_block(child)) {
      block.items.push_back({"<" + std::string(child.key) + ">", {}, 0});
    } else {
      block.items.push_back({child.key, values_of(child), 0});
    }
  }
  return block;
}

}  // namespace

void add_block(const oconfig_item_t& block, config::Section& section) {
  for (int i = 0; i < block.children_num; ++i) {
    const auto& child = block.children[i];
    if (is_block(child)) {
      section.blocks.push_back(to_block(child));
    } else {
      section.items.push_back({child.key, values_of(child), 0});
    }
  }
}

}  // namespace wgvitals::collectd
