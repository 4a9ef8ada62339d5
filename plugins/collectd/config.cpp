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

}  // namespace

void add_block(const oconfig_item_t& block, config::Section& section) {
  for (int i = 0; i < block.children_num; ++i) {
    const auto& child = block.children[i];
    config::Item item{child.key, {}, 0};
    for (int j = 0; j < child.values_num; ++j) item.values.push_back(to_value(child.values[j]));
    section.items.push_back(std::move(item));
  }
}

}  // namespace wgvitals::collectd
