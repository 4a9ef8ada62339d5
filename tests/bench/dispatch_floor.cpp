// What collectd itself takes: a plugin that only dispatches as many value lists as VALUE_LISTS in
// the environment says.

#include <cstdio>
#include <cstdlib>
#include <cstring>
// Last.
#include "plugins/collectd/collectd_api.h"

static int dispatch(user_data_t*) {
  const char* const text = std::getenv("VALUE_LISTS");
  const int count = text == nullptr ? 0 : std::atoi(text);
  value_t value{};
  value_list_t list = VALUE_LIST_INIT;
  list.values = &value;
  list.values_len = 1;
  std::strcpy(list.plugin, "floor");
  std::strcpy(list.type, "derive");
  for (int number = 0; number < count; ++number) {
    (void)std::snprintf(list.type_instance, sizeof list.type_instance, "%d", number);
    (void)plugin_dispatch_values(&list);
  }
  return 0;
}

extern "C" void module_register(void) {
  (void)plugin_register_complex_read(nullptr, "floor", dispatch, 0, nullptr);
}
