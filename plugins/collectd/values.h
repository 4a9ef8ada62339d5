// Records as collectd's value lists, events as its notifications.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/model/metric.h"

namespace wgvitals::collectd {

enum class PeerInstance : std::uint8_t { name, safe, raw };
PeerInstance to_peer_instance(std::string_view option);

// Longest part of an identifier, without its end (collectd's DATA_MAX_NAME_LEN).
constexpr std::size_t longest_part = 127;

// A part as it is dispatched: one that is too long ends in '~' and 6 characters of a hash of it
// all.
std::string to_part(std::string_view text);

// Dispatches during the call, on the caller's thread, which must have collectd's context.
class Values final : public Sink {
 public:
  explicit Values(PeerInstance peers) : peers_(peers) {}

  void begin(const Now& now) override { now_ = now; }
  void take(const Record& record) override;
  void take(const Event& event) override;

 private:
  PeerInstance peers_;
  Now now_;
};

}  // namespace wgvitals::collectd
