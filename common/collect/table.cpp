// THE list of collectors, in run order, a line each.

#include "common/collect/collector.h"

namespace wgvitals::collect {

extern const Entry peer_names, wireguard;

std::span<const Entry* const> table() {
  static constexpr const Entry* entries[] = {
      &peer_names,  // before wireguard: a row is named when it is made
      &wireguard,
  };
  return entries;
}

}  // namespace wgvitals::collect
