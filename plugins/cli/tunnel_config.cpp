#include "plugins/cli/tunnel_config.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/files.h"
#include "common/base/text.h"
#include "common/kernel/wgquick.h"
#include "common/probe/key_file.h"

namespace wgvitals::cli {
namespace {

constexpr unsigned in_interface = 0;  // else the number of the [Peer], from 1

struct Assignment {
  unsigned section;
  std::string_view name, value;  // may be a key: to be used at once
};

// Takes a file line by line.
class Sections {
 public:
  std::optional<Assignment> take(std::string_view line) {
    line = text::trim(line.substr(0, line.find('#')));
    if (line.starts_with('[')) {
      const bool peer = text::equal_ignoring_case(line, "[Peer]");
      inside_ = peer || text::equal_ignoring_case(line, "[Interface]");
      if (peer) ++peers_;
      section_ = peer ? peers_ : in_interface;
      return std::nullopt;
    }
    const auto equals = line.find('=');
    if (!inside_ || equals == std::string_view::npos) return std::nullopt;
    return Assignment{section_, text::trim(line.substr(0, equals)),
                      text::trim(line.substr(equals + 1))};
  }

 private:
  unsigned peers_ = 0, section_ = in_interface;
  bool inside_ = false;
};

bool is(const Assignment& assignment, std::string_view name) {
  return text::equal_ignoring_case(assignment.name, name);
}

// The key of this name in this section.
probe::KeyReader to_reader(std::filesystem::path file, unsigned section, std::string_view name) {
  return [file = std::move(file), section, name](std::span<std::uint8_t, 32> into) -> Result<Done> {
    Sections sections;
    bool found = false;
    const auto read = Root().read_secret_lines(file.native(), [&](std::string_view line) {
      const auto assignment = sections.take(line);
      const bool wanted = assignment && assignment->section == section && is(*assignment, name);
      if (wanted) found = probe::decode_key(assignment->value, into);
    });
    if (!read) return read.error();
    if (!found) {
      return Error{Errc::malformed, 0, file.string() + ": " + std::string(name) + " is no key"};
    }
    return Done{};
  };
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  const std::uint8_t whole = address->family == AddressFamily::ipv4 ? 32 : 128;
  const auto length = slash == std::string_view::npos
                          ? std::optional(whole)
                          : text::to_number<std::uint8_t>(text.substr(slash + 1));
  if (!length || *length > whole) return std::nullopt;
  return Prefix{address->address, address->family, *length};
}

// Builds the configuration; what makes no sense is told by failure().
class Reader {
 public:
  explicit Reader(std::filesystem::path file) : file_(std::move(file)) {}

  void take(std::string_view line) {
    names_.take(line);
    const auto assignment = sections_.take(line);
    if (!assignment) return;
    if (assignment->section == in_interface) {
      take_own(*assignment);
    } else {
      peers_.resize(std::max<std::size_t>(peers_.size(), assignment->section));
      take_of(peers_[assignment->section - 1], *assignment);
    }
  }

  Result<TunnelConfig> finish() {
    if (!config_.read_key) fail("it has no PrivateKey");
    const auto names = names_.finish();
    for (auto& peer : peers_) {
      if (peer.endpoint.empty()) continue;
      const auto place = collect::parse_host_port(peer.endpoint);
      if (!place || place->host.empty()) fail("Endpoint " + peer.endpoint + " is no host:port");
      if (!peer.has_key) fail("the peer with Endpoint " + peer.endpoint + " has no PublicKey");
      if (failure_) break;
      peer.place = *place;
      const auto key = to_base64(peer.key);
      const auto name = names.find(view(key));
      if (name != names.end()) peer.name = name->second.friendly_name;
      config_.servers.push_back(std::move(peer));
    }
    if (config_.servers.empty()) fail("no peer has an Endpoint");
    if (failure_) return *failure_;
    return std::move(config_);
  }

 private:
  struct Peer : TunnelServer {
    bool has_key = false;
  };

  void fail(const std::string& why) {
    if (!failure_) failure_ = Error{Errc::malformed, 0, file_.string() + ": " + why};
  }

  void take_own(const Assignment& assignment) {
    if (is(assignment, "PrivateKey")) {
      config_.read_key = to_reader(file_, in_interface, "PrivateKey");
    } else if (is(assignment, "Address")) {
      for (const auto& prefix : take_prefixes(assignment.value)) {
        config_.addresses.push_back({prefix.address, 0, 0, prefix.family});
      }
    }
  }

  void take_of(Peer& peer, const Assignment& assignment) {
    if (is(assignment, "PublicKey")) {
      const auto key = key_from_base64(assignment.value);
      if (!key) fail("a PublicKey is none");
      peer.has_key = key.has_value();
      peer.key = key.value_or(PublicKey());
    } else if (is(assignment, "PresharedKey")) {
      peer.read_psk = to_reader(file_, assignment.section, "PresharedKey");
    } else if (is(assignment, "Endpoint")) {
      peer.endpoint = text::to_printable(assignment.value);
    } else if (is(assignment, "AllowedIPs")) {
      const auto prefixes = take_prefixes(assignment.value);
      peer.allowed.insert(peer.allowed.end(), prefixes.begin(), prefixes.end());
    }
  }

  // "10.0.0.2/24, fd00::2/64"
  std::vector<Prefix> take_prefixes(std::string_view list) {
    std::vector<Prefix> prefixes;
    while (!list.empty()) {
      const auto word = text::trim(list.substr(0, list.find(',')));
      list.remove_prefix(std::min(list.size(), list.find(',')));
      if (!list.empty()) list.remove_prefix(1);
      if (word.empty()) continue;
      if (const auto prefix = parse_prefix(word)) {
        prefixes.push_back(*prefix);
      } else {
        fail("'" + text::to_printable(word) + "' is no address");
      }
    }
    return prefixes;
  }

  std::filesystem::path file_;
  Sections sections_;
  kernel::NameParser names_;
  TunnelConfig config_;
  std::vector<Peer> peers_;
  std::optional<Error> failure_;
};

}  // namespace

Result<TunnelConfig> read_tunnel_config(const std::filesystem::path& file) {
  const auto whole = std::filesystem::absolute(file);
  if (const auto fit = probe::check_key_file(whole); !fit) return fit.error();
  Reader reader(whole);
  const auto read =
      Root().read_secret_lines(whole.native(), [&](std::string_view line) { reader.take(line); });
  if (!read) return read.error();
  return reader.finish();
}

}  // namespace wgvitals::cli
