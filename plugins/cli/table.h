// Devices and peers as a table of at most 80 columns, in units for people.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/model/metric.h"

namespace wgvitals::cli {

class Table final : public Sink {
 public:
  void begin(const Now& now) override { now_ = now; }
  void take(const Record& record) override;
  void take(const Event&) override {}

  std::string text(bool colour) const;

 private:
  struct PeerRow {
    std::string name, endpoint;
    std::int64_t rx_bytes = 0, tx_bytes = 0;
    double handshake_age_s = -1;  // below 0: never
  };
  struct DeviceRow {
    std::string name, place, type;
    std::int64_t listen_port = 0, peers = 0, mtu = 0;
    int link_up = -1;  // not known
    std::vector<PeerRow> rows;
  };

  struct PingRow {
    std::string name, place;
    double loss = -1, average = -1, percentile95 = -1, maximum = -1;  // below 0: absent
  };

  DeviceRow& device(const std::string& place);
  void take_device(const Record& record);
  void take_peer(const Record& record);
  void take_ping(const Record& record);

  Now now_;
  std::vector<DeviceRow> devices_;
  std::vector<PingRow> pings_;
};

std::string to_human_bytes(std::int64_t bytes);  // "1.2 MiB"
std::string to_human_ms(double ms);              // "0.042", "1.23", "12.3", "1234"
std::string to_human_age(double seconds);        // "12s", "3m 05s", "2h 10m", "5d 03h"

}  // namespace wgvitals::cli
