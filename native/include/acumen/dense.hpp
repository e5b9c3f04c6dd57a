// Dense arithmetic for small models: the only code of the core that is compiled per processor.
//
// Idea       A learned choice spends its time in a few products of small symmetric matrices
//            (16 to 128 columns). They are compiled twice, for AVX2+FMA and portably, and
//            `dense_kernels()` hands out the set that the processor can run.
// Guarantee  Both sets compute the same formula; results differ only by float rounding.
// Layout     `stride` is the number of floats a row or vector takes, a multiple of 8; what lies
//            between `d` and `stride` is zero, so that no kernel needs a tail loop.
#pragma once

#include <cstddef>
#include <cstdint>

namespace acumen {

/// Floats a row of `d` values takes, so that rows fill whole 8-lane registers.
constexpr std::uint32_t padded(std::uint32_t d) { return (d + 7u) & ~7u; }

/// Alignment of every array that goes into these kernels, in bytes.
inline constexpr std::size_t kDenseAlignment = 64;

struct DenseKernels {
  const char* name;

  /// For `models` ridge models that lie one behind the other: mean[m] = theta[m]·x and
  /// variance[m] = xᵀ P[m] x, where P[m] is stride×stride and symmetric.
  void (*mean_variance)(const float* theta, const float* inverse, const float* x,
                        std::uint32_t stride, std::uint32_t models, float* mean, float* variance);

  /// mean[m] = theta[m]·x for every model.
  void (*means)(const float* theta, const float* x, std::uint32_t stride, std::uint32_t models,
                float* mean);

  /// y = P x.
  void (*multiply)(const float* matrix, const float* x, std::uint32_t stride, float* y);

  /// P += scale · y yᵀ, then P *= factor.
  void (*rank_one)(float* matrix, const float* y, float scale, float factor, std::uint32_t stride);

  /// S = decay · S + weight · x xᵀ, in double, over the full square.
  void (*accumulate)(double* sums, const float* x, double weight, double decay,
                     std::uint32_t stride);

  /// out[i] = Φ(z[i]), the normal distribution function, absolute error below 1e-6; n is a
  /// multiple of 8.
  void (*normal_cdf)(const float* z, std::uint32_t n, float* out);

  /// out[i] = exp(in[i]) for in[i] <= 0, relative error below 1e-6; n is a multiple of 8.
  void (*exponential)(const float* in, std::uint32_t n, float* out);
};

/// The best set that this processor runs; `portable` forces the portable one (for tests).
const DenseKernels& dense_kernels(bool portable = false);

}  // namespace acumen
