// Handshakes as a tap sees them, put together: how long real ones take, which initiations nobody
// answers, which MACs are wrong, where cookies go. Pure: no socket, no clock. One thread at a time.
//   A tap shows more than a device gets: a bridge or a bond shows the same packet twice, and what a
// router passes on comes in and goes out again, behind any NAT, perhaps at the same port as a
// device's. So what came in is kept for a while: where it goes out again it was not for us; where a
// response goes out it was accepted; else it was refused. Memory is bounded: of too much at a time,
// the oldest is decided early.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/model/devices.h"
#include "common/trace/packet.h"
#include "common/trace/refusals.h"
#include "common/trace/tap.h"

namespace wgvitals::trace {

// mac1 over `signed_part` of a message: a keyed BLAKE2s, which others lend.
using Mac1 = std::function<std::array<std::uint8_t, 16>(Bytes signed_part)>;
// Of messages to who has this key.
using Mac1For = std::function<Mac1(const PublicKey& receiver)>;

struct TracedDevice {
  DeviceIdentity identity;
  std::uint16_t port = 0;
  std::optional<PublicKey> key;  // empty: its MACs cannot be checked
  friend bool operator==(const TracedDevice&, const TracedDevice&) = default;
};

struct DeviceCounts {
  DeviceIdentity device;
  std::uint64_t invalid_mac = 0;       // of initiations and responses
  std::uint64_t cookies_sent = 0;      // in answer to such, by a loaded device
  std::uint64_t cookies_received = 0;  // in answer to ours
  bool macs_checked = false;           // else invalid_mac means nothing
};

// A round trip on the wire: from an initiation that we sent to its response, or from our response
// to the first packet of the session.
struct HandshakeTime {
  DeviceIdentity device;
  Endpoint peer;  // where the answer came from
  std::chrono::nanoseconds time;
};

class Handshakes {
 public:
  using Clock = std::chrono::steady_clock;

  // How long what we send waits for its answer: another initiation is sent after 5 s.
  static constexpr std::chrono::seconds answer_wait{5};
  // How long a device has to answer; meanwhile it is in no count.
  static constexpr std::chrono::seconds decision_wait{2};
  static constexpr std::size_t most_open = 4096;    // of each kind
  static constexpr std::size_t most_times = 16384;  // until they are taken

  // `mac1_for` empty: MACs are not checked.
  explicit Handshakes(Mac1For mac1_for) : mac1_for_(std::move(mac1_for)) {}

  // Counts of those that are not among them are forgotten.
  void set_devices(std::span<const TracedDevice> devices);

  void see(const Sighting& sighting);
  void decide(Clock::time_point now);  // what has waited long enough

  std::span<const DeviceCounts> counts() const { return counts_; }
  const Refusals& refusals() const { return refusals_; }
  std::vector<HandshakeTime> take_times() { return std::exchange(times_, {}); }

 private:
  struct Receiver : TracedDevice {
    Mac1 mac1;  // empty: not checked
  };

  // A message on its way.
  struct Open {
    DeviceIdentity device;
    MessageType type = MessageType::initiation;
    Endpoint other;           // who it came from, or goes to
    std::uint64_t mark = 0;   // of its mac1: tells messages of the same index apart
    std::uint32_t link = 0;   // where it was seen first
    bool invalid = false;     // its mac1
    bool got_cookie = false;  // in answer
    Clock::time_point at;
  };

  // By the index that the sender chose, so that it is no hash table; the oldest give way.
  class Table {
   public:
    Open* find(std::uint32_t index);
    void erase(std::uint32_t index) { open_.erase(index); }
    // `gone` is called with what gives way, one of the same index included.
    template <class Gone>
    void put(std::uint32_t index, const Open& open, Gone&& gone);
    template <class Gone>
    void expire(Clock::time_point before, Gone&& gone);

   private:
    template <class Gone>
    void drop_oldest(Gone&& gone);

    struct Turn {
      std::uint32_t index;
      Clock::time_point at;
    };
    std::map<std::uint32_t, Open> open_;
    std::deque<Turn> turns_;  // also of some that are gone already
  };

  const Receiver* find_device(std::uint16_t port) const;
  DeviceCounts* find_counts(const DeviceIdentity& device);
  void see_incoming(const UdpPacket& packet, const Message& message, const Sighting& sighting);
  void see_outgoing(const UdpPacket& packet, const Message& message, const Sighting& sighting);
  void see_answer(MessageType question, std::uint32_t index, const UdpPacket& answer,
                  Clock::time_point at);
  void refuse(const Open& open);

  Mac1For mac1_for_;
  std::vector<Receiver> devices_;
  std::vector<DeviceCounts> counts_;
  Table received_;  // undecided
  Table sent_;      // initiations and responses of ours
  std::vector<HandshakeTime> times_;
  Refusals refusals_;
};

}  // namespace wgvitals::trace
