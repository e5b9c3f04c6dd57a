// Drift: the bound on false alarms, on streams of many shapes; and that changes are noticed.
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <vector>

#include "acumen/drift.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_drift {

using namespace acumen;

namespace {

using Stream = std::function<double(Random&)>;

constexpr DriftStream kStreams[] = {DriftStream::kNumbers, DriftStream::kFallingNumbers,
                                    DriftStream::kCategories};

double normal(Random& r) {
  return std::sqrt(-2.0 * std::log(1.0 - r.uniform())) * std::cos(6.283185307179586 * r.uniform());
}

std::vector<Stream> streams() {
  return {normal,
          [](Random& r) { return std::tan(3.141592653589793 * (r.uniform() - 0.5)); },  // Cauchy
          [](Random& r) { return std::exp(3.0 * normal(r)); },
          [](Random& r) { return r.uniform() < 0.01 ? 1.0 : 0.0; },
          [](Random& r) { return r.uniform() < 0.3 ? NAN : std::floor(5 * r.uniform()); },
          [](Random&) { return 3.0; }};
}

/// P(alarm within N) <= N / records_per_alarm: 400 runs with 1 in 10 allowed; 40 expected at most,
/// 66 of them are four standard deviations more. (Of 40 runs: 4, and 12.)
void check_false_alarms(const Stream& stream, DriftStream kind) {
  constexpr int kRuns = in_full(400, 40), kValues = 2000;
  int alarms = 0;
  for (int run = 0; run < kRuns; ++run) {
    Random random(1000 + static_cast<std::uint64_t>(run));
    DriftDetector detector(10.0 * kValues, kind, static_cast<std::uint64_t>(run));
    while (!detector.is_watching()) detector.see(stream(random));
    for (int i = 0; i < kValues; ++i) {
      if (!detector.see(stream(random))) continue;
      ++alarms;
      break;
    }
  }
  EXPECT(alarms <= static_cast<int>(in_full(66, 12)));
}

int delay(const Stream& before, const Stream& after, DriftStream stream, DriftKind kind) {
  Random random(7);
  DriftDetector detector(1e7, stream, 7);
  for (int i = 0; i < 20'000; ++i) EXPECT(!detector.see(before(random)));
  EXPECT(detector.evidence() < 1.0);
  for (int i = 1; i < 100'000; ++i) {
    if (!detector.see(after(random))) continue;
    EXPECT(detector.kind() == kind);
    // The run that the winning bet has had is about as long as the drift.
    EXPECT(detector.since() >= 1 && detector.since() <= static_cast<std::uint64_t>(4 * i));
    EXPECT(4 * detector.since() >= static_cast<std::uint64_t>(i));
    EXPECT(detector.evidence() == 1.0);
    detector.restart();
    EXPECT(detector.records() == 0);
    EXPECT(detector.evidence() == 0.0);
    return i;
  }
  return 100'000;
}

void check_delays() {
  const auto moved = [](double by) { return [by](Random& r) { return normal(r) + by; }; };
  EXPECT(delay(normal, moved(1.0), DriftStream::kNumbers, DriftKind::kHigher) < 120);
  EXPECT(delay(normal, moved(-1.0), DriftStream::kNumbers, DriftKind::kLower) < 120);
  EXPECT(delay(normal, moved(0.25), DriftStream::kNumbers, DriftKind::kHigher) < 1500);
  EXPECT(delay(
             normal, [](Random& r) { return 3.0 * normal(r); }, DriftStream::kNumbers,
             DriftKind::kWider) < 200);
  EXPECT(delay(
             normal, [](Random& r) { return normal(r) / 3.0; }, DriftStream::kNumbers,
             DriftKind::kNarrower) < 200);
  EXPECT(delay(normal, moved(-0.5), DriftStream::kFallingNumbers, DriftKind::kLower) < 300);
  const auto rare = [](double p) { return [p](Random& r) { return r.uniform() < p ? 1.0 : 0.0; }; };
  EXPECT(delay(rare(0.01), rare(0.3), DriftStream::kNumbers, DriftKind::kHigher) < 300);
  const auto code = [](int n) { return [n](Random& r) { return std::floor(n * r.uniform()); }; };
  EXPECT(delay(code(16), code(8), DriftStream::kCategories, DriftKind::kOther) < 600);
}

/// Whoever asks for falls is not told of anything else: values that rise, in steps or slowly, or
/// of which the best get better.
void check_rising_values() {
  int alarms = 0;
  for (std::uint64_t run = 0; run < 100; ++run) {
    Random random(run);
    DriftDetector detector(2e4, DriftStream::kFallingNumbers, run);
    for (int i = 0; i < 4000; ++i) {
      const double step = i < 1000 ? 0.0 : i < 2000 ? 2.0 : 2.0 + i / 1000.0;
      const double value = normal(random) + step;
      alarms += detector.see(run % 2 ? value : std::exp(value));
    }
  }
  // 100 runs of 4,000 values with one alarm in 20,000 allowed: 20, and 18 more for chance.
  EXPECT(alarms <= 38);
}

/// Values that are no ordinary numbers change no invariant.
void check_odd_values() {
  for (const DriftStream stream : kStreams) {
    DriftDetector detector(1e6, stream, 1);
    Random random(1);
    const double odd[] = {
        NAN, INFINITY, -INFINITY, 1e308, -1e308, std::numeric_limits<double>::denorm_min(), -0.0};
    for (int i = 0; i < 5000; ++i) {
      detector.see(i % 3 ? normal(random) : odd[random.below(7)]);
      EXPECT(detector.evidence() >= 0.0 && detector.evidence() <= 1.0);
    }
  }
}

}  // namespace

PROGRAM(test_drift) {
  for (const Stream& stream : streams()) {
    for (const DriftStream kind : kStreams) check_false_alarms(stream, kind);
  }
  check_delays();
  check_rising_values();
  check_odd_values();
  std::puts("drift: ok");
}

}  // namespace test_drift
