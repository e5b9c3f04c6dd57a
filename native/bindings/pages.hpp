// Memory for tables that are read at random: in huge pages where the system has them, since a table
// that is larger than what the TLB covers otherwise costs a second miss for each first one.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace acumen::bindings {

class Pages {
 public:
  Pages() = default;
  /// At least `bytes`, zeroed, on a 64-byte boundary; std::bad_alloc if there are not so many.
  explicit Pages(std::size_t bytes) : bytes_(bytes) {
    if (bytes > PTRDIFF_MAX - kHuge) throw std::bad_alloc();
    const std::size_t alignment = bytes >= kHuge ? kHuge : 64;
    const std::size_t rounded = (bytes / alignment + 1) * alignment;
    data_.reset(std::aligned_alloc(alignment, rounded));
    if (data_ == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    if (alignment == kHuge) ::madvise(data_.get(), rounded, MADV_HUGEPAGE);
#endif
    std::memset(data_.get(), 0, bytes);
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(data_.get());
  }
  std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t kHuge = std::size_t{2} << 20;
  struct Free {
    void operator()(void* data) const { std::free(data); }
  };
  std::unique_ptr<void, Free> data_;
  std::size_t bytes_ = 0;
};

}  // namespace acumen::bindings
