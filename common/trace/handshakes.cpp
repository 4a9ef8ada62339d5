#include "common/trace/handshakes.h"

#include <algorithm>
#include <cstring>

namespace wgvitals::trace {
namespace {

std::uint64_t to_mark(const Message& message) {
  std::uint64_t mark = 0;
  if (!message.mac1.empty()) std::memcpy(&mark, message.mac1.data(), sizeof mark);
  return mark;
}

}  // namespace

Handshakes::Open* Handshakes::Table::find(std::uint32_t index) {
  const auto found = open_.find(index);
  return found == open_.end() ? nullptr : &found->second;
}

template <class Gone>
void Handshakes::Table::put(std::uint32_t index, const Open& open, Gone&& gone) {
  while (turns_.size() >= most_open) drop_oldest(gone);
  const auto [place, is_new] = open_.try_emplace(index, open);
  if (!is_new) gone(std::exchange(place->second, open));
  turns_.push_back({index, open.at});
}

template <class Gone>
void Handshakes::Table::expire(Clock::time_point before, Gone&& gone) {
  while (!turns_.empty() && turns_.front().at < before) drop_oldest(gone);
}

template <class Gone>
void Handshakes::Table::drop_oldest(Gone&& gone) {
  const auto turn = turns_.front();
  turns_.pop_front();
  const auto found = open_.find(turn.index);
  if (found == open_.end() || found->second.at != turn.at) return;
  gone(found->second);
  open_.erase(found);
}

void Handshakes::set_devices(std::span<const TracedDevice> devices) {
  std::vector<DeviceCounts> counts;
  counts.reserve(devices.size());
  devices_.clear();
  for (const auto& device : devices) {
    const auto* known = find_counts(device.identity);
    auto& one = counts.emplace_back(known != nullptr ? *known : DeviceCounts{});
    one.device = device.identity;
    one.macs_checked = mac1_for_ && device.key;
    devices_.push_back({device, one.macs_checked ? mac1_for_(*device.key) : Mac1()});
  }
  counts_ = std::move(counts);
  refusals_.forget_if([&](const DeviceIdentity& device) { return find_counts(device) == nullptr; });
}

void Handshakes::see(const Sighting& sighting) {
  if (sighting.direction == Direction::passing) return;
  const auto packet = parse_udp(sighting.packet);
  if (!packet) return;
  if (const auto index = first_data(packet->payload)) {
    if (sighting.direction == Direction::outgoing) return;
    return see_answer(MessageType::response, *index, *packet, sighting.at);
  }
  if (!holds_messages(packet->payload)) return;
  auto rest = packet->payload;
  while (const auto message = next_message(rest)) {
    if (sighting.direction == Direction::incoming) {
      see_incoming(*packet, *message, sighting);
    } else {
      see_outgoing(*packet, *message, sighting);
    }
  }
}

void Handshakes::decide(Clock::time_point now) {
  received_.expire(now - decision_wait, [this](const Open& open) { refuse(open); });
  sent_.expire(now - answer_wait, [](const Open&) {});
}

void Handshakes::see_incoming(const UdpPacket& packet, const Message& message,
                              const Sighting& sighting) {
  const auto* device = find_device(packet.to.port);
  if (device == nullptr) return;
  if (message.type == MessageType::cookie_reply) {
    auto* open = sent_.find(message.receiver);
    if (open == nullptr || open->device != device->identity || open->got_cookie) return;
    open->got_cookie = true;
    if (auto* counts = find_counts(device->identity)) ++counts->cookies_received;
    return;
  }
  const auto mark = to_mark(message);
  const auto* known = received_.find(message.sender);
  if (known != nullptr && known->mark == mark && known->link != sighting.link) return;
  const bool invalid =
      device->mac1 && !std::ranges::equal(device->mac1(message.signed_part), message.mac1);
  if (message.type == MessageType::response && !invalid) {
    return see_answer(MessageType::initiation, message.receiver, packet, sighting.at);
  }
  const Open open{device->identity, message.type, packet.from, mark,
                  sighting.link,    invalid,      false,       sighting.at};
  received_.put(message.sender, open, [this](const Open& gone) { refuse(gone); });
}

void Handshakes::see_answer(MessageType question, std::uint32_t index, const UdpPacket& answer,
                            Clock::time_point at) {
  const auto* device = find_device(answer.to.port);
  const auto* open = sent_.find(index);
  if (device == nullptr || open == nullptr || open->device != device->identity ||
      open->type != question) {
    return;
  }
  const auto time = at - open->at;
  sent_.erase(index);  // so that a copy counts for nothing
  // The kernel takes no later answer either.
  if (times_.size() < most_times && time.count() >= 0 && time <= answer_wait) {
    times_.push_back({device->identity, answer.from, time});
  }
}

void Handshakes::see_outgoing(const UdpPacket& packet, const Message& message,
                              const Sighting& sighting) {
  const bool is_cookie = message.type == MessageType::cookie_reply;
  const auto mark = to_mark(message);
  if (const auto* known = is_cookie ? nullptr : received_.find(message.sender);
      known != nullptr && known->mark == mark && known->link != sighting.link) {
    return received_.erase(message.sender);  // passed on
  }
  const auto* device = find_device(packet.from.port);
  if (device == nullptr) return;
  if (message.type != MessageType::initiation) {
    auto* asked = received_.find(message.receiver);
    const bool answers =
        asked != nullptr && asked->device == device->identity && asked->other == packet.to;
    if (answers && is_cookie && !asked->got_cookie) {
      asked->got_cookie = true;
      if (auto* counts = find_counts(device->identity)) ++counts->cookies_sent;
    }
    if (answers && !is_cookie) received_.erase(message.receiver);  // accepted
  }
  if (is_cookie) return;
  if (const auto* known = sent_.find(message.sender); known != nullptr && known->mark == mark) {
    return;  // on its way through another link, as a bond's
  }
  const Open open{device->identity, message.type, packet.to, mark,
                  sighting.link,    false,        false,     sighting.at};
  sent_.put(message.sender, open, [](const Open&) {});
}

const Handshakes::Receiver* Handshakes::find_device(std::uint16_t port) const {
  const auto found = std::ranges::find(devices_, port, &TracedDevice::port);
  return found == devices_.end() ? nullptr : &*found;
}

DeviceCounts* Handshakes::find_counts(const DeviceIdentity& device) {
  const auto found = std::ranges::find(counts_, device, &DeviceCounts::device);
  return found == counts_.end() ? nullptr : &*found;
}

void Handshakes::refuse(const Open& open) {
  auto* counts = find_counts(open.device);
  if (counts == nullptr) return;
  if (open.invalid) ++counts->invalid_mac;
  if (open.type == MessageType::initiation) refusals_.add(open.device, open.other);
}

}  // namespace wgvitals::trace
