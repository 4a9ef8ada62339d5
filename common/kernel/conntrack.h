// Connection tracking (netfilter's nf_conntrack): how full its table is, and what it did on each
// CPU. From ctnetlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h) or from procfs.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/files.h"
#include "common/base/result.h"
#include "common/kernel/netlink.h"

namespace wgvitals::kernel {

struct ConntrackTable {
  std::uint64_t count = 0;  // flows, of this network namespace
  std::optional<std::uint64_t> max;
  std::optional<std::uint64_t> buckets;  // of all namespaces together
};

// 32-bit counters since boot. Empty: this kernel does not tell it.
struct ConntrackCpu {
  using Counter = std::optional<std::uint64_t>;

  unsigned number = 0;
  Counter searched, found, new_flows, invalid, ignore, deleted, delete_list;
  Counter insert, insert_failed, drop, early_drop, error, search_restart;
  Counter clash_resolve, chain_toolong;
  Counter expect_new, expect_create, expect_delete;
};

// From sysctl and procfs, each file opened once: of the reading thread's network namespace.
class ConntrackFiles {
 public:
  explicit ConntrackFiles(const Root& root);

  // absent where conntrack is not loaded.
  Result<ConntrackTable> read_table();

  // Numbered in their order. The file is absent from kernels without CONFIG_NF_CONNTRACK_PROCFS.
  Result<std::vector<ConntrackCpu>> read_cpus();

 private:
  KeptFile count_, max_, buckets_, cpus_;
};

// Of the socket's network namespace. `buckets` is not told here. This and what follows is asked
// only where ctnetlink is: a request to one that is not would load its module.
Result<ConntrackTable> read_conntrack_table(Netlink& netfilter);

// By CPU, of the socket's network namespace. denied without CAP_NET_ADMIN, absent where the kernel
// has no ctnetlink.
Result<std::vector<ConntrackCpu>> read_conntrack_cpus(Netlink& netfilter);

// One answer to IPCTNL_MSG_CT_GET_STATS, _CT_GET_STATS_CPU, _EXP_GET_STATS_CPU. Of the last two the
// counters are put into `cpu`, and its number.
Result<ConntrackTable> parse_conntrack_table(const nlmsghdr& message);
Result<Done> parse_conntrack_cpu(const nlmsghdr& message, ConntrackCpu& cpu);
Result<Done> parse_expectations(const nlmsghdr& message, ConntrackCpu& cpu);

// Columns by their name, in hexadecimal; their order and some names changed with the kernel:
//   entries  clashres found new invalid ignore delete chainlength insert insert_failed drop ...
//   00000003  00000001 0000000a 00000000 00000002 00000000 00000000 00000000 00000000 ...
Result<std::vector<ConntrackCpu>> parse_conntrack_cpus(std::string_view text);

// A request to ctnetlink or, with NFNL_SUBSYS_CTNETLINK_EXP, of expectations; and an error of its,
// in words: the subsystem that is not there says EINVAL.
NetlinkRequest conntrack_request(unsigned subsystem, unsigned command, std::uint16_t flags,
                                 std::uint8_t family = 0);
Error conntrack_error(const Error& error);

}  // namespace wgvitals::kernel
