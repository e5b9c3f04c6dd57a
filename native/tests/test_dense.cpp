// The dense kernels against plain loops in double, and the AVX2 set against the portable one.
#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "acumen/aligned.hpp"
#include "acumen/random.hpp"
#include "acumen/sampling.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_dense {

using namespace acumen;

namespace {

Random g_random(20'260'102);

float draw() {
  return static_cast<float>(g_random.uniform() * 4 - 2);
}

AlignedArray<float> vector_of(std::uint32_t d) {
  AlignedArray<float> v(padded(d));
  for (std::uint32_t i = 0; i < d; ++i) v[i] = draw();
  return v;
}

std::size_t at(std::uint32_t i, std::uint32_t j) {
  return packed_row(std::max(i, j)) + std::min(i, j);
}

/// A packed symmetric matrix; the diagonal blocks hold both halves.
template <class T>
AlignedArray<T> symmetric(std::uint32_t d) {
  AlignedArray<T> p(packed_size(d));
  for (std::uint32_t i = 0; i < d; ++i) {
    for (std::uint32_t j = 0; j <= i; ++j) {
      const T v = static_cast<T>(draw());
      p[packed_row(i) + j] = v;
      if (i / 8 == j / 8) p[packed_row(j) + i] = v;
    }
  }
  return p;
}

void check_products(const DenseKernels& k, std::uint32_t d) {
  const auto x = vector_of(d);
  auto p = symmetric<float>(d);
  AlignedArray<float> z(packed_size(d)), y(padded(d));
  const float quadratic = k.multiply(p.data(), x.data(), d, y.data());
  double expected = 0;
  for (std::uint32_t i = 0; i < d; ++i) {
    double row = 0;
    for (std::uint32_t j = 0; j < d; ++j) row += static_cast<double>(p[at(i, j)]) * x[j];
    EXPECT_NEAR(y[i], row, 1e-4 * d);
    expected += row * x[i];
  }
  for (std::uint32_t i = d; i < padded(d); ++i) EXPECT(y[i] == 0.0f);
  EXPECT_NEAR(quadratic, expected, 1e-4 * d * d);
  k.outer(x.data(), d, z.data());
  EXPECT_NEAR(k.dot(p.data(), z.data(), p.size()), expected, 1e-4 * d * d);

  AlignedArray<float> moved(p.size());
  std::copy(p.begin(), p.end(), moved.begin());
  for (const float factor : {1.5f, 1.0f}) {
    std::copy(p.begin(), p.end(), moved.begin());
    k.rank_one(moved.data(), x.data(), -0.25f, factor, d);
    for (std::uint32_t i = 0; i < d; ++i) {
      for (std::uint32_t j = 0; j <= i; ++j) {
        const double product = static_cast<double>(x[i]) * x[j];
        EXPECT_NEAR(moved[at(i, j)], factor * p[at(i, j)] - 0.25 * product, 1e-5);
      }
    }
  }
}

/// Sums of lessons, with and without decay; one call or many make no difference at all.
void check_accumulate(const DenseKernels& k, std::uint32_t d, double decay) {
  constexpr std::uint32_t kLessons = 5;
  const std::uint32_t stride = padded(d);
  AlignedArray<float> x(kLessons * stride);
  AlignedArray<double> rewards(kLessons), decays(kLessons), wide(kLessons * stride);
  AlignedArray<double> expected(packed_size(d)), products(stride), moments(stride);
  auto sums = symmetric<double>(d);
  for (std::uint32_t i = 0; i < d; ++i) moments[i] = products[i] = draw();
  std::copy(sums.begin(), sums.end(), expected.begin());
  AlignedArray<double> one_by_one(sums.size()), one_product(stride);
  std::copy(sums.begin(), sums.end(), one_by_one.begin());
  std::copy(products.begin(), products.end(), one_product.begin());
  for (std::uint32_t l = 0; l < kLessons; ++l) {
    const auto lesson = vector_of(d);
    std::copy(lesson.begin(), lesson.end(), x.begin() + l * stride);
    rewards[l] = draw();
    decays[l] = decay;
    for (std::uint32_t i = 0; i < d; ++i) {
      moments[i] = decay * moments[i] + rewards[l] * lesson[i];
      for (std::uint32_t j = 0; j <= i; ++j)
        expected[at(i, j)] =
            decay * expected[at(i, j)] + static_cast<double>(lesson[i]) * lesson[j];
    }
    k.accumulate(one_by_one.data(), one_product.data(), x.data() + l * stride, &rewards[l],
                 &decays[l], 1, wide.data(), d);
  }
  k.accumulate(sums.data(), products.data(), x.data(), rewards.data(), decays.data(), kLessons,
               wide.data(), d);
  for (std::uint32_t i = 0; i < d; ++i) {
    EXPECT_NEAR(products[i], moments[i], 1e-12);
    for (std::uint32_t j = 0; j <= i; ++j) EXPECT_NEAR(sums[at(i, j)], expected[at(i, j)], 1e-12);
  }
  EXPECT(std::equal(sums.begin(), sums.end(), one_by_one.begin()));
  EXPECT(std::equal(products.begin(), products.end(), one_product.begin()));
}

/// Bias, values and zeros, bit for bit as a plain loop makes them; whatever is not finite is seen.
void check_standardise(const DenseKernels& k, std::uint32_t n) {
  const std::uint32_t stride = padded(n + 1) + 8;
  std::vector<double> values(n), centers(n), inverses(n);
  AlignedArray<float> x(stride + 1);
  for (std::uint32_t i = 0; i < n; ++i) {
    values[i] = g_random.uniform() * 40 - 20;
    centers[i] = g_random.uniform();
    inverses[i] = g_random.uniform();
  }
  const auto all_finite = [&] {
    x.fill(7.0f);
    return k.standardise(values.data(), centers.data(), inverses.data(), n, 8.0, stride, x.data());
  };
  EXPECT(all_finite() == 1);
  EXPECT(x[0] == 1.0f && x[stride] == 7.0f);
  for (std::uint32_t i = 0; i < n; ++i) {
    const double t = (values[i] - centers[i]) * inverses[i];
    EXPECT(x[1 + i] == static_cast<float>(std::clamp(t, -8.0, 8.0)));
  }
  for (std::uint32_t i = 1 + n; i < stride; ++i) EXPECT(x[i] == 0.0f);
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {infinity, -infinity, std::nan("")}) {
    for (std::uint32_t i = 0; i < n; ++i) {
      const double good = std::exchange(values[i], bad);
      EXPECT(all_finite() == 0);
      values[i] = good;
    }
  }
  for (double& v : values) v = 1.7e308;
  EXPECT(all_finite() == 1);
}

