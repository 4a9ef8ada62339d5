// wgvitals names: friendly names and labels as a TOML file that anybody may read, so that a
// telegraf user needs no right to the files with the private keys.

#include "common/collect/names.h"

#include <fmt/format.h>

#include "plugins/cli/commands.h"

namespace wgvitals::cli {
namespace {

class TerminalReport final : public Report {
 public:
  void failed(const Error& error) override {
    if (error.code == Errc::absent) return;
    log_.warning(to_text(error));
    // A comment that is no use leaves the others good.
    unreadable_ = unreadable_ || error.code != Errc::malformed;
  }
  void retried() override {}
  bool unreadable() const { return unreadable_; }

 private:
  TerminalLog log_;
  bool unreadable_ = false;
};

std::string to_toml(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    // A dollar would be taken for a variable of the environment when it is read.
    if (byte < 0x20 || byte == 0x7f || c == '$') {
      result += fmt::format("\\u{:04x}", byte);
      continue;
    }
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

int run(const std::optional<std::string>& config) {
  const auto settings = load_settings(config);
  TerminalReport report;
  const auto names = collect::read_original_names(Root(), settings, report);
  std::string text =
      "# Friendly names and labels of WireGuard peers, written by 'wgvitals names'.\n\n[names]\n";
  for (const auto& [key, peer] : names) {
    if (!peer.friendly_name.empty())
      text += to_toml(key) + " = " + to_toml(peer.friendly_name) + '\n';
  }
  for (const auto& [key, peer] : names) {
    if (peer.labels.empty()) continue;
    text += "\n[labels." + to_toml(key) + "]\n";
    for (const auto& [name, value] : peer.labels) text += name + " = " + to_toml(value) + '\n';
  }
  fmt::print("{}", text);
  return report.unreadable() ? 1 : 0;
}

}  // namespace

Run add_names(CLI::App& app) {
  const auto config = std::make_shared<std::optional<std::string>>();
  app.add_option("--config", *config, "Options in TOML, as for wgvitals-execd")->type_name("FILE");
  return [config] { return run(*config); };
}

}  // namespace wgvitals::cli
