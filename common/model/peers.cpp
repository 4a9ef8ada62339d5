#include "common/model/peers.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace wgvitals {
namespace {

constexpr Slot no_slot = ~Slot{0};
constexpr std::size_t first_buckets = 64;

std::uint64_t folded_product(std::uint64_t left, std::uint64_t right) {
  const auto product = static_cast<unsigned __int128>(left) * right;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace

Peers::Peers() : index_(first_buckets, no_slot), seed_(random_seed()) {}

// The sender chooses the keys: without the seed, and with less than the whole key, colliding ones
// could be made up.
std::size_t Peers::bucket_of(DeviceId device, const PublicKey& key) const {
  std::uint64_t words[4];
  std::memcpy(words, key.bytes.data(), sizeof words);
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
  const auto low = folded_product(words[0] ^ seed_, words[1] ^ odd ^ device);
  const auto high = folded_product(words[2] ^ seed_, words[3] ^ ~odd);
  return static_cast<std::size_t>(folded_product(low ^ seed_, high ^ odd)) & (index_.size() - 1);
}

DeviceId Peers::device(const SeenDevice& seen) {
  if (const auto known = find_device(seen.identity)) {
    devices_[*known].name = seen.name;  // it may have been renamed, or moved
    devices_[*known].netns = seen.netns;
    devices_[*known].reading = reading_;
    return *known;
  }
  const auto unused =
      std::find_if(devices_.begin(), devices_.end(), [](const Device& d) { return !d.live; });
  auto& device = unused == devices_.end() ? devices_.emplace_back() : *unused;
  device = {seen.name, seen.netns, seen.identity, 0, reading_, true};
  return static_cast<DeviceId>(&device - devices_.data());
}

std::optional<DeviceId> Peers::find_device(const DeviceIdentity& identity) const {
  for (DeviceId id = 0; id < devices_.size(); ++id) {
    if (devices_[id].live && devices_[id].identity == identity) return id;
  }
  return std::nullopt;
}

void Peers::remove_device(DeviceId id) {
  for (Slot slot = 0; slot < rows_.size(); ++slot) {
    if (rows_[slot].live && rows_[slot].device == id) remove(slot);
  }
  devices_[id].live = false;
}

Slot Peers::pair(DeviceId device, const PublicKey& key, Slot hint, bool& is_new) {
  is_new = false;
  const auto is_it = [&](const Peer& row) {
    return row.live && row.device == device && row.key == key;
  };
  if (hint < rows_.size() && is_it(rows_[hint])) {
    rows_[hint].reading = reading_;
    return hint;
  }
  auto bucket = bucket_of(device, key);
  for (; index_[bucket] != no_slot; bucket = (bucket + 1) & (index_.size() - 1)) {
    if (!is_it(rows_[index_[bucket]])) continue;
    rows_[index_[bucket]].reading = reading_;
    return index_[bucket];
  }
  is_new = true;
  Slot slot = 0;
  if (free_.empty()) {
    slot = static_cast<Slot>(rows_.size());
    rows_.emplace_back();
    key_texts_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  rows_[slot] = Peer{};
  rows_[slot].key = key;
  rows_[slot].device = device;
  rows_[slot].reading = reading_;
  rows_[slot].live = true;
  key_texts_[slot] = to_base64(key);
  name(slot);
  ++devices_[device].peers;
  ++size_;
  if (size_ * 2 > index_.size()) {
    rebuild_index(index_.size() * 2);
  } else {
    index_[bucket] = slot;
  }
  return slot;
}

void Peers::remove(Slot slot) {
  --devices_[rows_[slot].device].peers;
  rows_[slot].live = false;
  free_.push_back(slot);
  --size_;
  // Close the gap: whoever stands behind it in the run moves up where its own bucket allows.
  const auto mask = index_.size() - 1;
  auto gap = bucket_of(rows_[slot].device, rows_[slot].key);
  while (index_[gap] != slot) gap = (gap + 1) & mask;
  for (auto next = (gap + 1) & mask; index_[next] != no_slot; next = (next + 1) & mask) {
    const auto& row = rows_[index_[next]];
    const auto home = bucket_of(row.device, row.key);
    if (((next - home) & mask) < ((next - gap) & mask)) continue;
    index_[gap] = index_[next];
    gap = next;
  }
  index_[gap] = no_slot;
}

void Peers::rebuild_index(std::size_t buckets) {
  index_.assign(buckets, no_slot);
  for (Slot slot = 0; slot < rows_.size(); ++slot) {
    if (!rows_[slot].live) continue;
    auto bucket = bucket_of(rows_[slot].device, rows_[slot].key);
    while (index_[bucket] != no_slot) bucket = (bucket + 1) & (buckets - 1);
    index_[bucket] = slot;
  }
}

void Peers::name(Slot slot) {
  auto& row = rows_[slot];
  row.labels = sets_.find(key_text(slot));
  row.sometimes_away = sets_.is_sometimes_away(row.labels);
  row.naming = ++namings_;
  row.selected = selection_.wants(key_text(slot), sets_.friendly_name(row.labels));
}

void Peers::set_names(const PeerNames& names) {
  sets_ = LabelSets(names);
  for (Slot slot = 0; slot < rows_.size(); ++slot) {
    if (rows_[slot].live) name(slot);
  }
}

void Peers::set_selection(Selection selection) {
  selection_ = std::move(selection);
  for (Slot slot = 0; slot < rows_.size(); ++slot) {
    if (rows_[slot].live) name(slot);
  }
}

void Peers::add_device_labels(const Device& device, PeerLabelList& list) {
  list.add(&device_label, device.name);
  if (!device.netns.empty()) list.add(&netns_label, device.netns);
}

PeerLabelList Peers::identity_labels(Slot slot) const {
  const auto& row = rows_[slot];
  PeerLabelList list;
  add_device_labels(devices_[row.device], list);
  list.add(&public_key_label, key_text(slot));
  if (const auto name = sets_.friendly_name(row.labels); !name.empty()) {
    list.add(&friendly_name_label, name);
  }
  return list;
}

PeerLabelList Peers::labels(Slot slot) const {
  auto list = identity_labels(slot);
  for (const auto& label : sets_.labels(rows_[slot].labels)) list.add(label);
  return list;
}

}  // namespace wgvitals
