#include "common/model/names.h"

#include <algorithm>
#include <cctype>
#include <tuple>

#include "common/base/text.h"

namespace wgvitals {
namespace {

// As the least capable host would show it.
std::string escaped_everywhere(std::string_view name) {
  std::string escaped(name);
  for (char& c : escaped) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || (std::isalnum(byte) == 0 && c != '_' && c != '-')) c = '_';
  }
  return escaped;
}

std::string marked(const std::string& name, std::string_view base64, std::size_t length,
                   std::size_t limit) {
  const auto safe = to_url_safe(base64);
  const auto mark = view(safe).substr(0, length);
  std::string text(text::cut(name, limit - mark.size() - 1));
  text += '~';
  return text += mark;
}

}  // namespace

void make_distinct(PeerNames& names, std::size_t limit) {
  for (auto& [key, peer] : names) {
    peer.friendly_name = text::to_printable(text::trim(peer.friendly_name));
  }
  // Keys that begin alike, and names that look like a marked one, leave work for the whole key.
  for (const std::size_t length : {std::size_t{6}, std::tuple_size_v<SafeKeyText>}) {
    std::map<std::string, int> uses;
    for (const auto& [key, peer] : names) ++uses[escaped_everywhere(peer.friendly_name)];
    for (auto& [key, peer] : names) {
      auto& name = peer.friendly_name;
      if (name.empty()) continue;
      if (name.size() <= limit && uses[escaped_everywhere(name)] == 1) continue;
      name = marked(name, key, length, std::max(limit, length + 1));
    }
  }
}

LabelSets::LabelSets(const PeerNames& names) : sets_(1) {
  sets_.reserve(names.size() + 1);
  for (const auto& [key, peer] : names) {
    if (peer == PeerLabels{}) continue;
    by_key_.emplace(key, static_cast<std::uint32_t>(sets_.size()));
    auto& set = sets_.emplace_back();
    set.friendly_name = peer.friendly_name;
    const auto label_says = peer.labels.find("expect");
    set.sometimes_away = !peer.expect.empty()
                             ? peer.expect == "sometimes"
                             : label_says != peer.labels.end() && label_says->second == "sometimes";
    for (const auto& label : peer.labels) {
      if (set.texts.size() == most_peer_labels) break;
      set.texts.emplace_back(label.first, text::to_printable(label.second));
    }
  }
  // Views only now that nothing moves any more.
  for (auto& set : sets_) {
    set.names.reserve(set.texts.size());
    for (const auto& [name, value] : set.texts) {
      const auto checked = Name::checked(name);
      if (!checked || value.empty()) continue;
      set.names.push_back(LabelName{*checked});
      set.views.push_back({&set.names.back(), value});
    }
  }
}

std::uint32_t LabelSets::find(std::string_view base64) const {
  const auto known = by_key_.find(base64);
  return known == by_key_.end() ? 0 : known->second;
}

}  // namespace wgvitals