/// Scores with two best arms, and what the two rules make of them.
void check_rules(const DenseKernels& k, std::uint32_t count, float gamma) {
  const std::uint32_t ties = count > 2 ? 2 : 1;
  AlignedArray<float> scores(padded(count)), p(padded(count));
  scores.fill(100.0f);  // what lies behind the last arm must not count
  for (std::uint32_t a = 0; a < count; ++a) scores[a] = draw();
  for (std::uint32_t t = 0; t < ties; ++t) scores[t * (count - 1)] = 3.0f;
  const double floor = 0.2 / count;
  k.greedy(scores.data(), count, 0.2f, p.data());
  for (std::uint32_t a = 0; a < padded(count); ++a)
    EXPECT_NEAR(p[a], a >= count ? 0.0 : scores[a] == 3.0f ? floor + 0.8 / ties : floor, 1e-6);
  EXPECT_NEAR(k.usable_total(p.data(), count), 1.0, 1e-5);
  k.inverse_gap(scores.data(), count, gamma, p.data());
  double rest = 1.0;
  for (std::uint32_t a = 0; a < count; ++a)
    rest -= scores[a] == 3.0f ? 0.0 : 1.0 / (count + gamma * (3.0 - scores[a]));
  for (std::uint32_t a = 0; a < padded(count); ++a) {
    const double gap = 3.0 - scores[a];
    EXPECT_NEAR(p[a],
                a >= count   ? 0.0
                : gap == 0.0 ? rest / ties
                             : 1 / (count + gamma * gap),
                1e-6);
  }
  EXPECT_NEAR(k.usable_total(p.data(), count), 1.0, 1e-5);
}

