// From scores to the probabilities of arms, and from these to an arm: kernels like those of
// dense_kernels.inl.
#pragma once

#include "dense_kernels.inl"

namespace acumen::ACUMEN_ISA {
namespace {

/// All ones in the lanes of a vector at `first` that lie before `count`.
ACUMEN_INLINE Int lanes_before(U32 count, U32 first) {
  const Int lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return lane < static_cast<std::int32_t>(count - first);
}

/// The values that do not fill a vector, and -infinity behind them.
ACUMEN_INLINE Vec rest_of(const float* values, U32 count) {
  return load_few(values + count / 8 * 8, count % 8, -__builtin_inff());
}

/// Calls visit(first, values) for eight values at a time; `rest` is the last vector, if there is
/// one that is not full.
template <typename Visit>
ACUMEN_INLINE void each_eight(const float* values, U32 count, Vec rest, Visit visit) {
  U32 a = 0;
  for (; a + 8 <= count; a += 8) visit(a, load(values + a));
  if (a < count) visit(a, rest);
}

// Φ(z) = 1/2 + z·Q(z²), odd around its centre, with the polynomial Q of degree 9 that errs least
// (minimax, in s = 2z²/4.5² - 1 so that its terms stay small); beyond ±4.5 the value there.
// Absolute error below 1e-5, always inside (0, 1).
ACUMEN_INLINE Vec cdf(Vec z) {
  const Vec x = larger(smaller(z, splat(4.5f)), splat(-4.5f));
  const Vec s = x * x * (2.0f / (4.5f * 4.5f)) - 1.0f;
  Vec q = -0.00193052599f * s + 0.00496270321f;
  q = q * s - 0.00607020594f;
  q = q * s + 0.00965322368f;
  q = q * s - 0.0184839666f;
  q = q * s + 0.0288576521f;
  q = q * s - 0.040236976f;
  q = q * s + 0.0546374917f;
  q = q * s - 0.0771858841f;
  q = q * s + 0.156906039f;
  return x * q + 0.5f;
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
  Vec lows = splat(-__builtin_inff()), highs = lows;
  const Vec rest = load_few(deviation + count / 8 * 8, count % 8, 0.0f);
  each_eight(mean, count, rest_of(mean, count), [&](U32 a, Vec m) {
    const Vec reach = 3.0f * (a + 8 <= count ? load(deviation + a) : rest);
    lows = larger(m - reach, lows);
    highs = larger(m + reach, highs);
  });
  const float low = largest(lows), unit = (largest(highs) - low) / (kNormalGrid * kNormalGrid);
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
// it to third order and needs no logarithm. F is 1 by definition where the grid ends, so that
// nothing is lost.
void best_of_normals(const float* mean, const float* deviation, U32 count, float* scratch,
                     float* out) {
  constexpr U32 kParts = kNormalGrid / 8;
  const Vec one = splat(1.0f);
  Vec grid[kParts], product[kParts], total[kParts];
  const float low = normal_grid(mean, deviation, count, grid);
  for (U32 i = 0; i < kParts; ++i) product[i] = one, total[i] = splat(1e-20f);
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
      const Vec part = larger((to - f[i]) / (to + f[i]), Vec{});
      store(share + 8 * i, part);
      total[i] += part;
    }
  }
  for (U32 i = 0; i < kParts; ++i) {
    const Vec to = shifted(product[i], i + 1 < kParts ? product[i + 1] : one);
    store(scratch + 8 * i, larger(to - product[i], Vec{}) / total[i]);
  }
  float* won = scratch + (1 + alive) * kNormalScratch;
  dots(scratch + kNormalScratch, kNormalScratch, alive, scratch, kNormalGrid, won);
  const Vec rest = load_few(won + alive / 8 * 8, alive % 8, 0.0f);
  Vec sums = splat(1e-31f);
  each_eight(won, alive, rest, [&](U32, Vec w) { sums += w; });
  const Vec scale = splat(1.0f / sum(sums));
  if (alive == count) {
    each_eight(won, alive, rest, [&](U32 a, Vec w) { store(out + a, scale * w); });
    return;
  }
  for (U32 a = 0; a < count; ++a) {
    out[a] = mean[a] + 3.0f * deviation[a] < low ? 0.0f : scale[0] * *won++;
  }
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
  const Vec rest = rest_of(scores, count);
  const Best best = best_of(scores, count, rest);
  const float floor = mix / static_cast<float>(count);
  const Vec low = splat(floor), top = splat(floor + split(1.0f - mix, best.ties));
  each_eight(scores, count, rest, [&](U32 a, Vec score) {
    const Vec other = score > -__builtin_inff() ? low : Vec{};
    store(out + a, score == best.score ? top : other);
  });
}

void inverse_gap(const float* scores, U32 count, float gamma, float* out) {
  const Vec rest = rest_of(scores, count);
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
  return largest(bad) == 0.0f && all - all == 0.0f ? all : 0.0f;
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
