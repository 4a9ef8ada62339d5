// Userspace WireGuard (wireguard-go, boringtun) by its UAPI sockets: AF_UNIX streams in one folder,
// which processes of all network namespaces share (wireguard.com/xplatform).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/report.h"
#include "common/base/result.h"
#include "common/base/secret.h"
#include "common/model/devices.h"
#include "common/model/selection.h"

namespace wgvitals::kernel {

// What a private key's public one is; it keeps nothing of it. Empty: that cannot be told.
using ToPublicKey =
    std::function<std::optional<PublicKey>(std::span<const std::uint8_t, 32> private_key)>;

// Takes the lines of an answer to "get=1", one by one:
//
//   private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a
//   listen_port=12912
//   public_key=b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33
//   preshared_key=188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52
//   endpoint=[abcd:23::33%2]:51820
//   allowed_ip=192.168.4.4/32
//   errno=0
//
// Unknown keys are passed over; values of private and preshared keys are looked at in place only.
// wireguard-go tells a device's key only as its private one, which `to_public`, where it is given,
// gets in secret memory.
class UapiParser {
 public:
  UapiParser(SeenDevice& device, Devices& out, const ToPublicKey* to_public = nullptr)
      : device_(device), out_(out), to_public_(to_public) {}

  // malformed where a known key has an impossible value.
  Result<Done> take(std::string_view line);
  bool ended() const { return ended_; }  // "errno=" was there

 private:
  Result<Done> take_private_key(std::string_view value);
  Result<Done> take_peer_value(std::string_view name, std::string_view value);

  SeenDevice& device_;
  Devices& out_;
  const ToPublicKey* to_public_;
  bool ended_ = false;
};

class UserspaceWireGuard {
 public:
  using Clock = std::chrono::steady_clock;

  // `to_public` may be empty: see UapiParser.
  UserspaceWireGuard(std::filesystem::path folder, std::chrono::milliseconds deadline,
                     ToPublicKey to_public = nullptr)
      : folder_(std::move(folder)), deadline_(deadline), to_public_(std::move(to_public)) {}

  // Adds every wanted device, asking all sockets at once under one deadline. A socket that let it
  // pass, or has no end, is left alone for a while, longer each time. A socket where nobody listens
  // any more is no device, and a failure. Never unlinks one, never resolves a name.
  void read(const Selection& interfaces, Devices& out, Report& report);

 private:
  // One socket; kept from reading to reading for its memory and its back-off.
  struct Conversation {
    SecretBuffer buffer{16 * 1024};
    std::size_t held = 0;      // bytes of an unfinished line
    std::size_t received = 0;  // in this answer
    Fd socket;
    std::uint64_t inode = 0;
    SeenDevice device;
    Devices seen;
    std::optional<UapiParser> parser;
    std::optional<Error> failure;
    Clock::duration pause{};
    Clock::time_point asleep_until{};
    bool present = false;
  };

  Result<Done> list_sockets(const Selection& interfaces, Report& report);
  void begin(const std::string& path, Conversation& conversation);
  void converse();
  static void leave_alone(Conversation& conversation);
  void receive(Conversation& conversation);
  Result<Done> take_lines(Conversation& conversation);

  std::filesystem::path folder_;
  std::chrono::milliseconds deadline_;
  ToPublicKey to_public_;
  std::map<std::string, Conversation> conversations_;  // by device
};

}  // namespace wgvitals::kernel
