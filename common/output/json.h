// JSON in the shape of Telegraf's serializer, with nanoseconds:
// {"metrics":[{"name":"wireguard_peer","tags":{"device":"wg0"},"fields":{"rx_bytes":1},"timestamp":1}]}
#pragma once

#include <string>

#include "common/model/metric.h"

namespace wgvitals::output {

// Appends a metric to the list; finish() ends it. Without finish() the text is no document.
class Json final : public Sink {
 public:
  void begin(const Now& now) override;
  void take(const Record& record) override;
  void take(const Event& event) override;

  std::string finish();

 private:
  std::string list_;
  std::int64_t timestamp_ = 0;
};

}  // namespace wgvitals::output