/// Every arm lies where the running sums say, and only those with a probability are drawn.
void check_drawing(const DenseKernels& k, std::uint32_t count) {
  AlignedArray<float> p(padded(count));
  std::vector<double> below(count + 1);
  p.fill(100.0f);
  for (std::uint32_t a = 0; a < count; ++a) {
    p[a] = a % 3 == 1 ? 0.0f : static_cast<float>(g_random.uniform());
    below[a + 1] = below[a] + static_cast<double>(p[a]);
  }
  EXPECT_NEAR(k.usable_total(p.data(), count), below[count], 1e-4);
  for (std::uint32_t a = 0; a < count; ++a) {
    const double middle = 0.5 * (below[a] + below[a + 1]);
    if (p[a] > 0.0f) EXPECT(draw_arm(k, p.data(), count, middle) == a);
    EXPECT(p[draw_arm(k, p.data(), count, below[a])] > 0.0f);
  }
  EXPECT(p[draw_arm(k, p.data(), count, below[count] * 1.01)] > 0.0f);
  for (const float bad : {-1.0f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (std::uint32_t a = 0; a < count; ++a) {
      const float good = std::exchange(p[a], bad);
      EXPECT(k.usable_total(p.data(), count) == 0.0f);
      p[a] = good;
    }
  }
  std::fill_n(p.data(), count, 0.0f);
  EXPECT(k.usable_total(p.data(), count) == 0.0f);
  EXPECT(draw_arm(k, p.data(), count, 0.0) > count);
}

void check_add_scaled(const DenseKernels& k, std::uint32_t n) {
  const auto y = vector_of(n);
  auto out = vector_of(n);
  AlignedArray<float> before(n);
  std::copy(out.begin(), out.end(), before.begin());
  k.add_scaled(out.data(), y.data(), -0.75f, n);
  for (std::uint32_t i = 0; i < n; ++i) EXPECT_NEAR(out[i], before[i] - 0.75 * y[i], 1e-6);
}

void check_dots(const DenseKernels& k) {
  for (std::uint32_t rows = 1; rows <= 23; ++rows) {
    for (std::uint32_t n = 8; n <= 40; n += 8) {
      const auto x = vector_of(n), m = vector_of(rows * n);
      AlignedArray<float> out(padded(rows));
      out.fill(7.0f);
      k.dots(m.data(), n, rows, x.data(), n, out.data());
      for (std::uint32_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (std::uint32_t j = 0; j < n; ++j) sum += static_cast<double>(m[r * n + j]) * x[j];
        EXPECT_NEAR(out[r], sum, 1e-4);
      }
      for (std::uint32_t r = rows; r < out.size(); ++r) EXPECT(out[r] == 0.0f);
    }
  }
}

void check_deviations(const DenseKernels& k) {
  const float variances[8] = {0.0f, -1e-9f, 1e-30f, 0.25f, 1.0f, 4.0f, 1e20f, -1.0f};
  AlignedArray<float> variance(8);
  std::copy_n(variances, 8, variance.data());
  AlignedArray<float> wild(8);
  k.deviations(variance.data(), std::numeric_limits<float>::infinity(), 8, wild.data());
  for (const float v : wild) EXPECT(v >= 1e-30f && v <= 1e30f);
  k.deviations(variance.data(), 3.0f, 8, variance.data());
  for (std::uint32_t i = 0; i < 8; ++i) {
    const double root = std::sqrt(std::max(static_cast<double>(variances[i]), 0.0));
    EXPECT_NEAR(variance[i] / std::max(3.0 * root, 1e-30), 1.0, 1e-5);
  }
}

void check_inverse(const DenseKernels& k, std::uint32_t d) {
  const std::uint32_t stride = padded(d);
  AlignedArray<double> a(d * stride), inverse(d * stride);
  for (std::uint32_t n = 0; n < 2 * d; ++n) {
    const auto x = vector_of(d);
    for (std::uint32_t i = 0; i < d; ++i) {
      for (std::uint32_t j = 0; j < d; ++j) a[i * stride + j] += static_cast<double>(x[i]) * x[j];
    }
  }
  for (std::uint32_t i = 0; i < d; ++i) a[i * stride + i] += 0.5;
  std::copy(a.begin(), a.end(), inverse.begin());
  EXPECT(k.invert(inverse.data(), d, 0.5) >= 0.5);
  for (std::uint32_t i = 0; i < d; ++i) {
    for (std::uint32_t j = 0; j < d; ++j) {
      double sum = 0;
      for (std::uint32_t l = 0; l < d; ++l) sum += a[i * stride + l] * inverse[l * stride + j];
      EXPECT_NEAR(sum, i == j ? 1.0 : 0.0, 1e-10);
    }
  }
}

void check_functions(const DenseKernels& k) {
  AlignedArray<float> in(8), out(8);
  for (float v = -86.0f; v <= 0.0f; v += 0.01f) {
    std::fill(in.begin(), in.end(), v);
    k.exponential(in.data(), 8, out.data());
    EXPECT_NEAR(out[3] / std::exp(static_cast<double>(v)), 1.0, v > -12.0f ? 1e-6 : 1e-5);
  }
  in.fill(-1e30f);
  k.exponential(in.data(), 8, out.data());
  EXPECT(out[0] >= 0.0f && out[0] < 1e-37f);
}

/// P(arm is best) by brute force: the product rule on 1,500 cells, finer at the lower end.
std::vector<double> best_by_force(const float* mean, const float* deviation, std::uint32_t arms) {
  constexpr std::uint32_t kSteps = 1500;
  double low = -1e30, high = -1e30;
  for (std::uint32_t a = 0; a < arms; ++a) {
    low = std::max(low, mean[a] - 8.0 * deviation[a]);
    high = std::max(high, mean[a] + 8.0 * deviation[a]);
  }
  std::vector<double> best(arms), now(arms), below(arms);
  for (std::uint32_t s = 0; s <= kSteps; ++s) {
    const double u = static_cast<double>(s) / kSteps, t = low + (high - low) * u * u * u;
    for (std::uint32_t a = 0; a < arms; ++a) {
      now[a] = 0.5 * std::erfc((mean[a] - t) / deviation[a] / std::sqrt(2.0));
    }
    for (std::uint32_t a = 0; a < arms && s > 0; ++a) {
      double others = 1;
      for (std::uint32_t b = 0; b < arms; ++b) others *= b == a ? 1 : 0.5 * (now[b] + below[b]);
      best[a] += (now[a] - below[a]) * others;
    }
    below = now;
  }
  return best;
}

/// The grid's promise in thompson.hpp, for deviations that differ up to 10^spread-fold.
void check_best_of_normals(const DenseKernels& k, double spread, double tolerance) {
  double worst = 0.0, mean_error = 0.0;
  constexpr int kRepeats = 200;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const std::uint32_t arms = 2 + static_cast<std::uint32_t>(14 * g_random.uniform());
    AlignedArray<float> mean(padded(arms)), deviation(padded(arms)), out(padded(arms));
    AlignedArray<float> scratch(normal_scratch(arms)), mixed(padded(arms));
    mean.fill(1e9f), deviation.fill(1e9f), out.fill(7.0f);  // behind the last arm: nothing
    const double size = std::pow(10.0, g_random.uniform() - 0.7);
    for (std::uint32_t a = 0; a < arms; ++a) {
      mean[a] = draw();
      deviation[a] = static_cast<float>(size * std::pow(10.0, spread * (g_random.uniform() - 0.5)));
    }
    const auto expected = best_by_force(mean.data(), deviation.data(), arms);
    k.best_of_normals(mean.data(), deviation.data(), arms, 0.0f, scratch.data(), out.data());
    double total = 0.0, error = 0.0;
    for (std::uint32_t a = 0; a < arms; ++a) {
      EXPECT(out[a] >= 0.0f);
      error = std::max(error, std::fabs(static_cast<double>(out[a]) - expected[a]));
      total += out[a];
    }
    worst = std::max(worst, error), mean_error += error / kRepeats;
    EXPECT_NEAR(total, 1.0, 1e-5);
    for (std::uint32_t a = arms; a < out.size(); ++a) EXPECT(out[a] == 0.0f);
    k.best_of_normals(mean.data(), deviation.data(), arms, 0.3f, scratch.data(), mixed.data());
    for (std::uint32_t a = 0; a < arms; ++a) EXPECT_NEAR(mixed[a], 0.7 * out[a] + 0.3 / arms, 1e-6);
  }
  std::printf("%s: deviations up to %.0f-fold: P(best) off by %.4f, at most %.4f\n", k.name,
              std::pow(10.0, spread), mean_error, worst);
  EXPECT(worst < tolerance);
}

