#include "common/base/secret.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

namespace wgvitals {

SecretBuffer::SecretBuffer(std::size_t size) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  size_ = std::max(page, (size + page - 1) / page * page);
  void* pages = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(pages);
  // An unprivileged user may lock little: the buffer is wiped all the same.
  (void)::mlock(pages, size_);
  (void)::madvise(pages, size_, MADV_DONTDUMP);
  (void)::madvise(pages, size_, MADV_DONTFORK);
}

SecretBuffer::SecretBuffer(SecretBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBuffer& SecretBuffer::operator=(SecretBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

SecretBuffer::~SecretBuffer() {
  if (data_ == nullptr) return;
  wipe();
  ::munmap(data_, size_);
}

void SecretBuffer::wipe(std::size_t used) const {
  if (data_ != nullptr) ::explicit_bzero(data_, std::min(used, size_));
}

void move_secret(char* to, const char* from, std::size_t size) {
  volatile char* const bytewise = to;
  for (std::size_t i = 0; i < size; ++i) bytewise[i] = from[i];
}

}  // namespace wgvitals
