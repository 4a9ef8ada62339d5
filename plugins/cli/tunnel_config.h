// A wg-quick file that was made for a monitoring peer: the servers that it names. Its keys are not
// kept; they are read from the file again whenever a probe wants one.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/collect/probe_options.h"
#include "common/model/address.h"
#include "common/model/key.h"
#include "common/probe/handshake.h"

namespace wgvitals::cli {

struct TunnelServer {
  std::string name;      // the peer's friendly name; empty: none
  std::string endpoint;  // as it is written
  collect::HostPort place;
  PublicKey key;
  std::vector<Prefix> allowed;
  probe::KeyReader read_psk;  // empty: it has none
};

struct TunnelConfig {
  probe::KeyReader read_key;
  std::vector<Endpoint> addresses;    // its own, inside the tunnel
  std::vector<TunnelServer> servers;  // the peers that have an endpoint
};

// denied where others may read the file; malformed where it has no private key, or a peer without
// sense.
Result<TunnelConfig> read_tunnel_config(const std::filesystem::path& file);

}  // namespace wgvitals::cli