/// A model that is broken is found out: the engine serves the default.
void check_what_is_no_number(const DenseKernels& k) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  AlignedArray<float> mean(8), deviation(8), out(8), scratch(normal_scratch(3));
  for (AlignedArray<float>* broken : {&mean, &deviation}) {
    mean.fill(0.0f), deviation.fill(1.0f);
    (*broken)[1] = nan;
    k.best_of_normals(mean.data(), deviation.data(), 3, 0.01f, scratch.data(), out.data());
    EXPECT(k.usable_total(out.data(), 3) == 0.0f);
  }
  deviation.fill(nan);
  k.deviations(deviation.data(), 1.0f, 8, out.data());
  EXPECT(std::isnan(out[0]));
  out.fill(1e-39f);
  EXPECT(k.usable_total(out.data(), 2) == 0.0f);
}

/// What no lesson should lead to: equal arms, no doubt at all, far too much of it, many arms.
void check_extreme_normals(const DenseKernels& k) {
  for (const float deviation : {1e-30f, 1e-6f, 1.0f, 1e15f}) {
    for (const float mean : {0.0f, 1e9f, -1e9f}) {
      for (const std::uint32_t arms : {1u, 2u, 9u, 4000u}) {
        AlignedArray<float> means(padded(arms)), deviations(padded(arms)), out(padded(arms));
        AlignedArray<float> scratch(normal_scratch(arms));
        means.fill(mean), deviations.fill(deviation);
        k.best_of_normals(means.data(), deviations.data(), arms, 0.0f, scratch.data(), out.data());
        for (std::uint32_t a = 0; a < arms; ++a) EXPECT_NEAR(arms * out[a], 1.0, 1e-3);
        means[0] += 100.0f * deviation + 1e3f;
        k.best_of_normals(means.data(), deviations.data(), arms, 0.0f, scratch.data(), out.data());
        EXPECT(out[0] > 0.99f || deviation > 1.0f);
        means[0] = 1e18f, deviations[0] = 1e17f;
        k.best_of_normals(means.data(), deviations.data(), arms, 0.0f, scratch.data(), out.data());
        EXPECT_NEAR(out[0], 1.0, 1e-3);
      }
    }
  }
}

