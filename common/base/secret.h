// The only kind of buffer that bytes with private or preshared keys pass through: pages of their
// own, locked into memory where the limits allow it, left out of core dumps, wiped.
#pragma once

#include <cstddef>
#include <span>

namespace wgvitals {

class SecretBuffer {
 public:
  // `size` is rounded up to whole pages. Throws std::bad_alloc.
  explicit SecretBuffer(std::size_t size);
  SecretBuffer(SecretBuffer&& other) noexcept;
  SecretBuffer& operator=(SecretBuffer&& other) noexcept;
  ~SecretBuffer();  // wipes

  std::span<std::byte> bytes() const { return {data_, size_}; }
  void wipe(std::size_t used) const;  // the first `used` bytes
  void wipe() const { wipe(size_); }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Moves bytes to the front of a secret buffer one by one: memmove would leave whole keys in vector
// registers, which a core dump shows.
void move_secret(char* to, const char* from, std::size_t size);

}  // namespace wgvitals
