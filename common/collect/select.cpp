#include "common/collect/select.h"

#include <algorithm>

#include "common/base/text.h"

namespace wgvitals::collect {

using config::Option;
using config::Takes;

constexpr Option peers_shown{"peers_shown",
                             Takes::choice,
                             "all",
                             "Which peers are told of: all, the N busiest since the last reading, "
                             "or none",
                             0,
                             0,
                             "all|top:N|none"};
constexpr Option peer_include{"peer_include", Takes::patterns, "",
                              "Peers to tell of; empty: all. Public keys or friendly names, exact "
                              "or as /extended regular expressions/"};
constexpr Option peer_exclude{"peer_exclude", Takes::patterns, "", "Peers not to tell of"};
constexpr Option peer_list{"peer", Takes::patterns, "",
                           "Peers to tell of or, with ignore_selected_peer, not to; as collectd's "
                           "lists"};
constexpr Option ignore_selected_peer{"ignore_selected_peer", Takes::truth, "false",
                                      "Turns the meaning of peer round"};

ShownLimit to_limit(const config::Settings& settings) {
  const std::string_view text = settings.text(peers_shown);
  constexpr std::string_view top = "top:";
  if (text == "none") return 0;
  if (!text.starts_with(top)) return std::nullopt;
  return text::to_number<std::size_t>(text.substr(top.size()));
}

Selection to_selection(const config::Settings& settings, const SelectionOptions& options) {
  auto include = settings.texts(options.include);
  auto exclude = settings.texts(options.exclude);
  auto& listed = settings.truth(options.ignore_selected) ? exclude : include;
  const auto& more = settings.texts(options.listed);
  listed.insert(listed.end(), more.begin(), more.end());
  return {include, exclude};
}

Selection to_peer_selection(const config::Settings& settings) {
  return to_selection(settings, {peer_include, peer_exclude, peer_list, ignore_selected_peer});
}

std::size_t select(const ShownLimit& limit, Peers& peers, std::vector<Slot>& scratch) {
  scratch.clear();
  const auto rows = peers.rows();
  for (Slot slot = 0; slot < rows.size(); ++slot) {
    auto& row = rows[slot];
    row.shown = row.selected && peers.current(row);
    if (row.shown && limit) scratch.push_back(slot);
  }
  if (!limit || scratch.size() <= *limit) return 0;
  const auto busier = [&](Slot left, Slot right) {
    const auto traffic = [&](Slot slot) { return rows[slot].rx_gained + rows[slot].tx_gained; };
    return traffic(left) > traffic(right);
  };
  const auto first_cut = scratch.begin() + static_cast<std::ptrdiff_t>(*limit);
  std::nth_element(scratch.begin(), first_cut, scratch.end(), busier);
  for (auto slot = first_cut; slot != scratch.end(); ++slot) rows[*slot].shown = false;
  return scratch.size() - *limit;
}

}  // namespace wgvitals::collect
