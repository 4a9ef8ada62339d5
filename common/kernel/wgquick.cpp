#include "common/kernel/wgquick.h"

#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

struct Assignment {
  std::string_view name, value;
};

std::optional<Assignment> split(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  return Assignment{text::trim(text.substr(0, equals)), text::trim(text.substr(equals + 1))};
}

void merge(PeerLabels& into, PeerLabels& from) {
  if (!from.friendly_name.empty()) into.friendly_name = std::move(from.friendly_name);
  into.labels.merge(from.labels);
  from = {};
}

}  // namespace

void NameParser::take(std::string_view line) {
  ++line_;
  line = text::trim(line);
  if (line.empty()) return;
  if (line.front() == '#' || line.front() == ';') {
    take_comment(line.substr(1));
    return;
  }
  if (line.front() == '[') {
    end_peer();
    in_peer_ = text::equal_ignoring_case(line, "[Peer]") ||
               text::equal_ignoring_case(line, "[WireGuardPeer]");
    if (in_peer_) merge(peer_, pending_);
    pending_ = {};
    return;
  }
  if (!in_peer_) {
    pending_ = {};
    return;
  }
  merge(peer_, pending_);
  const auto assignment = split(line);
  if (!assignment || !text::equal_ignoring_case(assignment->name, "PublicKey")) return;
  const auto value = assignment->value.substr(0, assignment->value.find_first_of(" \t#"));
  if (key_from_base64(value)) key_ = std::string(value);
}

PeerNames NameParser::finish() {
  // Comments at the very end may be another peer's, commented out.
  if (peer_.friendly_name.empty() && peer_.labels.empty()) merge(peer_, pending_);
  end_peer();
  return std::move(names_);
}

void NameParser::take_comment(std::string_view comment) {
  const auto assignment = split(comment);
  if (!assignment || assignment->value.empty()) return;
  if (text::equal_ignoring_case(assignment->name, "friendly_name") ||
      text::equal_ignoring_case(assignment->name, "name")) {
    pending_.friendly_name = assignment->value;
  } else if (text::equal_ignoring_case(assignment->name, "friendly_json")) {
    take_json(assignment->value);
  }
}

void NameParser::take_json(std::string_view text) {
  const auto complain = [&](const std::string& what) {
    problems_.push_back("line " + std::to_string(line_) + ": friendly_json: " + what);
  };
  const auto object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) {
    complain("not a JSON object such as {\"site\": \"berlin\"}");
    return;
  }
  for (const auto& [name, value] : object.items()) {
    if (value.is_structured() || value.is_null()) {
      complain(text::to_printable(name) + ": expected a text, a number or a truth");
      continue;
    }
    auto content = value.is_string() ? value.get<std::string>() : value.dump();
    if (name == "friendly_name") {
      pending_.friendly_name = std::move(content);
    } else {
      pending_.labels[name] = std::move(content);
    }
  }
}

void NameParser::end_peer() {
  const bool named = !peer_.friendly_name.empty() || !peer_.labels.empty();
  if (in_peer_ && key_ && named) names_.insert_or_assign(*key_, std::move(peer_));
  peer_ = {};
  key_.reset();
  in_peer_ = false;
}

Result<NamedPeers> read_names(const Root& root, std::string_view path) {
  NameParser parser;
  const auto read = root.read_secret_lines(path, [&](std::string_view line) { parser.take(line); });
  if (!read) return read.error();
  auto names = parser.finish();
  return NamedPeers{std::move(names), parser.problems()};
}

}  // namespace wgvitals::kernel
