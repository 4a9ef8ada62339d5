// What holds of peers' names, whatever file they were read from.
#pragma once

#include <cctype>
#include <set>
#include <string>

#include "common/base/text.h"
#include "common/model/names.h"
#include "tests/fuzz/check.h"

namespace wgvitals::fuzz {

inline void check_names(PeerNames names) {
  for (const auto& [key, peer] : names) check(key_from_base64(key).has_value(), "a key is a key");
  make_distinct(names);
  std::set<std::string> seen;
  for (const auto& [key, peer] : names) {
    if (peer.friendly_name.empty()) continue;
    std::string least = peer.friendly_name;
    for (char& c : least) {
      const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-';
      c = plain ? c : '_';
    }
    check(seen.insert(least).second, "no two peers have one name, on any host");
  }
  const LabelSets sets(names);
  for (const auto& [key, peer] : names) {
    const auto set = sets.find(key);
    check(sets.friendly_name(set) == peer.friendly_name, "a name is found by its key");
    check(peer.friendly_name == text::to_printable(peer.friendly_name), "a name is printable");
    check(sets.labels(set).size() <= most_peer_labels, "labels are few");
    for (const auto& label : sets.labels(set)) {
      check(Name::checked(label.name->tag.view()).has_value(), "a label's name is a name");
      check(!label.value.empty() && label.value == text::to_printable(label.value),
            "a label's value is printable");
    }
  }
}

}  // namespace wgvitals::fuzz
