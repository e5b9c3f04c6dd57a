// A copy of a structure's whole state, to put back when overwriting it has failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "acumen/learner.hpp"

namespace acumen {

/// Takes a copy of what it is shown; after put_back(), the next walk over the same structure
/// writes the copy into it. A walk shows the same arrays in the same order every time.
class Snapshot final : public StateVisitor {
 public:
  void array(std::string_view, float* values, std::size_t n) override { copy(values, n); }
  void array(std::string_view, double* values, std::size_t n) override { copy(values, n); }
  void array(std::string_view, std::uint64_t* values, std::size_t n) override { copy(values, n); }

  Snapshot& put_back() {
    writing_ = true;
    return *this;
  }

 private:
  template <typename T>
  void copy(T* values, std::size_t n) {
    if (n == 0) return;
    if (writing_) {
      std::memcpy(values, bytes_.data() + place_, n * sizeof(T));
      place_ += n * sizeof(T);
    } else {
      const auto* first = reinterpret_cast<const std::byte*>(values);
      bytes_.insert(bytes_.end(), first, first + n * sizeof(T));
    }
  }

  std::vector<std::byte> bytes_;
  std::size_t place_ = 0;
  bool writing_ = false;
};

}  // namespace acumen
