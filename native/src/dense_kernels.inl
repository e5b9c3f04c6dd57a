// Sums, products and inverses of small matrices, and what makes a context row a vector.
#pragma once

#include "acumen/dense.hpp"
#include "lanes.inl"

namespace acumen::ACUMEN_ISA {
namespace {

/// Rows that are multiplied at once: as many as leave registers for the rest.
constexpr U32 kDotRows = 12;

/// Lane m % 8 of out[m / 8] is row m's product. Rows keep each other busy; of few, each has two
/// accumulators. Unrolled by order, because compilers keep arrays in registers only where every
/// index is a constant.
template <U32 kRows>
ACUMEN_INLINE void dot_rows(const float* rows, Size row_stride, const float* x, Size n, Vec* out) {
  constexpr bool kTwo = kRows <= 4;
  Vec even[kDotRows] = {}, odd[4] = {};
  Size j = 0;
  for (; kTwo && j + 16 <= n; j += 16) {
    const Vec x0 = load(x + j), x1 = load(x + j + 8);
#pragma GCC unroll 12
    for (U32 m = 0; m < kRows; ++m) {
      even[m] += load(rows + m * row_stride + j) * x0;
      odd[m % 4] += load(rows + m * row_stride + j + 8) * x1;
    }
  }
  for (; j < n; j += 8) {
    const Vec xj = load(x + j);
#pragma GCC unroll 12
    for (U32 m = 0; m < kRows; ++m) even[m] += load(rows + m * row_stride + j) * xj;
  }
  if constexpr (kTwo) {
    out[0] = join(sums4(even[0] + odd[0], even[1] + odd[1], even[2] + odd[2], even[3] + odd[3]),
                  Half{});
  } else {
    out[0] = sums8(even);
    if constexpr (kRows > 8) out[1] = join(sums4(even[8], even[9], even[10], even[11]), Half{});
  }
}

/// The last rows, `count` <= kRows of them.
template <U32 kRows>
ACUMEN_INLINE void dot_last_rows(const float* rows, Size row_stride, U32 count, const float* x,
                                 Size n, Vec* out) {
  if (count == kRows) return dot_rows<kRows>(rows, row_stride, x, n, out);
  if constexpr (kRows > 1) dot_last_rows<kRows - 1>(rows, row_stride, count, x, n, out);
}

/// Calls visit(first, products) for eight rows at a time; zero behind the last one.
template <typename Visit>
ACUMEN_INLINE void each_eight_dots(const float* rows, Size row_stride, U32 count, const float* x,
                                   Size n, Visit visit) {
  Vec out[2] = {};
  U32 m = 0;
  for (; m + kDotRows < count; m += 8) {
    dot_rows<8>(rows + m * row_stride, row_stride, x, n, out);
    visit(m, out[0]);
  }
  dot_last_rows<kDotRows>(rows + m * row_stride, row_stride, count - m, x, n, out);
  if (m < count) visit(m, out[0]);
  if (m + 8 < count) visit(m + 8, out[1]);
}

// Eight results are one store, for whoever reads next: a vector loaded from where its values have
// just been stored one by one would wait for the stores.
void dots(const float* rows, Size row_stride, U32 count, const float* x, Size n, float* out) {
  each_eight_dots(rows, row_stride, count, x, n, [&](U32 m, Vec dot) { store(out + m, dot); });
}

float dot(const float* x, const float* y, Size n) {
  Vec out[2] = {};
  dot_rows<1>(x, 0, y, n, out);
  return out[0][0];
}

/// The 8×8 block of rows x[0 … 7]; `columns` may be twice another part of x.
ACUMEN_INLINE void outer_block(const float* x, Vec columns, Size width, float* z) {
#pragma GCC unroll 8
  for (U32 r = 0; r < 8; ++r) store(z + r * width, splat(x[r]) * columns);
}

void outer(const float* x, U32 d, float* z) {
  U32 first = 0;
  for (; first + 8 <= d; first += 8) {
    const Size width = first + 8;
    for (U32 j = 0; j < first; j += 8) {
      const Vec xj = load(x + j);
      outer_block(x + first, xj + xj, width, z + j);
    }
    outer_block(x + first, load(x + first), width, z + first);
    z += 8 * width;
  }
  for (U32 i = first; i < d; ++i) {
    const Vec xi = splat(x[i]), twice = xi + xi;
    for (U32 j = 0; j < first; j += 8) store(z + j, twice * load(x + j));
    store(z + first, xi * load(x + first));
    z += first + 8;
  }
}

// One block row of kRows rows, eight or, at the end, fewer: what lies below the diagonal serves
// twice, as itself and transposed. Two chains of sums wherever one would wait for itself. Returns
// the block row's part of xᵀPx, which needs no y: whoever divides by it does not wait for y.
template <U32 kRows>
ACUMEN_INLINE Vec multiply_block_row(const float* row, const float* x, U32 first, float* y) {
  const Size width = first + 8;
  Vec across[8] = {};
  for (U32 j = 0; j < first; j += 8) {
    const Vec xj = load(x + j);
    Vec down[2] = {load(y + j), Vec{}};
#pragma GCC unroll 8
    for (U32 r = 0; r < kRows; ++r) {
      const Vec p = load(row + r * width + j);
      across[r] += p * xj;
      down[r % 2] += p * splat(x[first + r]);
    }
    store(y + j, down[0] + down[1]);
  }
  Vec diagonal[2] = {};
#pragma GCC unroll 8
  for (U32 r = 0; r < kRows; ++r) {
    diagonal[r % 2] += load(row + r * width + first) * splat(x[first + r]);
  }
  const Vec own = diagonal[0] + diagonal[1], below = first ? sums8(across) : Vec{};
  store(y + first, own + below);
  return load(x + first) * (own + below + below);
}

/// The last block row, which has `rows` <= kRows rows.
template <U32 kRows>
ACUMEN_INLINE Vec multiply_last_rows(U32 rows, const float* row, const float* x, U32 first,
                                     float* y) {
  if (rows == kRows) return multiply_block_row<kRows>(row, x, first, y);
  if constexpr (kRows > 1) return multiply_last_rows<kRows - 1>(rows, row, x, first, y);
  return Vec{};
}

float multiply(const float* packed, const float* x, U32 d, float* y) {
  Vec quadratic = {};
  U32 first = 0;
  for (; first + 8 <= d; first += 8) {
    quadratic += multiply_block_row<8>(packed, x, first, y);
    packed += 8 * (first + 8);
  }
  if (first < d) quadratic += multiply_last_rows<7>(d - first, packed, x, first, y);
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

void add_scaled(float* out, const float* y, float scale, U32 n) {
  const Vec s = splat(scale);
  for (U32 j = 0; j < n; j += 8) store(out + j, load(out + j) + s * load(y + j));
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
#pragma GCC unroll 4
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

// Written eight floats at a time, because whoever multiplies x next loads it so. value - value is 0
// unless the value is NaN or infinite, and NaN then.
U32 standardise(const double* values, const double* centers, const double* inverses, U32 n,
                double limit, U32 stride, float* x) {
  const Wide most = {limit, limit, limit, limit}, least = -most;
  Wide bad = {};
  const auto four = [&](Wide value, Wide center, Wide inverse) -> Half {
    const Wide t = (value - center) * inverse, above = t < least ? least : t;
    bad += value - value;
    return __builtin_convertvector(above > most ? most : above, Half);
  };
  const auto four_at = [&](U32 i) {
    return four(load_wide(values + i), load_wide(centers + i), load_wide(inverses + i));
  };
  U32 j = 0;
  if (n >= 7) {  // the bias and seven values
    const auto behind = [](const double* p) {
      return ACUMEN_SHUFFLE_WIDE(load_wide(p), load_wide(p), 0, 0, 1, 2);
    };
    Half low = four(behind(values), behind(centers), behind(inverses));
    low[0] = 1.0f;
    store(x, join(low, four_at(3)));
    for (j = 8; j + 7 <= n; j += 8) store(x + j, join(four_at(j - 1), four_at(j + 3)));
  }
  double sum = (bad[0] + bad[2]) + (bad[1] + bad[3]);
  for (; j < stride; j += 8) {
    const Int lane = {0, 1, 2, 3, 4, 5, 6, 7};
    Vec v = j == 0 ? Vec{1.0f} : Vec{};
    for (U32 i = j; i <= n && i < j + 8; ++i) {
      if (i == 0) continue;
      const double value = values[i - 1], t = (value - centers[i - 1]) * inverses[i - 1];
      const double above = t < -limit ? -limit : t;
      sum += value - value;
      const float clipped = static_cast<float>(above > limit ? limit : above);
      v = lane == static_cast<std::int32_t>(i - j) ? splat(clipped) : v;
    }
    store(x + j, v);
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
}  // namespace acumen::ACUMEN_ISA
