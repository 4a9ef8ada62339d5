// Friendly names and labels of peers, as configured: the content of the label sets.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/model/key.h"
#include "common/model/metric.h"

namespace wgvitals {

struct PeerLabels {
  std::string friendly_name;  // empty: none
  std::map<std::string, std::string, std::less<>> labels;
  std::string expect =
      {};  // "sometimes": it may be away or asleep; else the label of this name says so
  friend bool operator==(const PeerLabels&, const PeerLabels&) = default;
};

using PeerNames = std::map<std::string, PeerLabels, std::less<>>;  // by key in base64

constexpr std::size_t most_peer_labels = 16;

// Makes every friendly name printable and distinct: names that are equal, or become equal where a
// host escapes them (anything but letters, digits, '_' and '-' counts as the same), and names over
// `limit` bytes (cut at a character's end) get '~' and the first 6 characters of the URL-safe key;
// those that are equal even then get all of it.
void make_distinct(PeerNames& names, std::size_t limit = 100);

// Interned sets of labels; 0 is the empty one.
class LabelSets {
 public:
  LabelSets() : sets_(1) {}
  explicit LabelSets(const PeerNames& names);

  std::uint32_t find(std::string_view base64) const;

  // Without the friendly name. Valid until the sets are replaced.
  std::span<const Label> labels(std::uint32_t set) const { return sets_[set].views; }
  std::string_view friendly_name(std::uint32_t set) const { return sets_[set].friendly_name; }
  bool is_sometimes_away(std::uint32_t set) const { return sets_[set].sometimes_away; }

 private:
  struct Set {
    std::string friendly_name;
    std::vector<std::pair<std::string, std::string>> texts;
    std::vector<LabelName> names;
    std::vector<Label> views;
    bool sometimes_away = false;
  };

  std::vector<Set> sets_;
  std::map<std::string, std::uint32_t, std::less<>> by_key_;
};

}  // namespace wgvitals
