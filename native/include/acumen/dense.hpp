// Dense arithmetic for small models: the only code of the core that is compiled per processor.
//
// Idea       A learned choice spends its time in a few products of small symmetric matrices
//            (16 to 128 columns). They are compiled twice, for AVX2+FMA and portably, and
//            `dense_kernels()` hands out the set that the processor can run.
// Guarantee  Both sets compute the same formula; results differ only by float rounding.
// Layout     Vectors take padded(d) values, a multiple of 8, and what lies behind the d-th is
//            zero, so that no kernel needs a tail loop. A symmetric matrix keeps only the 8×8
//            blocks on and below its diagonal ("packed"): row i holds the columns
//            0 … 8·(i/8 + 1) - 1, and the d rows follow each other without gaps.
//
//                 d = 17    rows 0–7   [block 0,0]                          8 floats a row
//                           rows 8–15  [block 1,0][block 1,1]              16 floats a row
//                           row  16    [block 2,0][block 2,1][block 2,2]   24 floats
//
//            This is half of the square, and it makes xᵀPx a plain dot product: of the packed P
//            and the packed outer product of x (see `outer`), which is the same for every arm.
#pragma once

#include <cstddef>
#include <cstdint>

namespace acumen {

/// Floats a vector of `d` values takes, so that it fills whole 8-lane registers.
constexpr std::uint32_t padded(std::uint32_t d) {
  return (d + 7u) & ~7u;
}

/// Where row i of a packed symmetric matrix begins.
constexpr std::size_t packed_row(std::uint32_t i) {
  const std::size_t block = i / 8;
  return 32 * block * (block + 1) + (i % 8) * 8 * (block + 1);
}

/// Values a packed symmetric matrix of d rows takes; a multiple of 8.
constexpr std::size_t packed_size(std::uint32_t d) {
  return packed_row(d);
}

/// Alignment of every array that goes into these kernels, in bytes.
inline constexpr std::size_t kDenseAlignment = 64;

/// Points at which `best_of_normals` looks at each distribution, and the scratch that it needs.
inline constexpr std::uint32_t kNormalGrid = 8;
constexpr std::size_t normal_scratch(std::uint32_t arms) {
  return std::size_t{arms} * kNormalGrid + 2 * padded(arms);
}

struct DenseKernels {
  const char* name;

  /// x·y over n values, a multiple of 8.
  float (*dot)(const float* x, const float* y, std::size_t n);

  /// out[m] = rows[m · row_stride …]·x over n values, for every m < count; n a multiple of 8. out
  /// has room for padded(count) values; those behind the last row become zero.
  void (*dots)(const float* rows, std::size_t row_stride, std::uint32_t count, const float* x,
               std::size_t n, float* out);

  /// Packed outer product of x, blocks below the diagonal doubled: dot(P, z) = xᵀPx.
  void (*outer)(const float* x, std::uint32_t d, float* z);

  /// y = P x for a packed P; returns xᵀPx. y and x do not overlap; padding of y becomes zero.
  float (*multiply)(const float* packed, const float* x, std::uint32_t d, float* y);

  /// P = factor · P + scale · y yᵀ, packed.
  void (*rank_one)(float* packed, const float* y, float scale, float factor, std::uint32_t d);

  /// out += scale · y, over n values, a multiple of 8.
  void (*add_scaled)(float* out, const float* y, float scale, std::uint32_t n);

  /// S = decay · S + x xᵀ, packed, and b = decay · b + reward · x, both in double, for each lesson
  /// in turn; lessons lie padded(d) floats apart in x. How they are split up into calls changes no
  /// bit of the result. wide: scratch, lessons · padded(d) doubles.
  void (*accumulate)(double* packed, double* products, const float* x, const double* rewards,
                     const double* decays, std::uint32_t lessons, double* wide, std::uint32_t d);

  /// Inverts an n×n square of doubles in place (rows of padded(n), zero padding), symmetric and
  /// at least floor · I. Returns the smallest pivot met, which is below floor only by rounding.
  double (*invert)(double* square, std::uint32_t n, double floor);

  /// out[i] = exp(in[i]) for in[i] <= 0, relative error below 1e-5; n is a multiple of 8.
  void (*exponential)(const float* in, std::uint32_t n, float* out);

  /// out[i] = scale · √variance[i] within 1e-30 … 1e30; where variance is negative, the least.
  void (*deviations)(const float* variance, float scale, std::uint32_t n, float* out);

  // From `count` scores to the probabilities of as many arms. Arrays have room for padded(count)
  // values; what lies behind the last score means nothing, and out becomes zero there.

  /// 1 - mix shared as the probability that arm a has the largest of `count` independent normal
  /// values with these means and deviations (> 0), mix spread over all. See thompson.hpp for the
  /// formula and its error. scratch: normal_scratch(count) floats.
  void (*best_of_normals)(const float* mean, const float* deviation, std::uint32_t count, float mix,
                          float* scratch, float* out);

  /// 1 - mix shared by the arms with the largest score (ties are split), mix spread over all.
  void (*greedy)(const float* scores, std::uint32_t count, float mix, float* out);

  /// Inverse gap weighting (Abe & Long 1999; Foster & Rakhlin 2020): p = 1 / (count + gamma · gap
  /// to the best), and the best arms share the rest.
  void (*inverse_gap)(const float* scores, std::uint32_t count, float gamma, float* out);

  /// What a distribution sums to (about 1); 0 if a value is negative or none, or all of them are
  /// next to nothing. Here and below, padded(count) values are read; those behind the last arm mean
  /// nothing.
  float (*usable_total)(const float* probabilities, std::uint32_t count);

  /// How many of the running sums p[0], p[0] + p[1], … are at most u. In double; both sets agree.
  std::uint32_t (*count_below)(const float* p, std::uint32_t count, double u);

  /// x = [1, (values[i] - centers[i]) · inverses[i] clipped to ±limit for i < n, zeros up to
  /// stride], stride a multiple of 8. Returns whether all values are finite: 1 or 0. Both sets
  /// agree to the last bit. The three lists need no alignment.
  std::uint32_t (*standardise)(const double* values, const double* centers, const double* inverses,
                               std::uint32_t n, double limit, std::uint32_t stride, float* x);

  /// Where `stride` values lie between their knots, of which input j has `points` >= 2, rising, at
  /// knots[k · stride + j]. positions[j] = the interval, 0 … points - 2, and
  /// positions[stride + j] = how far through it, 0 … 1; outside of the knots the nearest end.
  void (*locate)(const float* knots, const float* inverse_widths, std::uint32_t points,
                 const float* values, std::uint32_t stride, float* positions);

  /// out = Σ weight[i] · rows[index[i]], over rows of `stride` floats, a multiple of 8.
  void (*weigh_rows)(const float* rows, std::uint32_t stride, const std::uint32_t* index,
                     const float* weight, std::uint32_t count, float* out);
};

/// The best set that this processor runs; `portable` forces the portable one (for tests).
const DenseKernels& dense_kernels(bool portable = false);

}  // namespace acumen
