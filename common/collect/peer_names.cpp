// Friendly names and labels of peers: fills the label sets of the peers' table, emits nothing.

#include <algorithm>

#include "common/collect/collector.h"
#include "common/collect/families.h"
#include "common/collect/names.h"
#include "common/kernel/watched_files.h"
#include "common/kernel/wgquick.h"

namespace wgvitals::collect {
namespace {

using config::Option;
using config::Takes;

// 1. What is configured.

constexpr Option names{
    "names",
    Takes::pairs,
    "",
    "Friendly names by public key: [inputs.wgvitals.names] \"KEY\" = \"laptop\"; "
    "collectd: Name \"KEY\" \"laptop\". They go before those of files",
    0,
    0,
    "",
    "name"};
constexpr Option labels{"labels",
                        Takes::triples,
                        "",
                        "Labels by public key: [inputs.wgvitals.labels.\"KEY\"] site = \"berlin\"; "
                        "collectd: Label \"KEY\" \"site\" \"berlin\"",
                        0,
                        0,
                        "",
                        "label"};
constexpr Option names_files{
    "names_files", Takes::texts,
    "/etc/wireguard/*.conf|/etc/systemd/network/*.netdev|/var/lib/wgvitals/names.toml",
    "Files with names in comments (# friendly_name, # friendly_json, # Name), and .toml files as "
    "'wgvitals names' writes them; the last part may have wildcards"};
constexpr Option expect{
    "expect", Takes::pairs, "",
    "Peers that may be away or asleep, by public key: [inputs.wgvitals.expect] \"KEY\" = "
    "\"sometimes\"; collectd: Expect \"KEY\" \"sometimes\". Or a label of this name. They are "
    "not pinged, which would wake them. \"always\" overrides a label"};
constexpr const Option* options[] = {&names, &labels, &names_files, &expect};

// 2. From values to values.

std::string checked_key(const std::string& key) {
  return key_from_base64(key) ? std::string() : "'" + key.substr(0, 50) + "' is no public key";
}

struct Names {
  PeerNames names;
  std::vector<std::string> problems;
};

Names from_settings(const config::Settings& settings) {
  Names result;
  const auto usable = [&](const std::string& option, const std::string& why_not) {
    if (!why_not.empty()) result.problems.push_back(option + ": " + why_not);
    return why_not.empty();
  };
  for (const auto& row : settings.rows(names)) {
    if (usable("names", checked_key(row[0]))) result.names[row[0]].friendly_name = row[1];
  }
  for (const auto& row : settings.rows(labels)) {
    if (usable("labels", checked_key(row[0])) && usable("labels", refuse_label(row[1]))) {
      result.names[row[0]].labels[row[1]] = row[2];
    }
  }
  for (const auto& row : settings.rows(expect)) {
    if (!usable("expect", checked_key(row[0]))) continue;
    const bool known = row[1] == "sometimes" || row[1] == "always";
    if (usable("expect",
               known ? ""
                     : "'" + row[1].substr(0, 50) + "' is neither \"sometimes\" nor \"always\"")) {
      result.names[row[0]].expect = row[1];
    }
  }
  return result;
}

Result<Names> from_toml(const Root& root, const std::filesystem::path& path) {
  const auto text = root.read(path.string());
  if (!text) return text.error();
  std::vector<config::Problem> problems;
  const auto section = config::parse_toml(*text, path, {}, problems);
  if (!section) return section.error();
  config::Settings settings({{&names, &labels, &expect}});
  settings.read(*section, problems);
  auto result = from_settings(settings);
  for (const auto& problem : problems) result.problems.push_back(problem.text);
  return result;
}

Result<Names> from_comments(const Root& root, const std::filesystem::path& path) {
  auto read = kernel::read_names(root, path.string());
  if (!read) return read.error();
  Names result{std::move(read->names), std::move(read->problems)};
  for (auto& [key, peer] : result.names) {
    std::erase_if(peer.labels, [&](const auto& label) {
      const auto why_not = refuse_label(label.first);
      if (!why_not.empty()) result.problems.push_back(why_not);
      return !why_not.empty();
    });
  }
  return result;
}

// What is there already stays.
void add_missing(PeerNames& into, const PeerNames& from) {
  for (const auto& [key, peer] : from) {
    auto& known = into[key];
    if (known.friendly_name.empty()) known.friendly_name = peer.friendly_name;
    if (known.expect.empty()) known.expect = peer.expect;
    known.labels.insert(peer.labels.begin(), peer.labels.end());
  }
}

// Failures of one reading, held back until it is known whether they matter.
class Failures final : public Report {
 public:
  void failed(const Error& error) override { errors.push_back(error); }
  void retried() override {}
  std::vector<Error> errors;
};

// 3. The collector, around the files and what they said last.

class NameFiles {
 public:
  NameFiles(const Root& root, const config::Settings& settings)
      : watched_(root, settings.texts(names_files)), configured_(from_settings(settings)) {}

