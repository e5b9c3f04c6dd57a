// A fixed-size array on a 64-byte boundary, zeroed: what every kernel works on.
//
// Idea       Learners take all their memory once, when they are built, and never again.
// Guarantee  data() is aligned to kDenseAlignment; the size never changes; moves, never copies.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

#include "acumen/dense.hpp"

namespace acumen {

/// std::copy_n for a few dozen values that do not overlap: calling memmove() takes longer than
/// copying them.
template <class T>
inline void copy_few(const T* __restrict from, std::size_t count, T* __restrict to) {
  constexpr std::size_t kChunk = 32 / sizeof(T);
  std::size_t i = 0;
  for (; i + kChunk <= count; i += kChunk) {
    std::memcpy(to + i, from + i, 32);
    __asm__("" ::: "memory");  // or the compiler sees a copy in the loop, and calls memmove()
  }
  for (; i < count; ++i) {
    to[i] = from[i];
    __asm__("" ::: "memory");
  }
}

template <class T>
class AlignedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit AlignedArray(std::size_t size = 0)
      : data_(static_cast<T*>(
            ::operator new(size * sizeof(T) + kDenseAlignment, std::align_val_t(kDenseAlignment)))),
        size_(size) {
    clear();
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](std::size_t i) { return data_.get()[i]; }
  const T& operator[](std::size_t i) const { return data_.get()[i]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  void clear() { fill(T{}); }
  void fill(T value) { std::fill(begin(), end(), value); }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete(p, std::align_val_t(kDenseAlignment)); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_;
};

}  // namespace acumen
