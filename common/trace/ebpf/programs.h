// An object of eBPF programs: loaded, attached, its maps read.
#pragma once

#include <cerrno>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/trace/ebpf/libbpf.h"

namespace wgvitals::trace {

// Of one thread at a time. Errors: denied where the kernel refuses, else io.
class Programs {
 public:
  // `who` stands first in errors, and outlives this.
  Programs(Libbpf library, const char* who) : bpf_(std::move(library)), who_(who) {}
  ~Programs();  // detaches
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  // `settings` are all that the object has as constants. An error has the verifier's words.
  Result<Done> load(std::span<const std::byte> object, std::span<const std::byte> settings);
  // In the order in which they stand in the source.
  Result<Done> attach();

  // Closed with the object.
  Result<int> find_map(const char* name) const;
  // How many values a map by CPU has.
  Result<std::size_t> cpu_count() const;
  // As many at most as any of our maps has, where keys come and go meanwhile.
  template <class Key, class Each>
  Result<Done> for_each_key(int map, Each each) const;

  const Libbpf& bpf() const { return bpf_; }
  Error failed(int number, const std::string& what) const;

 private:
  static constexpr int most_keys = 8192;

  Libbpf bpf_;
  const char* who_;
  bpf_object* object_ = nullptr;
  std::vector<bpf_link*> links_;
};

template <class Key, class Each>
Result<Done> Programs::for_each_key(int map, Each each) const {
  std::optional<Key> last;
  for (int i = 0; i < most_keys; ++i) {
    Key key{};
    if (bpf_.map_get_next_key(map, last ? &*last : nullptr, &key) != 0) {
      if (errno == ENOENT) return Done{};
      return failed(errno, "reading a map");
    }
    each(key);
    last = key;
  }
  return Done{};
}

}  // namespace wgvitals::trace
