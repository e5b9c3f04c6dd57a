// How the features of candidates are brought to a common scale, like numbers of the context.
//
// Idea       The first candidates are remembered for the first calibrations; they are more, and
//            less one-sided, than those that were taken. Later ones use those taken of late.
// Guarantee  Memory is constant; scale() allocates nothing.
// Layout     In: rows of features() floats. Out: rows of padded(features()) floats.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "acumen/schema.hpp"

namespace acumen {

class CandidateScales {
 public:
  /// features: 0 where arms are fixed, and nothing is to be scaled.
  CandidateScales(std::uint32_t features, std::size_t rows) : scales_(features) {
    first_.reserve(features * rows);
  }

  std::uint32_t features() const { return static_cast<std::uint32_t>(scales_.size()); }

  void scale(const float* rows, std::uint32_t count, float* out) const {
    const std::uint32_t n = features();
    const std::size_t stride = padded(n);
    for (std::uint32_t r = 0; r < count; ++r)
      for (std::uint32_t j = 0; j < n; ++j)
        out[r * stride + j] = Schema::standardised(rows[r * n + j], scales_[j]);
  }

  /// Keeps candidates for the first calibrations, as far as there is room.
  void remember(const float* rows, std::uint32_t count) {
    const std::size_t room = first_.capacity() - first_.size();
    const std::size_t wanted = std::size_t{count} * features();
    first_.insert(first_.end(), rows, rows + std::min(room, wanted));
  }

  /// Chooses the scales from `rows`, or, if there are none, from the first candidates.
  void calibrate(const std::vector<double>& rows) {
    Schema::calibrate(rows.empty() ? first_ : rows, scales_);
  }

  void visit(StateVisitor& visitor) { Schema::visit_scales(visitor, "candidates.scales", scales_); }
  bool valid() const { return Schema::valid(scales_); }

  void forget() {
    std::fill(scales_.begin(), scales_.end(), Scale{});
    first_.clear();
  }

  std::size_t memory_bytes() const { return 8 * first_.capacity() + 24 * scales_.size(); }

 private:
  std::vector<Scale> scales_;
  std::vector<double> first_;
};

}  // namespace acumen
