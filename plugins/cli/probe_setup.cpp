// wgvitals probe setup: a key of the probe's own, and the lines that make it known to a server.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "common/base/fd.h"
#include "common/base/files.h"
#include "common/base/secret.h"
#include "common/base/text.h"
#include "common/collect/probe_options.h"
#include "common/probe/crypto.h"
#include "common/probe/key_file.h"
#include "plugins/cli/commands.h"

namespace wgvitals::cli {
namespace {

struct Asked {
  std::string key_file, server = "HOST:PORT", server_key = "SERVER_KEY", address = "ADDRESS";
  std::string tunnel = "TUNNEL_ADDRESS", device = "wg0";
};

// Lives in secret memory.
struct Secret {
  std::array<std::uint8_t, 32> key;
  std::array<char, 45> text;  // base64 and the line's end
};

// base64 without tables and branches, which would tell of the key by their timing.
char to_letter(unsigned bits) {
  const auto below = [&](unsigned limit) { return (bits - limit) >> 31; };  // 1 or 0
  const unsigned letter = bits + 'A' + (1 - below(26)) * ('a' - 'Z' - 1) -
                          (1 - below(52)) * ('z' + 1 - '0') - (1 - below(62)) * ('9' + 1 - '+') +
                          (1 - below(63)) * ('/' - '+' - 1);
  return static_cast<char>(letter);
}

void encode(const std::array<std::uint8_t, 32>& key, std::array<char, 45>& text) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < key.size(); i += 3) {
    const unsigned third = i + 2 < key.size() ? key[i + 2] : 0u;
    const unsigned bits =
        static_cast<unsigned>(key[i]) << 16 | static_cast<unsigned>(key[i + 1]) << 8 | third;
    for (unsigned shift = 24; shift > 0 && at < 43;) {
      shift -= 6;
      text[at++] = to_letter(bits >> shift & 63);
    }
  }
  text[43] = '=';
  text[44] = '\n';
}

// As `wg genkey` makes one.
Result<Done> fill(const probe::Crypto& crypto, Secret& secret) {
  if (auto filled = crypto.fill_random(secret.key); !filled) return filled;
  secret.key[0] &= 248;
  secret.key[31] = static_cast<std::uint8_t>((secret.key[31] & 127) | 64);
  encode(secret.key, secret.text);
  return Done{};
}

// A new file of its owner alone. absent where there is one already.
Result<Done> write_new(const std::string& file, std::span<const char> text) {
  const Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return Error{errc_of_file(errno), errno, file};
  errno = ENOSPC;  // which is what a part that is written means
  const auto written = ::write(fd.get(), text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size()) && ::fsync(fd.get()) == 0) return Done{};
  const Error error{Errc::io, errno, file};
  (void)::unlink(file.c_str());
  return error;
}

// Of the key in the file, which is made where there is none.
Result<PublicKey> prepare_key(const std::string& file) {
  const auto crypto = probe::Crypto::load();
  if (!crypto) return crypto.error();
  const SecretBuffer buffer(sizeof(Secret));
  auto& secret = *new (buffer.bytes().data()) Secret;
  const auto old = probe::read_key_file(file, secret.key);
  if (!old && old.error().code != Errc::absent) return old.error();
  if (old) {
    fmt::print(stderr, "note: {} is there already: its key is used as it is\n", file);
  } else {
    if (const auto filled = fill(**crypto, secret); !filled) return filled.error();
    if (const auto written = write_new(file, secret.text); !written) return written.error();
  }
  const auto key = (*crypto)->public_key_of(secret.key);
  (*crypto)->wipe_traces();
  return key;
}

std::string host_name() {
  char name[256] = "this-host";
  (void)::gethostname(name, sizeof name - 1);
  return text::to_printable(name);
}