  // True where the names are not the ones of the last call.
  bool read(Report& report) {
    for (const auto& problem : configured_.problems) report.failed({Errc::malformed, 0, problem});
    Failures failures;
    auto wanted = watched_.changed(failures);
    bool altered = watched_.altered();
    for (const auto& [path, file] : files_) {
      // What the system refused for the moment (no descriptor left, a lease) changes no stamp.
      if (!file.failure || file.failure->code != Errc::io || !watched_.present(path)) continue;
      if (std::find(wanted.begin(), wanted.end(), path) == wanted.end()) wanted.push_back(path);
      altered = true;
    }
    for (const auto& path : wanted) read_file(path);
    bool exported = false;
    for (const auto& [path, file] : files_) {
      const bool present = watched_.present(path);
      exported = exported || (present && !file.failure && path.extension() == ".toml");
      if (!present) continue;
      if (file.failure) failures.errors.push_back(*file.failure);
      for (const auto& problem : file.names.problems) {
        failures.errors.push_back({Errc::malformed, 0, path.string() + ": " + problem});
      }
    }
    for (const auto& error : failures.errors) {
      // Who has an export is not meant to read the originals.
      if (!(exported && error.code == Errc::denied)) report.failed(error);
    }
    if (!altered && merged_) return false;
    auto all = merged();
    const bool is_new = all != merged_;
    merged_ = std::move(all);
    return is_new;
  }

  const PeerNames& names() const { return *merged_; }  // after the first read

 private:
  struct File {
    Names names;  // the last good ones
    std::optional<Error> failure;
  };

  void read_file(const std::filesystem::path& path) {
    auto read = path.extension() == ".toml" ? from_toml(root_, path) : from_comments(root_, path);
    auto& file = files_[path];
    file.failure.reset();
    if (read) {
      file.names = std::move(*read);
    } else {
      file.failure = read.error();
    }
  }

  // Configuration first, then the files that are there, then what gone ones said last.
  PeerNames merged() const {
    auto all = configured_.names;
    for (const bool present : {true, false}) {
      for (const auto& [path, file] : files_) {
        if (watched_.present(path) == present) add_missing(all, file.names.names);
      }
    }
    make_distinct(all);
    return all;
  }

  const Root root_{"/"};  // WatchedFiles tells whole paths
  kernel::WatchedFiles watched_;
  Names configured_;
  std::map<std::filesystem::path, File> files_;
  std::optional<PeerNames> merged_;
};

class PeerNamesCollector final : public Collector {
 public:
  PeerNamesCollector(const Services& services, const config::Settings& settings)
      : files_(services.root, settings) {}

  void read(Devices&, Report& report) override { is_new_ = files_.read(report) || is_new_; }

  void advance(const Now&, const Devices&, Peers& peers, Events&) override {
    if (is_new_) peers.set_names(files_.names());
    is_new_ = false;
  }

  void emit(const Now&, const Devices&, const Peers&, Sink&) const override {}

 private:
  NameFiles files_;
  bool is_new_ = false;
};

}  // namespace

std::string refuse_label(std::string_view name) {
  const std::string quoted = "label '" + std::string(name.substr(0, 50)) + "': ";
  if (!Name::checked(name)) return quoted + "a name has letters, digits and '_'";
  if (name.front() == '_' || (name.front() >= '0' && name.front() <= '9')) {
    return quoted + "may not begin with '_' or a digit";
  }
  for (const auto reserved : {"time", "host", "le", "instance", "job"}) {
    if (name == reserved) return quoted + "the name is taken by the databases";
  }
  const auto is_taken = [&](const Family& family) {
    return std::any_of(family.labels.begin(), family.labels.end(),
                       [&](const LabelName* label) {
                         return label->tag.view() == name || label->prometheus == name;
                       }) ||
           std::any_of(family.metrics.begin(), family.metrics.end(), [&](const Metric* metric) {
             return metric->field.view() == name || metric->prometheus == name;
           });
  };
  for (const auto* family : all_families()) {
    if (is_taken(*family)) return quoted + "the name is one of wgvitals' own tags or fields";
  }
  return {};
}

PeerNames read_original_names(const Root& root, config::Settings settings, Report& report) {
  auto patterns = settings.texts(names_files);
  std::erase_if(patterns, [](const std::string& pattern) { return pattern.ends_with(".toml"); });
  settings.set(names_files, std::move(patterns));
  NameFiles files(root, settings);
  (void)files.read(report);
  return files.names();
}

extern const Entry peer_names;
const Entry peer_names{
    {"peer_names", Takes::truth, "true", "Friendly names and labels of peers"},
    {},
    options,
    [](const Services& services, const config::Settings& settings) -> std::unique_ptr<Collector> {
      return std::make_unique<PeerNamesCollector>(services, settings);
    }};

}  // namespace wgvitals::collect
