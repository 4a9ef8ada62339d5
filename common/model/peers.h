// The one table of peers: a row for each, kept from gather to gather, filled and read by
// collectors. A row's slot is its id while it lives. One thread. Nothing is allocated while the
// peers stay.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/model/devices.h"
#include "common/model/key.h"
#include "common/model/label_names.h"
#include "common/model/metric.h"
#include "common/model/names.h"
#include "common/model/selection.h"

namespace wgvitals {

using Slot = std::uint32_t;
using DeviceId = std::uint32_t;

// Why a verdict was given: a code and two numbers, put into words at emission. Filled by the judge.
struct Verdict {
  std::int64_t since_ns = 0;  // monotonic
  std::array<std::uint32_t, 2> numbers{};
  std::int8_t state = -1;  // unknown
  std::uint8_t reason = 0;
};

struct Peer {
  PublicKey key;
  Endpoint endpoint;
  std::uint64_t rx_bytes = 0, tx_bytes = 0;
  std::uint64_t rx_gained = 0, tx_gained = 0;  // since the reading before; 0 after a reset
  std::int64_t handshake_ns = 0;               // since 1970; 0: never
  Verdict verdict;
  DeviceId device = 0;
  std::uint32_t labels = 0;  // a set of Peers::sets
  std::uint32_t first_prefix = 0, prefix_count = 0;
  std::uint32_t handshakes = 0, endpoint_changes = 0, counter_resets = 0;  // seen since start
  std::uint32_t reading = 0;  // the last one that saw it
  std::uint32_t protocol_version = 0;
  std::uint32_t naming = 0;  // another number each time that the row is named or selected anew
  // Bytes of WireGuard messages that carried our own probes, settled since the reading before: part
  // of tx_gained, of this reading or of the last.
  std::uint32_t pinged_bytes = 0;
  float tunnel_rtt_ms = 0;  // mean of the window's answered probes through the tunnel; 0: none
  std::uint16_t keepalive_s = 0;
  bool live : 1 = false;      // the slot is in use
  bool selected : 1 = false;  // by the configuration
  bool shown : 1 = false;     // selected, and not cut by a limit
  bool preshared_key_set : 1 = false;
  bool sometimes_away : 1 = false;  // as configured: its silence is no fault, and it is not probed
  bool pinged : 1 = false;          // sessions and traffic may be our own probes', nobody's wish
};

// The labels of a record about a peer.
using PeerLabelList = InlineList<Label, most_peer_labels + 4>;

class Peers {
 public:
  struct Device {
    std::string name;
    std::string netns;
    DeviceIdentity identity;
    std::uint32_t peers = 0;    // rows in use
    std::uint32_t reading = 0;  // the last one that read it whole
    bool live = false;
  };

  Peers();

  // Devices.
  DeviceId device(const SeenDevice& seen);  // the known one, or a new one; read now
  std::optional<DeviceId> find_device(const DeviceIdentity& identity) const;
  const std::vector<Device>& devices() const { return devices_; }
  void remove_device(DeviceId id);  // and all its rows

  // A reading: pair every peer of the devices that were read, then sweep their rows that were not
  // seen. `hint` is where the peer is likely to be: one behind the last.
  void begin_reading() { ++reading_; }
  Slot pair(DeviceId device, const PublicKey& key, Slot hint, bool& is_new);
  template <class Gone>
  void sweep(Gone&& gone) {
    for (Slot slot = 0; slot < rows_.size(); ++slot) {
      const Peer& row = rows_[slot];
      if (!row.live || current(row) || !current(devices_[row.device])) continue;
      gone(slot);
      remove(slot);
    }
  }

  std::span<Peer> rows() { return rows_; }
  std::span<const Peer> rows() const { return rows_; }  // some are not live
  Peer& row(Slot slot) { return rows_[slot]; }
  const Peer& row(Slot slot) const { return rows_[slot]; }
  std::size_t size() const { return size_; }
  bool current(const Peer& row) const { return row.live && row.reading == reading_; }
  bool current(const Device& device) const { return device.live && device.reading == reading_; }

  std::string_view key_text(Slot slot) const { return view(key_texts_[slot]); }
  std::string_view friendly_name(Slot slot) const {
    return sets_.friendly_name(rows_[slot].labels);
  }
  PeerLabelList labels(Slot slot) const;           // all
  PeerLabelList identity_labels(Slot slot) const;  // without those from configuration
  static void add_device_labels(const Device& device, PeerLabelList& list);

  // Of the last reading; owned by who read it.
  std::span<const Prefix> prefixes;

  // New names or another selection: every row is given its own anew.
  void set_names(const PeerNames& names);
  void set_selection(Selection selection);

 private:
  void remove(Slot slot);
  void name(Slot slot);
  std::size_t bucket_of(DeviceId device, const PublicKey& key) const;
  void rebuild_index(std::size_t buckets);

  std::vector<Device> devices_;
  std::vector<Peer> rows_;
  std::vector<KeyText> key_texts_;
  std::vector<Slot> free_;
  std::vector<Slot> index_;  // open addressing over a power of two, at most half full
  std::size_t size_ = 0;
  std::uint64_t seed_;
  std::uint32_t reading_ = 0;
  LabelSets sets_;
  Selection selection_;
  std::uint32_t namings_ = 0;
};

}  // namespace wgvitals
