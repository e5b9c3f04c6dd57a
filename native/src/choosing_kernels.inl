// From scores to the probabilities of arms, and from these to an arm: kernels like those of
// dense_kernels.inl.
#pragma once

#include "dense_kernels.inl"

namespace acumen::ACUMEN_ISA {
namespace {

/// Calls visit(first, values) for eight values at a time; `rest` is the last vector, if there is
/// one that is not full.
template <typename Visit>
ACUMEN_INLINE void each_eight(const float* values, U32 count, Vec rest, Visit visit) {
  U32 a = 0;
  for (; a + 8 <= count; a += 8) visit(a, load(values + a));
  if (a < count) visit(a, rest);
}

/// The values that do not fill a vector, and `other` behind them.
ACUMEN_INLINE Vec rest_of(const float* values, U32 count, float other) {
  const U32 full = count / 8 * 8;
  if (full == count) return splat(other);
  return lanes_before(count, full) ? load(values + full) : splat(other);
}

// exp(x) = 2^k · 2^f with |f| <= 1/2; adding 1.5·2^23 rounds to the nearest integer, and leaves k
// in the lowest bits. Terms in pairs wait for each other less than in a row.
ACUMEN_INLINE Vec exponential(Vec x) {
  const float round = 12582912.0f;
  x = larger(splat(-87.0f), x);  // in this order what is not a number stays so, here and below
  const Vec shifted = x * 1.44269504f + round;
  const Vec f = x * 1.44269504f - (shifted - round), square = f * f;
  const Vec high = 0.00132647331f * f + 0.00967151485f;
  const Vec mid = 0.0555073358f * f + 0.240222424f;
  const Vec p = (high * square + mid) * square + (0.693147004f * f + 1.0f);
  return reinterpret_cast<Vec>(reinterpret_cast<Int>(p) + (reinterpret_cast<Int>(shifted) << 23));
}

void exponential(const float* in, U32 n, float* out) {
  for (U32 i = 0; i < n; i += 8) store(out + i, exponential(load(in + i)));
}

void deviations(const float* variance, float scale, U32 n, float* out) {
  const float factor = scale > 1e30f ? 1e30f : scale;
  for (U32 i = 0; i < n; i += 8) {
    const Vec deviation = factor * root(larger(Vec{}, load(variance + i)));
    store(out + i, smaller(splat(1e30f), larger(splat(1e-30f), deviation)));
  }
}

// -log Φ(z) = q(z)^8 with the polynomial q of degree 4 whose relative error is least: 0.5 % of the
// logarithm, for z >= -2. Less its value at 3.5, so that it is zero (within 1e-10) from there on,
// however many arms are added up; falling throughout.
ACUMEN_INLINE Vec minus_log_cdf(Vec z) {
  const Vec x = smaller(splat(3.5f), z);
  Vec q = 0.000557906809f * x - 0.000382444588f;
  q = q * x - 0.0154544348f;
  q = q * x - 0.137858525f;
  q = q * x + 0.955736101f;
  const Vec q2 = q * q, q4 = q2 * q2;
  return q4 * q4 - 0.00023163922f;
}

/// Where the grid's point 0 lies for every arm, in its deviations from its mean, and the unit of
/// the grid's steps in them. The grid begins two deviations below the best arm and ends two above
/// the highest, finer at the lower end, because that is where the well-known arms lie when another
/// one is uncertain. A grid that reached further would be coarser: that costs more than is cut off.
ACUMEN_INLINE void normal_grid(const float* mean, const float* deviation, U32 count, float* first,
                               float* unit) {
  Vec lows = splat(-__builtin_inff()), highs = lows;
  const Vec rest = rest_of(deviation, count, 0.0f);
  each_eight(mean, count, rest_of(mean, count, -__builtin_inff()), [&](U32 a, Vec m) {
    const Vec reach = 2.0f * (a + 8 <= count ? load(deviation + a) : rest);
    lows = larger(m - reach, lows);
    highs = larger(m + reach, highs);
  });
  const float low = largest(lows), high = largest(highs);
  const Vec begin = splat(low), step = splat((high - low) / (kNormalGrid * kNormalGrid));
  for (U32 a = 0; a < count; a += 8) {
    const Vec inverse = 1.0f / load(deviation + a);
    // No mean is further above the grid but by rounding, where it is far larger than a deviation.
    // What is far below it stays finite.
    const Vec from = smaller(splat(3.5f), (begin - load(mean + a)) * inverse);
    store(first + a, larger(splat(-2.0f), from));
    store(unit + a, smaller(splat(1e30f), step * inverse));
  }
}

/// The steps of the cells' weights, from Σ G at the grid's points. A cell's weight is P(the largest
/// value lies in it) over the fall of Σ G in it, which is the mean of exp(-Σ G) there: by that mean
/// where the fall is too small to divide by. In registers: reading what has just been stored at
/// another offset would stall.
ACUMEN_INLINE Vec weight_steps(Vec total, Vec all_below) {
  const Vec fall = total - ACUMEN_SHUFFLE(total, Vec{}, 1, 2, 3, 4, 5, 6, 7, 8);
  const Vec next = ACUMEN_SHUFFLE(all_below, splat(1.0f), 1, 2, 3, 4, 5, 6, 7, 8);
  const Vec by_fall = (next - all_below) / fall;
  const Vec weight = fall < 0.03f ? 0.5f * (all_below + next) : by_fall;
  return weight - ACUMEN_SHUFFLE(Vec{}, weight, 7, 8, 9, 10, 11, 12, 13, 14);
}

// With G_a = -log F_a, the largest of all values lies below t with probability exp(-Σ G_a(t)). In
// a cell of the grid, arm a has it in proportion to the fall of G_a. The sum over the cells, of
// weight times fall, is by parts one of G_a times the steps of the weights: a scalar product an
// arm. Behind the grid G is zero, so that nothing is lost above; what is below it, at most Φ(-2),
// is given to the arms as the rest is.
void best_of_normals(const float* mean, const float* deviation, U32 count, float mix,
                     float* scratch, float* out) {
  static_assert(kNormalGrid == 8);
  float *rows = scratch, *first = rows + count * kNormalGrid, *unit = first + (count + 7) / 8 * 8;
  normal_grid(mean, deviation, count, first, unit);
  const Vec squares = {0, 1, 4, 9, 16, 25, 36, 49};
  Vec total = {};
  for (U32 a = 0; a < count; ++a) {
    const Vec g = minus_log_cdf(splat(unit[a]) * squares + splat(first[a]));
    store(rows + a * kNormalGrid, g);
    total += g;
  }
  const Vec all_below = exponential(-total);
  alignas(32) float steps[kNormalGrid];
  store(steps, weight_steps(total, all_below));
  const Vec floor = splat(mix / static_cast<float>(count));
  const Vec scale = splat((1.0f - mix) / (1.0f - all_below[0]));
  each_eight_dots(rows, kNormalGrid, count, steps, kNormalGrid, [&](U32 a, Vec won) {
    const Vec p = scale * larger(Vec{}, won) + floor;
    store(out + a, lanes_before(count, a) ? p : Vec{});
  });
}

struct Best {
  Vec score;          ///< the largest, in every lane
  std::int32_t ties;  ///< how many arms have it
};

ACUMEN_INLINE Best best_of(const float* scores, U32 count, Vec rest) {
  Vec most = splat(-__builtin_inff());
  each_eight(scores, count, rest, [&](U32, Vec score) { most = larger(score, most); });
  const Vec best = splat(largest(most));
  Int ties = {};
  each_eight(scores, count, rest, [&](U32, Vec score) { ties -= score == best; });
  return {best, ((ties[0] + ties[4]) + (ties[2] + ties[6])) +
                    ((ties[1] + ties[5]) + (ties[3] + ties[7]))};
}

/// Nearly always one arm is best, and a branch that is known in advance spares the wait for the
/// count and for the division.
ACUMEN_INLINE float split(float share, std::int32_t ties) {
  if (__builtin_expect(ties == 1, 1)) return share;
  return share / static_cast<float>(ties);
}

void greedy(const float* scores, U32 count, float mix, float* out) {
  const Vec rest = rest_of(scores, count, -__builtin_inff());
  const Best best = best_of(scores, count, rest);
  const float floor = mix / static_cast<float>(count);
  const Vec low = splat(floor), top = splat(floor + split(1.0f - mix, best.ties));
  each_eight(scores, count, rest, [&](U32 a, Vec score) {
    const Vec other = score > -__builtin_inff() ? low : Vec{};
    store(out + a, score == best.score ? top : other);
  });
}

void inverse_gap(const float* scores, U32 count, float gamma, float* out) {
  const Vec rest = rest_of(scores, count, -__builtin_inff());
  const Best best = best_of(scores, count, rest);
  const Vec arms = splat(static_cast<float>(count)), endless = splat(__builtin_inff());
  Vec total = {};
  each_eight(scores, count, rest, [&](U32 a, Vec score) {
    const Vec gap = best.score - score, p = 1.0f / (arms + gamma * gap);
    const Int is_other = (gap > 0.0f) & (gap < endless);
    const Vec other = is_other ? p : Vec{};
    total += other;
    store(out + a, other);
  });
  const float left = 1.0f - sum(total);  // of very many arms rounding may take all
  const Vec share = splat(split(left > 0.0f ? left : 0.0f, best.ties));
  each_eight(scores, count, rest, [&](U32 a, Vec score) {
    store(out + a, score == best.score ? share : load(out + a));
  });
}

float usable_total(const float* p, U32 count) {
  Vec total = {};
  Int good = {-1, -1, -1, -1, -1, -1, -1, -1};
  for (U32 a = 0; a < count; a += 8) {
    const Vec here = lanes_before(count, a) ? load(p + a) : Vec{};
    good &= here >= 0.0f;
    total += here;
  }
  const Vec bad = good ? Vec{} : splat(1.0f);
  const float all = sum(total);
  // Less than this cannot be divided by.
  return largest(bad) == 0.0f && all - all == 0.0f && all >= 1e-30f ? all : 0.0f;
}

/// The sums of a vector's lanes up to each of them.
ACUMEN_INLINE Wide running_sums(Wide v) {
  v += ACUMEN_SHUFFLE_WIDE(v, Wide{}, 4, 0, 1, 2);
  return v + ACUMEN_SHUFFLE_WIDE(v, Wide{}, 4, 4, 0, 1);
}

// All running sums are made at once, and none of them needs u. Behind the last arm they are
// infinite.
U32 count_below(const float* p, U32 count, double u) {
  const Wide at = {u, u, u, u};
  Wide before = {};
  WideInt below = {};
  for (U32 a = 0; a < count; a += 8) {
    const Vec here = lanes_before(count, a) ? load(p + a) : splat(__builtin_inff());
    const Wide low = running_sums(widened(lower(here))), high = running_sums(widened(upper(here)));
    below -= before + low <= at;
    before += ACUMEN_SHUFFLE_WIDE(low, low, 3, 3, 3, 3);
    below -= before + high <= at;
    before += ACUMEN_SHUFFLE_WIDE(high, high, 3, 3, 3, 3);
  }
  return static_cast<U32>((below[0] + below[2]) + (below[1] + below[3]));
}

}  // namespace
}  // namespace acumen::ACUMEN_ISA
