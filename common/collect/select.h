// The third pass: which peers are shown.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "common/config/option.h"
#include "common/model/peers.h"

namespace wgvitals::collect {

extern const config::Option peers_shown, peer_include, peer_exclude, peer_list,
    ignore_selected_peer;

// Most peers that are shown; empty: all.
using ShownLimit = std::optional<std::size_t>;

ShownLimit to_limit(const config::Settings& settings);
Selection to_peer_selection(const config::Settings& settings);

// Both hosts' habits in one: lists of what to include and exclude, and collectd's one list that
// IgnoreSelected turns round.
struct SelectionOptions {
  const config::Option &include, &exclude, &listed, &ignore_selected;
};
Selection to_selection(const config::Settings& settings, const SelectionOptions& options);

// Marks the current rows that are selected and within the limit (the busiest since the last
// reading), and returns how many the limit cut. `scratch` keeps its memory for the next time.
std::size_t select(const ShownLimit& limit, Peers& peers, std::vector<Slot>& scratch);

}  // namespace wgvitals::collect
