// The dense kernels, written once and compiled twice: the including file defines ACUMEN_ISA, the
// namespace, and is compiled for that instruction set.
//
// Idea       Compiler vectors of 8 floats: with AVX2 one register each, elsewhere two or more of
//            whatever the target has. The formula is the same, so the two sets can be compared.
// Guarantee  Everything here lives in its own namespace and calls no inline function of a shared
//            header: otherwise the linker might keep the AVX2 copy of such a function for the
//            whole program, which would then fault on a processor without AVX2.
#include <cstddef>
#include <cstdint>

#include "acumen/dense.hpp"

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
typedef float LooseHalf __attribute__((vector_size(16), aligned(4), may_alias));

#define ACUMEN_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define ACUMEN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define ACUMEN_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Int{__VA_ARGS__})
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
ACUMEN_INLINE Vec smaller(Vec a, Vec b) {
  return a < b ? a : b;
}
ACUMEN_INLINE Vec larger(Vec a, Vec b) {
  return a > b ? a : b;
}
ACUMEN_INLINE Half lower(Vec v) {
  return reinterpret_cast<const Half*>(&v)[0];
}
ACUMEN_INLINE Half upper(Vec v) {
  return reinterpret_cast<const Half*>(&v)[1];
}
/// All ones in the lanes of the vector at `first` that lie before `count`.
ACUMEN_INLINE Int lanes_before(U32 count, U32 first) {
  const Int lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return lane < static_cast<std::int32_t>(count - first);
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

// Two accumulators a row: one chain of fused multiply-adds would wait for itself. Unrolled by
// order, because compilers keep arrays in registers only where every index is a constant.
template <U32 kRows>
ACUMEN_INLINE void dot_rows(const float* rows, Size row_stride, const float* x, Size n,
                            float* out) {
  Vec even[kRows] = {}, odd[kRows] = {};
  Size j = 0;
  for (; j + 16 <= n; j += 16) {
    const Vec x0 = load(x + j), x1 = load(x + j + 8);
#pragma GCC unroll 4
    for (U32 m = 0; m < kRows; ++m) {
      even[m] += load(rows + m * row_stride + j) * x0;
      odd[m] += load(rows + m * row_stride + j + 8) * x1;
    }
  }
  if (j < n) {
    const Vec x0 = load(x + j);
#pragma GCC unroll 4
    for (U32 m = 0; m < kRows; ++m) even[m] += load(rows + m * row_stride + j) * x0;
  }
  if constexpr (kRows == 4) {
    const Vec folded =
        fold4(even[0] + odd[0], even[1] + odd[1], even[2] + odd[2], even[3] + odd[3]);
    *reinterpret_cast<LooseHalf*>(out) = lower(folded) + upper(folded);
  } else {
#pragma GCC unroll 4
    for (U32 m = 0; m < kRows; ++m) out[m] = sum(even[m] + odd[m]);
  }
}

void dots(const float* rows, Size row_stride, U32 count, const float* x, Size n, float* out) {
  U32 m = 0;
  for (; m + 4 <= count; m += 4) dot_rows<4>(rows + m * row_stride, row_stride, x, n, out + m);
  if (m + 2 <= count) {
    dot_rows<2>(rows + m * row_stride, row_stride, x, n, out + m);
    m += 2;
  }
  if (m < count) dot_rows<1>(rows + m * row_stride, row_stride, x, n, out + m);
}

void outer(const float* x, U32 d, float* z) {
  for (U32 i = 0; i < d; ++i) {
    const Vec xi = splat(x[i]), twice = xi + xi;
    const U32 diagonal = i / 8 * 8;
    for (U32 j = 0; j < diagonal; j += 8) store(z + j, twice * load(x + j));
    store(z + diagonal, xi * load(x + diagonal));
    z += diagonal + 8;
  }
}

// Eight whole rows: what lies below the diagonal serves twice, as itself and transposed. Two chains
// of sums wherever one would wait for itself.
ACUMEN_INLINE void multiply_block_row(const float* row, const float* x, U32 first, float* y) {
  const Size width = first + 8;
  Vec across[8] = {};
  for (U32 j = 0; j < first; j += 8) {
    const Vec xj = load(x + j);
    Vec down = load(y + j), more = {};
#pragma GCC unroll 4
    for (U32 r = 0; r < 8; r += 2) {
      const Vec p = load(row + r * width + j), q = load(row + (r + 1) * width + j);
      across[r] += p * xj;
      across[r + 1] += q * xj;
      down += p * splat(x[first + r]);
      more += q * splat(x[first + r + 1]);
    }
    store(y + j, down + more);
  }
  Vec even = {}, odd = {};
#pragma GCC unroll 4
  for (U32 r = 0; r < 8; r += 2) {
    even += load(row + r * width + first) * splat(x[first + r]);
    odd += load(row + (r + 1) * width + first) * splat(x[first + r + 1]);
  }
  const Vec diagonal = even + odd;
  store(y + first, first ? diagonal + sums8(across) : diagonal);
}

float multiply(const float* packed, const float* x, U32 d, float* y) {
  U32 first = 0;
  for (; first + 8 <= d; first += 8) {
    multiply_block_row(packed, x, first, y);
    packed += 8 * (first + 8);
  }
  if (first < d) {
    const Vec lanes = {0, 1, 2, 3, 4, 5, 6, 7};
    Vec diagonal = {};
    for (U32 i = first; i < d; ++i) {
      const Vec xi = splat(x[i]);
      Vec dot = {};
      for (U32 j = 0; j < first; j += 8) {
        const Vec p = load(packed + j);
        dot += p * load(x + j);
        store(y + j, load(y + j) + p * xi);
      }
      diagonal += load(packed + first) * xi;
      diagonal += lanes == splat(static_cast<float>(i - first)) ? splat(sum(dot)) : Vec{};
      packed += first + 8;
    }
    store(y + first, diagonal);
  }
  Vec quadratic = {};
  for (U32 j = 0; j < d; j += 8) quadratic += load(x + j) * load(y + j);
  return sum(quadratic);
}

/// `rows` rows of one block row of rank_one(), which are all `width` wide.
template <bool kScaled>
ACUMEN_INLINE void rank_one_rows(float* packed, const float* y, const float* weight, Vec factor,
                                 U32 rows, Size width) {
  for (Size j = 0; j < width; j += 8) {
    const Vec yj = load(y + j);
    for (U32 r = 0; r < rows; ++r) {
      float* p = packed + r * width + j;
      store(p, (kScaled ? factor * load(p) : load(p)) + splat(weight[r]) * yj);
    }
  }
}

template <bool kScaled>
ACUMEN_INLINE void rank_one_blocks(float* packed, const float* y, Vec scale, Vec factor, U32 d) {
  alignas(32) float weight[8];
  U32 first = 0;
  for (; first + 8 <= d; first += 8) {
    store(weight, scale * load(y + first));
    rank_one_rows<kScaled>(packed, y, weight, factor, 8, first + 8);
    packed += 8 * (first + 8);
  }
  if (first == d) return;
  store(weight, scale * load(y + first));
  rank_one_rows<kScaled>(packed, y, weight, factor, d - first, first + 8);
}

void rank_one(float* packed, const float* y, float scale, float factor, U32 d) {
  if (factor == 1.0f) {
    rank_one_blocks<false>(packed, y, splat(scale), splat(factor), d);
  } else {
    rank_one_blocks<true>(packed, y, splat(scale), splat(factor), d);
  }
}

/// One row of sums: s = decay · s + weight · x for every lesson in turn, two vectors at a time,
/// which stay in registers meanwhile. `weights` and `x` are `stride` apart from lesson to lesson.
template <bool kDecay>
ACUMEN_INLINE void accumulate_row(double* s, const double* weights, Size weight_stride,
                                  const double* x, Size stride, const double* decays, U32 lessons,
                                  U32 width) {
  for (U32 j = 0; j < width; j += 8) {
    Wide* at = reinterpret_cast<Wide*>(s + j);
    Wide low = at[0], high = at[1];
    for (U32 k = 0; k < lessons; ++k) {
      const double w = weights[k * weight_stride], f = kDecay ? decays[k] : 1.0;
      const Wide weight = {w, w, w, w}, keep = {f, f, f, f};
      const Wide* row = reinterpret_cast<const Wide*>(x + k * stride + j);
      low = (kDecay ? keep * low : low) + weight * row[0];
      high = (kDecay ? keep * high : high) + weight * row[1];
    }
    at[0] = low, at[1] = high;
  }
}

template <bool kDecay>
ACUMEN_INLINE void accumulate_rows(double* packed, double* products, const double* x, Size stride,
                                   const double* rewards, const double* decays, U32 lessons,
                                   U32 d) {
  for (U32 i = 0; i < d; ++i) {
    const U32 width = i / 8 * 8 + 8;
    accumulate_row<kDecay>(packed, x + i, stride, x, stride, decays, lessons, width);
    packed += width;
  }
  const U32 width = static_cast<U32>(stride);
  accumulate_row<kDecay>(products, rewards, 1, x, stride, decays, lessons, width);
}

// x is widened once, not once a row: conversions would take longer than the sums.
void accumulate(double* packed, double* products, const float* x, const double* rewards,
                const double* decays, U32 lessons, double* wide, U32 d) {
  const Size stride = (d + 7u) & ~7u;
  bool decay = false;
  for (U32 k = 0; k < lessons; ++k) decay |= decays[k] != 1.0;
  for (Size j = 0; j < lessons * stride; j += 4) {
    const Half narrow = *reinterpret_cast<const Half*>(x + j);
    *reinterpret_cast<Wide*>(wide + j) = __builtin_convertvector(narrow, Wide);
  }
  if (decay) {
    accumulate_rows<true>(packed, products, wide, stride, rewards, decays, lessons, d);
  } else {
    accumulate_rows<false>(packed, products, wide, stride, rewards, decays, lessons, d);
  }
}

// Gauss–Jordan without a search for pivots, which a positive definite matrix does not need: its
// pivots are the diagonal of successive Schur complements, and those of M >= floor · I are at
// least floor. Rounding may push one below; it is then lifted to what it can be at the least.
double invert(double* m, U32 n, double floor) {
  const Size stride = (n + 7u) & ~7u;
  double smallest = 1e300;
  for (U32 k = 0; k < n; ++k) {
    double* pivot_row = m + k * stride;
    const double pivot = pivot_row[k];
    smallest = pivot < smallest ? pivot : smallest;
    const double inverse = 1.0 / (pivot > floor ? pivot : floor);
    const Wide scale = {inverse, inverse, inverse, inverse};
    pivot_row[k] = 1.0;
    for (Size j = 0; j < stride; j += 4) *reinterpret_cast<Wide*>(pivot_row + j) *= scale;
    for (U32 i = 0; i < n; ++i) {
      if (i == k) continue;
      double* row = m + i * stride;
      const double f = row[k];
      row[k] = 0.0;
      const Wide factor = {f, f, f, f};
      for (Size j = 0; j < stride; j += 4) {
        *reinterpret_cast<Wide*>(row + j) -= factor * *reinterpret_cast<Wide*>(pivot_row + j);
      }
    }
  }
  return smallest;
}

// erf(x) = 1 - 1/(1 + a1 x + … + a6 x⁶)¹⁶ for x >= 0, absolute error below 3e-7.
ACUMEN_INLINE Vec cdf(Vec z) {
  const Vec x = smaller(larger(z, -z) * 0.70710678f, splat(6.0f));
  Vec p = 0.0000430638f * x + 0.0002765672f;
  p = p * x + 0.0001520143f;
  p = p * x + 0.0092705272f;
  p = p * x + 0.0422820123f;
  p = p * x + 0.0705230784f;
  p = p * x + 1.0f;
  p *= p;
  p *= p;
  p *= p;
  p *= p;
  const Vec tail = 0.5f / p;
  return z > 0.0f ? 1.0f - tail : tail;
}

void normal_cdf(const float* z, U32 n, float* out) {
  for (U32 i = 0; i < n; i += 8) store(out + i, cdf(load(z + i)));
}

// exp(x) = 2^k · exp(r) with |r| <= ln(2)/2; adding 1.5·2^23 rounds to the nearest integer.
void exponential(const float* in, U32 n, float* out) {
  const float round = 12582912.0f;
  for (U32 i = 0; i < n; i += 8) {
    const Vec x = larger(load(in + i), splat(-87.0f));
    const Vec shifted = x * 1.44269504f + round;
    const Vec k = shifted - round;
    const Vec r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    Vec p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Int power = (__builtin_convertvector(k, Int) + 127) << 23;
    store(out + i, p * reinterpret_cast<Vec>(power));
  }
}

/// The grid: from where the best arm's lower tail ends to where the highest upper tail ends, finer
/// at the lower end, because that is where the well-known arms lie when another one is uncertain.
/// Returns its lowest point.
ACUMEN_INLINE float normal_grid(const float* mean, const float* deviation, U32 count, Vec* grid) {
  float low = mean[0] - 3.0f * deviation[0], high = mean[0] + 3.0f * deviation[0];
  for (U32 a = 1; a < count; ++a) {
    const float below = mean[a] - 3.0f * deviation[a], above = mean[a] + 3.0f * deviation[a];
    low = below > low ? below : low;
    high = above > high ? above : high;
  }
  const float unit = (high - low) / (kNormalGrid * kNormalGrid);
  Vec k = {0, 1, 2, 3, 4, 5, 6, 7};
  for (U32 i = 0; i < kNormalGrid / 8; ++i, k += 8.0f) grid[i] = low + unit * k * k;
  return low;
}

/// The values one point further on; `next` supplies the last lane. In registers: reading what has
/// just been stored at another offset would stall.
ACUMEN_INLINE Vec shifted(Vec v, Vec next) {
  return ACUMEN_SHUFFLE(v, next, 1, 2, 3, 4, 5, 6, 7, 8);
}

// The largest value falls into cell k with probability Π F(t_k+1) - Π F(t_k). Within a cell, arm
// a is the one in proportion to the growth of log F_a, here (F' - F)/(F' + F), which is half of
// it to third order and needs no logarithm. F(t_32) = 1 by definition, so that nothing is lost.
void best_of_normals(const float* mean, const float* deviation, U32 count, float* scratch,
                     float* out) {
  constexpr U32 kParts = kNormalGrid / 8;
  const Vec one = splat(1.0f);
  Vec grid[kParts], product[kParts], total[kParts] = {};
  const float low = normal_grid(mean, deviation, count, grid);
  for (U32 i = 0; i < kParts; ++i) product[i] = one;
  U32 alive = 0;
  for (U32 a = 0; a < count; ++a) {
    // Three deviations below the grid: its F is 1 throughout, it does not win.
    if (mean[a] + 3.0f * deviation[a] < low) continue;
    float* share = scratch + (1 + alive++) * kNormalScratch;
    const Vec inverse = splat(1.0f / deviation[a]), centre = splat(mean[a]);
    Vec f[kParts + 1];
    for (U32 i = 0; i < kParts; ++i) {
      f[i] = cdf((grid[i] - centre) * inverse);
      // With many arms the product leaves the normal numbers, on which arithmetic is slow. No F
      // is below Φ(-3) on the grid, so that this floor keeps the next product normal.
      product[i] = larger(product[i] * f[i], splat(1e-30f));
    }
    f[kParts] = one;
    for (U32 i = 0; i < kParts; ++i) {
      const Vec to = shifted(f[i], f[i + 1]);
      const Vec part = larger((to - f[i]) / (to + f[i] + 1e-20f), Vec{});
      store(share + 8 * i, part);
      total[i] += part;
    }
  }
  for (U32 i = 0; i < kParts; ++i) {
    const Vec to = shifted(product[i], i + 1 < kParts ? product[i + 1] : one);
    store(scratch + 8 * i, larger(to - product[i], Vec{}) / (total[i] + 1e-20f));
  }
  float* won = scratch + (1 + alive) * kNormalScratch;
  dots(scratch + kNormalScratch, kNormalScratch, alive, scratch, kNormalGrid, won);
  float sum_won = 1e-30f;
  for (U32 a = 0; a < alive; ++a) sum_won += won[a];
  const float scale = 1.0f / sum_won;
  for (U32 a = 0; a < count; ++a) {
    out[a] = mean[a] + 3.0f * deviation[a] < low ? 0.0f : scale * *won++;
  }
}

void greedy(const float* scores, U32 count, float mix, float* out) {
  Vec most = splat(-__builtin_inff()), ties = {};
  for (U32 a = 0; a < count; a += 8) {
    most = larger(lanes_before(count, a) ? load(scores + a) : most, most);
  }
  const Vec best = splat(largest(most));
  for (U32 a = 0; a < count; a += 8) {
    ties += (load(scores + a) == best) & lanes_before(count, a) ? splat(1.0f) : Vec{};
  }
  const float floor = mix / static_cast<float>(count);
  const Vec low = splat(floor), top = splat(floor + (1.0f - mix) / sum(ties));
  for (U32 a = 0; a < count; a += 8) {
    const Vec p = load(scores + a) == best ? top : low;
    store(out + a, lanes_before(count, a) ? p : Vec{});
  }
}

void inverse_gap(const float* scores, U32 count, float gamma, float* out) {
  Vec most = splat(-__builtin_inff()), ties = {}, total = {};
  for (U32 a = 0; a < count; a += 8) {
    most = larger(lanes_before(count, a) ? load(scores + a) : most, most);
  }
  const Vec best = splat(largest(most)), arms = splat(static_cast<float>(count));
  for (U32 a = 0; a < count; a += 8) {
    const Vec gap = best - load(scores + a), p = 1.0f / (arms + gamma * gap);
    const Int is_arm = lanes_before(count, a), is_best = (load(scores + a) == best) & is_arm;
    const Vec rest = is_arm & ~is_best ? p : Vec{};
    total += rest;
    ties += is_best ? splat(1.0f) : Vec{};
    store(out + a, rest);
  }
  const Vec share = splat((1.0f - sum(total)) / sum(ties));
  for (U32 a = 0; a < count; a += 8) {
    const Int is_best = (load(scores + a) == best) & lanes_before(count, a);
    store(out + a, is_best ? share : load(out + a));
  }
}

float usable_total(const float* p, U32 count) {
  Vec total = {};
  Int good = {-1, -1, -1, -1, -1, -1, -1, -1};
  for (U32 a = 0; a < count; a += 8) {
    const Vec here = lanes_before(count, a) ? load(p + a) : Vec{};
    good &= here >= 0.0f;
    total += here;
  }
  const float all = sum(total), lowest = -largest(good ? Vec{} : splat(1.0f));
  return lowest == 0.0f && all - all == 0.0f ? all : 0.0f;
}

// value - value is 0 unless the value is NaN or infinite, and NaN then.
U32 standardise(const double* values, const double* centers, const double* inverses, U32 n,
                double limit, float* out) {
  const auto wide = [](const double* p) -> Wide { return *reinterpret_cast<const LooseWide*>(p); };
  const Wide most = {limit, limit, limit, limit}, least = -most;
  Wide bad = {};
  U32 i = 0;
  for (; i + 4 <= n; i += 4) {
    const Wide value = wide(values + i);
    Wide t = (value - wide(centers + i)) * wide(inverses + i);
    t = t < least ? least : t;
    t = t > most ? most : t;
    bad += value - value;
    *reinterpret_cast<LooseHalf*>(out + i) = __builtin_convertvector(t, Half);
  }
  double sum = (bad[0] + bad[2]) + (bad[1] + bad[3]);
  for (; i < n; ++i) {
    double t = (values[i] - centers[i]) * inverses[i];
    t = t < -limit ? -limit : t;
    sum += values[i] - values[i];
    out[i] = static_cast<float>(t > limit ? limit : t);
  }
  return sum == 0.0;
}

// The knots are walked once for eight inputs at a time, keeping the last one not above the input.
void locate(const float* knots, const float* inverse_widths, U32 points, const float* values,
            U32 stride, float* positions) {
  for (U32 j = 0; j < stride; j += 8) {
    const Vec v = load(values + j);
    Vec base = load(knots + j), inverse = load(inverse_widths + j), interval = {};
    for (U32 k = 1; k + 1 < points; ++k) {
      const Vec knot = load(knots + k * stride + j);
      inverse = v >= knot ? load(inverse_widths + k * stride + j) : inverse;
      base = v >= knot ? knot : base;
      interval = v >= knot ? splat(static_cast<float>(k)) : interval;
    }
    const Vec fraction = smaller(larger((v - base) * inverse, Vec{}), splat(1.0f));
    store(positions + j, interval);
    store(positions + stride + j, fraction);
  }
}

void weigh_rows(const float* rows, U32 stride, const U32* index, const float* weight, U32 count,
                float* out) {
  for (U32 j = 0; j < stride; j += 8) {
    Vec even = {}, odd = {};
    U32 i = 0;
    for (; i + 2 <= count; i += 2) {
      even += splat(weight[i]) * load(rows + Size{index[i]} * stride + j);
      odd += splat(weight[i + 1]) * load(rows + Size{index[i + 1]} * stride + j);
    }
    if (i < count) even += splat(weight[i]) * load(rows + Size{index[i]} * stride + j);
    store(out + j, even + odd);
  }
}

}  // namespace

inline constexpr DenseKernels kKernels{
    ACUMEN_ISA_NAME, dots,   outer,       multiply,   rank_one,    accumulate,
    invert,          normal_cdf, exponential, best_of_normals, greedy, inverse_gap,
    usable_total, standardise, locate, weigh_rows};

}  // namespace acumen::ACUMEN_ISA
