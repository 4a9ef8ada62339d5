// All WireGuard devices that this host can show: in-kernel ones of our own and of other network
// namespaces, and userspace ones wherever their link lives. Reading changes nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/files.h"
#include "common/base/report.h"
#include "common/kernel/wireguard_netlink.h"
#include "common/kernel/wireguard_uapi.h"
#include "common/model/devices.h"
#include "common/model/selection.h"

namespace wgvitals::kernel {

struct WireGuardSources {
  Selection interfaces;
  std::vector<std::string> netns;  // names or paths, as configured
  std::string uapi_folder = "/var/run/wireguard";
  std::chrono::milliseconds uapi_deadline{1000};
  ToPublicKey to_public;  // empty: keys of devices that tell only their private one are not told
};

class WireGuardReader {
 public:
  WireGuardReader(const Root& root, WireGuardSources sources,
                  OpenNetlink open = open_own_netlink());

  // Replaces `out`. One thread.
  void read(Devices& out, Report& report);

  static OpenNetlink open_own_netlink();

 private:
  struct Other {
    std::string name;
    std::filesystem::path path;
    std::unique_ptr<KernelWireGuard> kernel;  // empty until the namespace is there
  };

  void read_other(Other& other, Devices& out, Report& report);
  void find_links(Devices& out, std::size_t first, Report& report);

  void read_threads(Devices& out) const;

  Root root_;
  WireGuardSources sources_;
  KernelWireGuard own_;
  std::vector<Other> others_;
  UserspaceWireGuard userspace_;
  std::map<std::uint64_t, std::string> last_places_;  // namespaces of userspace devices' links
};

}  // namespace wgvitals::kernel
