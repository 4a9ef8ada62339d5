// THE list of collectors, in run order, a line each.

#include "common/collect/collector.h"

namespace wgvitals::collect {

extern const Entry peer_names, wireguard, ping, tcp, http, handshake, stamp, path, hops, conntrack,
    transport, underlay, crypto, trace, host;

std::span<const Entry* const> table() {
  static constexpr const Entry* entries[] = {
      &peer_names,  // before wireguard: a row is named when it is made
      &wireguard,  &ping,      &tcp,       &http,     &handshake, &stamp,
      &path,  // behind ping, whose round trips it compares with
      &hops,       &conntrack, &transport, &underlay, &crypto,    &trace, &host,
  };
  return entries;
}

}  // namespace wgvitals::collect