std::string to_page(const Asked& asked, const PublicKey& key) {
  const auto text = to_base64(key);
  const bool ipv6 = asked.address.find(':') != std::string::npos;
  const auto allowed = asked.address + (ipv6 ? "/128" : "/32");
  const auto place = collect::parse_host_port(asked.server);
  const bool ipv6_server = asked.server.starts_with('[');  // which shells take for a pattern
  return fmt::format(
      R"(# The probe's key is its own: a server knows one session of each key, so that with a client's
# key every probe would end that client's session. For the same reason each host that probes has a
# key and an address of its own.

# 1. On the server, at once, and for good in /etc/wireguard/{device}.conf. The probe may send as this
#    one address, and nothing else.
wg set {device} peer {key} allowed-ips {allowed}

# friendly_name = probe of {host}
[Peer]
PublicKey = {key}
AllowedIPs = {allowed}

# 2. Here, once.
wgvitals probe handshake --server {quoted} --server-key {server_key} --key-file {file} --tunnel {tunnel} --source {address}

# 3. Here, always: Telegraf, in /etc/wgvitals/wgvitals.toml
  [[inputs.wgvitals.probe]]
    name = "{name}"
    server = "{server}"
    server_key = "{server_key}"
    key_file = "{file}"
    tunnel_address = "{tunnel}"
    tunnel_source = "{address}"

# or collectd, inside <Plugin wireguard>
  <Probe "{name}">
    Server "{server}"
    ServerKey "{server_key}"
    KeyFile "{file}"
    TunnelAddress "{tunnel}"
    TunnelSource "{address}"
  </Probe>

# The file is for its owner alone. Telegraf's user reads it by its group; line 2 is then run as that
# user, too:
#   chgrp telegraf {file} && chmod 640 {file}
#   sudo -u telegraf wgvitals probe handshake ...
)",
      fmt::arg("device", asked.device), fmt::arg("key", view(text)), fmt::arg("allowed", allowed),
      fmt::arg("host", host_name()), fmt::arg("server", asked.server),
      fmt::arg("server_key", asked.server_key), fmt::arg("file", asked.key_file),
      fmt::arg("tunnel", asked.tunnel), fmt::arg("address", asked.address),
      fmt::arg("quoted", ipv6_server ? "'" + asked.server + "'" : asked.server),
      fmt::arg("name", place ? place->host : "NAME"));
}

// Empty where it may be printed as a part of the lines, which are pasted into a root shell.
std::string refuse_odd(const std::string& text) {
  const bool plain = text.find_first_of(" \t\"'\\`$&|;<>()*?!#~{}") == std::string::npos &&
                     text::to_printable(text) == text && !text.empty();
  return plain ? "" : "'" + text::to_printable(text) + "' is no plain word of a shell's";
}

std::string refuse_address(const std::string& text) {
  return parse_address(text) ? "" : "'" + text + "' is no address";
}

std::string refuse_server(const std::string& text) {
  const auto place = collect::parse_host_port(text);
  return place && !place->host.empty() ? refuse_odd(text) : "'" + text + "' is no HOST:PORT";
}

std::string refuse_key(const std::string& text) {
  return key_from_base64(text) ? "" : "is no public key: 44 characters, as wg(8) prints it";
}

int run(Asked asked) {
  asked.key_file = std::filesystem::absolute(asked.key_file).lexically_normal().string();
  // The folder that we are in is a part of it.
  if (const auto odd = refuse_odd(asked.key_file); !odd.empty()) {
    throw CLI::ValidationError("--key-file", odd);
  }
  const auto key = prepare_key(asked.key_file);
  if (!key) {
    TerminalLog().error(to_text(key.error()));
    return 1;
  }
  fmt::print("{}", to_page(asked, *key));
  return 0;
}

}  // namespace

Run add_probe_setup(CLI::App& app) {
  const auto asked = std::make_shared<Asked>();
  app.add_option("--key-file", asked->key_file,
                 "Where the probe's private key is, or is put: a new file of mode 0600")
      ->required()
      ->check(refuse_odd)
      ->type_name("FILE");
  app.add_option("--server", asked->server, "WireGuard server to probe")
      ->check(refuse_server)
      ->type_name("HOST:PORT");
  app.add_option("--server-key", asked->server_key, "Its public key")
      ->check(refuse_key)
      ->type_name("KEY");
  app.add_option("--address", asked->address, "The probe's own address inside the tunnel")
      ->check(refuse_address)
      ->type_name("ADDRESS");
  app.add_option("--tunnel", asked->tunnel, "Address behind the server to ping through the tunnel")
      ->check(refuse_address)
      ->type_name("ADDRESS");
  app.add_option("--device", asked->device, "The server's WireGuard device")
      ->check(refuse_odd)
      ->type_name("DEVICE")
      ->capture_default_str();
  return [asked] { return run(*asked); };
}

}  // namespace wgvitals::cli
