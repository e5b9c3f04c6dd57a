// Lanes: the vectors of eight floats that all kernels are written in.
//
// Idea       Compiler vectors: with AVX2 one register each, elsewhere two or more of whatever the
//            target has. The formula is the same, so the two sets can be compared.
// Guarantee  Everything here lives in the including file's own namespace and calls no inline
//            function of a shared header: otherwise the linker might keep the AVX2 copy of such a
//            function for the whole program, which would then fault on a processor without AVX2.
#pragma once

#include <cstddef>
#include <cstdint>

namespace acumen::ACUMEN_ISA {
namespace {

using U32 = std::uint32_t;
using Size = std::size_t;
typedef float Vec __attribute__((vector_size(32)));
typedef float Loose __attribute__((vector_size(32), aligned(4), may_alias));
typedef std::int32_t Int __attribute__((vector_size(32)));
typedef float Half __attribute__((vector_size(16), may_alias));
typedef double Wide __attribute__((vector_size(32), may_alias));
typedef double LooseWide __attribute__((vector_size(32), aligned(8), may_alias));
typedef std::int64_t WideInt __attribute__((vector_size(32)));
typedef float LooseHalf __attribute__((vector_size(16), aligned(4), may_alias));

#define ACUMEN_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define ACUMEN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define ACUMEN_SHUFFLE_WIDE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define ACUMEN_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Int{__VA_ARGS__})
#define ACUMEN_SHUFFLE_WIDE(a, b, ...) __builtin_shuffle(a, b, WideInt{__VA_ARGS__})
#endif

ACUMEN_INLINE Vec load(const float* p) {
  return *reinterpret_cast<const Loose*>(p);
}
ACUMEN_INLINE void store(float* p, Vec v) {
  *reinterpret_cast<Loose*>(p) = v;
}
ACUMEN_INLINE Vec splat(float v) {
  return Vec{v, v, v, v, v, v, v, v};
}
// One instruction; of the select GCC 12 makes a comparison and a blend.
ACUMEN_INLINE Vec smaller(Vec a, Vec b) {
#if defined(__AVX2__) && !defined(__clang__)
  return __builtin_ia32_minps256(a, b);
#else
  return a < b ? a : b;
#endif
}
ACUMEN_INLINE Vec larger(Vec a, Vec b) {
#if defined(__AVX2__) && !defined(__clang__)
  return __builtin_ia32_maxps256(a, b);
#else
  return a > b ? a : b;
#endif
}
ACUMEN_INLINE Half lower(Vec v) {
  return reinterpret_cast<const Half*>(&v)[0];
}
ACUMEN_INLINE Half upper(Vec v) {
  return reinterpret_cast<const Half*>(&v)[1];
}
ACUMEN_INLINE Vec join(Half low, Half high) {
  return Vec{low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]};
}
ACUMEN_INLINE Wide widened(Half v) {
  return __builtin_convertvector(v, Wide);
}
ACUMEN_INLINE Wide load_wide(const double* p) {
  return *reinterpret_cast<const LooseWide*>(p);
}

/// All ones in the lanes of a vector at `first` that lie before `count`.
ACUMEN_INLINE Int lanes_before(U32 count, U32 first) {
  const Int lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return lane < static_cast<std::int32_t>(count - first);
}
ACUMEN_INLINE Vec root(Vec v) {
#if defined(__AVX2__) && !defined(__clang__)
  return __builtin_ia32_sqrtps256(v);
#else
  for (U32 i = 0; i < 8; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

/// The sums of four vectors: lanes 0–3 hold the lower halves' sums, 4–7 the upper halves'.
ACUMEN_INLINE Vec fold4(Vec a, Vec b, Vec c, Vec d) {
  const Vec ab = ACUMEN_SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14) +
                 ACUMEN_SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  const Vec cd = ACUMEN_SHUFFLE(c, d, 0, 8, 2, 10, 4, 12, 6, 14) +
                 ACUMEN_SHUFFLE(c, d, 1, 9, 3, 11, 5, 13, 7, 15);
  return ACUMEN_SHUFFLE(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13) +
         ACUMEN_SHUFFLE(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);
}

/// The sums of four vectors.
ACUMEN_INLINE Half sums4(Vec a, Vec b, Vec c, Vec d) {
  const Vec folded = fold4(a, b, c, d);
  return lower(folded) + upper(folded);
}

/// Lane i of the result is the sum of v[i].
ACUMEN_INLINE Vec sums8(const Vec* v) {
  const Vec low = fold4(v[0], v[1], v[2], v[3]);
  const Vec high = fold4(v[4], v[5], v[6], v[7]);
  return ACUMEN_SHUFFLE(low, high, 0, 1, 2, 3, 8, 9, 10, 11) +
         ACUMEN_SHUFFLE(low, high, 4, 5, 6, 7, 12, 13, 14, 15);
}

ACUMEN_INLINE float sum(Vec v) {
  const Half h = lower(v) + upper(v);
  return (h[0] + h[2]) + (h[1] + h[3]);
}
ACUMEN_INLINE float largest(Vec v) {
  const Half a = lower(v), b = upper(v), h = a > b ? a : b;
  const float even = h[0] > h[2] ? h[0] : h[2], odd = h[1] > h[3] ? h[1] : h[3];
  return even > odd ? even : odd;
}

}  // namespace
}  // namespace acumen::ACUMEN_ISA
