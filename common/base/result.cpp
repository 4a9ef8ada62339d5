#include "common/base/result.h"

#include <system_error>

namespace wgvitals {

std::string to_text(const Error& error) {
  if (error.number == 0) return error.where;
  return error.where + ": " + std::generic_category().message(error.number);
}

}  // namespace wgvitals
