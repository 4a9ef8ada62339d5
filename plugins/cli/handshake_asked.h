// Which WireGuard servers to shake hands with, as asked for at the terminal.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "common/probe/handshake.h"

namespace wgvitals::cli {

struct HandshakeAsked {
  std::string server, server_key, key_file, psk_file;  // one server
  std::string config, peer;                            // or those of a file
  std::string tunnel, source;                          // inside
  std::string timeout = "2s", family = "any", outer_source;
  unsigned ahead_s = 0;
  probe::HandshakeTarget shared;
  bool json = false;
};

void add_handshake_options(CLI::App& app, HandshakeAsked& asked);

struct AskedServer {
  std::string name, place;  // as the tags probe and server
  probe::HandshakeTarget target;
};

// Throws CLI::ValidationError where what is asked for makes no sense; an error is of a file.
Result<std::vector<AskedServer>> to_servers(const HandshakeAsked& asked);

}  // namespace wgvitals::cli
