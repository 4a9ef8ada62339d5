// In-kernel WireGuard of one network namespace, by generic netlink (include/uapi/linux/wireguard.h,
// drivers/net/wireguard/netlink.c).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/report.h"
#include "common/base/result.h"
#include "common/kernel/link.h"
#include "common/kernel/netlink.h"
#include "common/model/devices.h"
#include "common/model/selection.h"

namespace wgvitals::kernel {

// Adds what one message of a WG_CMD_GET_DEVICE dump tells to `device`, which is the last one that
// adds to `out`. A peer that is split over messages is joined by its key: the first part has the
// counters, the others only the key and more allowed IPs; device attributes may repeat. Private and
// preshared keys are passed over. malformed where a known attribute has a wrong size.
Result<Done> parse_device_message(const nlmsghdr& message, SeenDevice& device, Devices& out);

class KernelWireGuard {
 public:
  // `netns` is empty for our own namespace; `place` is the namespace's inode.
  KernelWireGuard(OpenNetlink open, const std::string& netns, std::uint64_t place);

  // Adds every wanted device. Waits for the kernel's locks as long as those are held.
  void read(const Selection& interfaces, Devices& out, Report& report);

  // A link of another kind here: a userspace device's.
  Result<Link> find_link(std::string_view name);

  const std::string& netns() const { return netns_; }
  std::uint64_t place() const { return place_; }

 private:
  Error with_netns(Error error) const;
  Result<std::uint16_t> family();
  Result<Done> dump(std::uint16_t family, SeenDevice& device, Devices& out);
  void read_device(Link link, Devices& out, Report& report);
  Error explain(Error error, const std::string& device) const;

  Netlink route_;
  Netlink generic_;
  std::string netns_;
  std::uint64_t place_;
  std::optional<std::uint16_t> family_;
};

}  // namespace wgvitals::kernel