void check_locate(const DenseKernels& k) {
  constexpr std::uint32_t kPoints = 5;
  AlignedArray<float> knots(kPoints * 8), inverse(kPoints * 8), values(8), positions(16);
  for (std::uint32_t i = 0; i < knots.size(); ++i) knots[i] = static_cast<float>(i / 8 * (i / 8));
  for (std::uint32_t i = 0; i + 8 < knots.size(); ++i) inverse[i] = 1 / (knots[i + 8] - knots[i]);
  const float inputs[8] = {-3.0f, 0.0f, 0.25f, 1.0f, 6.5f, 9.0f, 16.0f, 1e4f};
  const float intervals[8] = {0, 0, 0, 1, 2, 3, 3, 3}, fractions[8] = {0, 0, .25f, 0, .5f, 0, 1, 1};
  std::copy_n(inputs, 8, values.data());
  k.locate(knots.data(), inverse.data(), kPoints, values.data(), 8, positions.data());
  for (std::uint32_t i = 0; i < 8; ++i) {
    EXPECT(positions[i] == intervals[i]);
    EXPECT_NEAR(positions[8 + i], fractions[i], 1e-6);
  }
  const std::uint32_t index[3] = {4, 0, 2};
  const float weight[3] = {0.5f, 2.0f, 1.0f};
  k.weigh_rows(knots.data(), 8, index, weight, 3, values.data());
  for (const float v : values) EXPECT_NEAR(v, 0.5 * 16 + 0 + 4, 1e-6);
}

}  // namespace

PROGRAM(test_dense) {
  for (const bool portable : {false, true}) {
    const DenseKernels& k = dense_kernels(portable);
    for (const std::uint32_t d : {1u, 2u, 7u, 8u, 9u, 16u, 17u, 24u, 33u, 85u, 128u}) {
      check_products(k, d);
      check_inverse(k, d);
      for (const double decay : {1.0, 0.5}) check_accumulate(k, d, decay);
    }
    for (std::uint32_t n = 0; n <= 25; ++n) check_standardise(k, n);
    for (std::uint32_t count = 1; count <= 21; ++count) {
      for (const float gamma : {0.0f, 4.0f, 1e30f}) check_rules(k, count, gamma);
      check_drawing(k, count);
    }
    for (std::uint32_t n = 8; n <= 32; n += 8) check_add_scaled(k, n);
    check_dots(k);
    check_functions(k);
    check_locate(k);
    check_deviations(k);
    check_best_of_normals(k, 0.0, 0.02);
    check_best_of_normals(k, 1.0, 0.03);
    check_best_of_normals(k, 2.0, 0.08);
    check_what_is_no_number(k);
    check_extreme_normals(k);
  }
  EXPECT(std::string_view(dense_kernels(true).name) == "portable");
  std::puts("dense: ok");
}

}  // namespace test_dense
