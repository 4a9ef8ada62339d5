// Prometheus' text format, read strictly. Written from its description (expfmt/text_parse.go of
// prometheus/common), and sharing nothing with our writer.
#pragma once

#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace wgvitals::fuzz {

using PromLabels = std::map<std::string, std::string>;

struct PromMetric {
  std::string help, type;
  std::map<PromLabels, double> samples;
  friend bool operator==(const PromMetric&, const PromMetric&) = default;
};

using PromPage = std::map<std::string, PromMetric>;

class PromReader {
 public:
  explicit PromReader(std::string_view text) : rest_(text) {}

  // Each metric has its HELP, its TYPE and then all its samples; empty where anything else stands.
  std::optional<PromPage> read() {
    PromPage page;
    while (!rest_.empty()) {
      if (!take("# HELP ")) return std::nullopt;
      const auto name = take_name(true);
      if (name.empty() || !take(" ")) return std::nullopt;
      const auto [metric, is_new] = page.try_emplace(name);
      if (!is_new) return std::nullopt;
      metric->second.help = take_until("\n");
      if (!take("\n# TYPE " + name + " ")) return std::nullopt;
      metric->second.type = take_until("\n");
      if (!take("\n")) return std::nullopt;
      while (!rest_.empty() && rest_.front() != '#') {
        if (!take(name) || !take_sample(metric->second)) return std::nullopt;
      }
    }
    return page;
  }

 private:
  bool take(std::string_view wanted) {
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }
  std::string take_until(const char* ends) {
    std::string taken(rest_.substr(0, rest_.find_first_of(ends)));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string take_name(bool colon) {
    std::string name;
    const auto fits = [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':') ||
             (c >= '0' && c <= '9' && !name.empty());
    };
    while (!rest_.empty() && fits(rest_.front())) {
      name += rest_.front();
      rest_.remove_prefix(1);
    }
    return name;
  }

  bool take_sample(PromMetric& metric) {
    PromLabels labels;
    if (take("{")) {
      do {
        const auto name = take_name(false);
        if (name.empty() || name.starts_with("__") || !take("=\"")) return false;
        const auto value = take_label_value();
        if (!value || !labels.emplace(name, *value).second) return false;
      } while (take(","));
      if (!take("}")) return false;
    }
    if (!take(" ")) return false;
    const auto number = take_until("\n");
    char* end = nullptr;
    const double value = std::strtod(number.c_str(), &end);
    if (number.empty() || *end != '\0' || number.find_first_of("xX ") != std::string::npos) {
      return false;
    }
    return take("\n") && metric.samples.emplace(std::move(labels), value).second;
  }

  std::optional<std::string> take_label_value() {
    std::string value;
    while (!take("\"")) {
      if (rest_.empty() || rest_.front() == '\n') return std::nullopt;
      if (take("\\n")) {
        value += '\n';
        continue;
      }
      if (take("\\") && !rest_.starts_with('\\') && !rest_.starts_with('"')) return std::nullopt;
      value += rest_.front();
      rest_.remove_prefix(1);
    }
    return value;
  }

  std::string_view rest_;
};

}  // namespace wgvitals::fuzz
