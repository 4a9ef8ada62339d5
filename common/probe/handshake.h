// Does a WireGuard server work: a real handshake with it, and packets through the tunnel that comes
// of it. No interface is needed, and no right. Many servers at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/model/address.h"
#include "common/model/devices.h"
#include "common/model/key.h"
#include "common/probe/loop.h"
#include "common/probe/resolver.h"
#include "common/probe/rounds.h"
#include "common/probe/sockets.h"

namespace wgvitals::probe {

// Puts a key in secret memory (see key_file.h).
using KeyReader = std::function<Result<Done>(std::span<std::uint8_t, 32>)>;

// Of a file with the key alone; empty where there is no file.
KeyReader make_key_reader(const std::string& file);

// Why a probe must not use this key: the server's, or a local device's, whose session would be
// taken from it. Empty where it is none of these.
std::string refuse_key(const PublicKey& own, const PublicKey& server, const Devices& devices);

// A step of a probe, as it happens.
struct HandshakeStep {
  std::chrono::nanoseconds at{};  // since the probe began
  std::string text;
};

struct HandshakeTarget {
  std::string name;  // the probe's, in messages
  std::string host;
  std::uint16_t port = 0;
  AddressFamily family = AddressFamily::none;
  PublicKey server;
  KeyReader read_key;  // the probe's private key
  KeyReader read_psk;  // empty: no preshared key
  SocketPath path;
  Pace pace;
  std::chrono::milliseconds timeout{2'000};  // of each initiation, and of each packet inside
  unsigned retries = 2;                      // further initiations, each after a timeout
  // Inside the tunnel: where to, and from which address, of one family; none: nothing is sent.
  Endpoint tunnel_address, tunnel_source;
  unsigned tunnel_count = 3;                       // echoes
  std::uint16_t tunnel_port = 0;                   // a TCP connection is begun there, too; 0: none
  std::chrono::nanoseconds ahead{};                // timestamps are ahead of the clock by so much
  std::function<void(const HandshakeStep&)> step;  // on the loop's thread; may be empty
};

struct HandshakeOutcome {
  enum class Kind : std::uint8_t {  // the numbers of outcome_code
    ok,
    silent,
    closed,
    unreachable,
    under_load,
    psk_mismatch,
    invalid,
    tunnel_dead,
    name_error,
  };
  Kind kind = Kind::silent;
  Endpoint server;                                  // asked; family none: the name did not resolve
  std::optional<std::chrono::nanoseconds> rtt;      // of the initiation that was answered
  std::optional<std::chrono::nanoseconds> resolve;  // of a name that was looked up
  bool cookie = false;                              // the server asked for its cookie
  unsigned initiations = 0;
  unsigned tunnel_sent = 0, tunnel_received = 0;       // echoes
  std::optional<std::chrono::nanoseconds> tunnel_rtt;  // their mean
  std::optional<bool> tunnel_port_open;   // where one was asked; false: refused or silent
  std::optional<Endpoint> answered_from;  // where it is another address than the one asked
  std::string
      advice;  // what the outcome usually means, and what to check next; empty: nothing to say
};

std::string_view to_word(HandshakeOutcome::Kind kind);  // "psk_mismatch"

class HandshakeProbes {
 public:
  using Outcomes = Latest<HandshakeOutcome>::Outcomes;

  // `loop` and `resolver` outlive this. Nothing happens before begin().
  HandshakeProbes(Loop& loop, Resolver& resolver, std::vector<HandshakeTarget> targets,
                  double seed);
  ~HandshakeProbes();

  // Loads the libraries and reads the keys; again, what could not be used before. Of one thread,
  // as begin(), own_key(), refuse() and wrong(). io where a library is missing.
  Result<Done> load();
  // Of a target's own key, once it was read: to hold against those of local devices.
  std::optional<PublicKey> own_key(std::size_t target) const;
  // Not probed from now on, and told by wrong(); none: it is probed.
  void refuse(std::size_t target, std::optional<Error> why);

  // What load() has read since is probed, too; to be called behind refuse(). Throws as
  // Loop::post().
  void begin();
  void set_gather(std::chrono::nanoseconds gather);
  // What is new since the last call replaces what `into` (one for each target) has.
  void take(Outcomes& into);
  // What keeps us from probing now: keys, sockets, state that cannot be kept; names that do not
  // resolve.
  std::vector<Error> wrong();

 private:
  class Core;
  Loop& loop_;
  std::shared_ptr<Core> core_;
  bool begun_ = false;
};

}  // namespace wgvitals::probe
