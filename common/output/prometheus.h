// Prometheus' text format, for node_exporter's textfile directory: base units, no timestamps, each
// HELP and TYPE once.
#pragma once

#include <map>
#include <string>

#include "common/model/metric.h"

namespace wgvitals::output {

// Keeps what it takes; text() is the whole page. The texts of a record become the labels of one
// metric <family>_info, whose value is 1. Events have no form here.
class Prometheus final : public Sink {
 public:
  void begin(const Now&) override {}
  void take(const Record& record) override;
  void take(const Event&) override {}

  std::string text() const;

 private:
  struct Page {
    std::string help, type, samples;
  };

  Page& page(const std::string& name, std::string_view help, std::string_view type);

  std::map<std::string, Page> pages_;
};

// wireguard_<family without its wireguard_>_<field in base units>, "_total" for counters; or the
// name that the metric gives itself.
std::string to_prometheus_name(const Family& family, const Metric& metric);

}  // namespace wgvitals::output
