// Friendly names and labels from the comments of wg-quick and systemd-networkd files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/files.h"
#include "common/base/result.h"
#include "common/model/names.h"

namespace wgvitals::kernel {

// Takes a file line by line. Comments stand above a peer's section or inside it:
//
//   # friendly_name = laptop
//   # friendly_json = {"site": "berlin", "floor": 3}
//   [Peer]                      (systemd-networkd: [WireGuardPeer])
//   PublicKey = tQ8rVxlLYxS6dPfHXjDtlrBnLXTYdMSSbGhWdKq5L0I=
//
// "# Name = laptop" is a friendly name, too. Nothing else of the file is looked at.
class NameParser {
 public:
  void take(std::string_view line);
  PeerNames finish();

  // Comments that were meant for us and are no use: "line 7: friendly_json: not a JSON object".
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void take_comment(std::string_view comment);
  void take_json(std::string_view text);
  void end_peer();

  PeerNames names_;
  PeerLabels pending_;  // comments that belong to the section at hand, or to the next
  PeerLabels peer_;     // the section at hand
  std::optional<std::string> key_;
  bool in_peer_ = false;
  int line_ = 0;
  std::vector<std::string> problems_;
};

// Such a file, read through a secret buffer: it holds private keys.
struct NamedPeers {
  PeerNames names;
  std::vector<std::string> problems;
};
Result<NamedPeers> read_names(const Root& root, std::string_view path);

}  // namespace wgvitals::kernel
