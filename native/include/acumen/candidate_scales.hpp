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
  CandidateScales(std::uint32_t features, std::size_t rows) : scales_(features), rows_(rows) {
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

  /// Keeps candidates for the first calibrations, as far as there is room; returns how many.
  std::size_t remember(const float* rows, std::uint32_t count) {
    const std::size_t room = rows_ - first_.size() / std::max(features(), 1u);
    const std::size_t kept = std::min<std::size_t>(room, count);
    first_.insert(first_.end(), rows, rows + kept * features());
    return kept;
  }

  /// Chooses the scales from `rows`, or, if there are none, from the first candidates.
  void calibrate(const std::vector<double>& rows) {
    Schema::calibrate(rows.empty() ? first_ : rows, scales_);
  }

  void visit(StateVisitor& visitor) { Schema::visit_scales(visitor, "candidates.scales", scales_); }
  bool valid() const { return Schema::valid(scales_); }

  /// Shows the candidates that the first calibrations are to be made from.
  void visit_first(StateVisitor& visitor) {
    std::vector<double> rows(first_);
    std::uint64_t count = rows.size();
    rows.resize(rows_ * features());
    visitor.array("first_candidates", rows.data(), rows.size());
    visitor.array("first_candidates.count", &count, 1);
    count = std::min<std::uint64_t>(count, rows.size());
    first_.assign(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count));
  }

  std::size_t memory_bytes() const { return 8 * first_.capacity() + 24 * scales_.size(); }

 private:
  std::vector<Scale> scales_;
  std::size_t rows_;  ///< that first_ has room for
  std::vector<double> first_;
};

}  // namespace acumen
