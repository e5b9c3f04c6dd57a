// The objective: one reward from several metrics.
//
// Idea       reward = Σ weight·t(metric) − Σ penalty·(relative excess over a limit). Minimised
//            metrics have negative weights. The raw metrics are kept beside each decision, so
//            that the objective may change later and the model be taught anew.
// Guarantee  A non-finite or missing metric that the objective needs gives no reward at all.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace acumen {

struct Metric {
  /// What a logarithmic metric of 0 counts as: a coarse clock says 0.0 of the fastest arm, which
  /// must not make its feedback unusable. (Negative values are.)
  static constexpr double kSmallest = 1e-9;

  double weight = 0.0;       ///< 0: recorded only
  bool logarithmic = false;  ///< reward in log(metric); see kSmallest
  double upper = std::numeric_limits<double>::infinity();
  double lower = -std::numeric_limits<double>::infinity();
  double penalty = 0.0;  ///< reward lost for each 100 % beyond the limit

  bool operator==(const Metric&) const = default;
  bool needed() const { return weight != 0.0 || penalty != 0.0; }
};

class Objective {
 public:
  explicit Objective(std::vector<Metric> metrics) : metrics_(std::move(metrics)) {}

  bool operator==(const Objective&) const = default;
  std::uint32_t metrics() const { return static_cast<std::uint32_t>(metrics_.size()); }

  /// NaN where a needed metric is missing or unusable.
  double reward(const double* values) const {
    double total = 0.0;
    for (std::size_t i = 0; i < metrics_.size(); ++i) {
      const Metric& metric = metrics_[i];
      if (!metric.needed()) continue;
      const double v = values[i];
      if (!std::isfinite(v)) return std::numeric_limits<double>::quiet_NaN();
      if (metric.weight != 0.0) total += metric.weight * transformed(metric, v);
      if (metric.penalty != 0.0) total -= metric.penalty * excess(metric, v);
    }
    return std::isfinite(total) ? total : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  static double transformed(const Metric& metric, double v) {
    if (!metric.logarithmic) return v;
    return v < 0.0 ? std::numeric_limits<double>::quiet_NaN()
                   : std::log(std::max(v, Metric::kSmallest));
  }

  /// How far beyond a limit, relative to the limit (absolute where the limit is zero).
  static double excess(const Metric& metric, double v) {
    const double limit = v > metric.upper ? metric.upper : metric.lower;
    const double distance = v > metric.upper ? v - limit : v < metric.lower ? limit - v : 0.0;
    return distance == 0.0 ? 0.0 : distance / (limit != 0.0 ? std::fabs(limit) : 1.0);
  }

  std::vector<Metric> metrics_;
};

}  // namespace acumen
