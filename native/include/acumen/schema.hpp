// The context schema: how a row of raw values becomes the vector that learners see.
//
// Idea       A row holds one double a field, as the program has them (bytes, seconds, flags,
//            category codes). Linear models want values of one scale, so numbers are centred and
//            scaled, and those with heavy tails (sizes, times) go through a signed logarithm
//            first; which ones, and how, is calibrated on the first rows, and again when values
//            leave the range that these had (see clip_watch.hpp).
//            Categories are hashed into buckets and one-hot encoded; a bucket that was never seen
//            before is encoded as "unseen", so that the model has a weight for novelty itself.
// Guarantee  encode() writes finite floats within ±8 or says which field was bad; it allocates
//            nothing. The same row and scales give the same vector.
// Layout     x = [1, numbers…, flags…, categories…, missing indicators…, zeros up to padded(d)]
//            A category of B buckets takes B + 1 places; the last is "unseen".
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "acumen/dense.hpp"
#include "acumen/learner.hpp"
#include "acumen/random.hpp"

namespace acumen {

enum class FieldKind : std::uint8_t { kNumber = 0, kFlag = 1, kCategory = 2 };

struct Field {
  FieldKind kind = FieldKind::kNumber;
  bool optional = false;  ///< missing values (NaN) are allowed, and have an indicator of their own
  std::uint32_t buckets = 0;  ///< of a category
};

/// The hash of a category's name. Stable: it stands in saved models and records.
inline std::uint64_t category_hash(const char* text, std::size_t length) {
  std::uint64_t hash = length;
  for (std::size_t i = 0; i < length; i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text + i, std::min<std::size_t>(8, length - i));
    hash = mix64(hash ^ word);
  }
  return hash;
}

/// The bucket that a hash falls into.
inline std::uint32_t category_code(std::uint64_t hash, const Field& field) {
  return static_cast<std::uint32_t>(hash % std::max(field.buckets, 1u));
}

/// How one number is brought to a common scale: (t(value) - center) * inverse.
struct Scale {
  double center = 0.0;
  double inverse = 1.0;
  bool logarithmic = false;  ///< t(v) = sign(v) log(1 + |v|) instead of v
};

class Schema {
 public:
  static constexpr double kLimit = 8.0;  ///< standardised values are clipped to ±kLimit
  static constexpr std::uint32_t kGood = std::numeric_limits<std::uint32_t>::max();

  explicit Schema(std::vector<Field> fields) : fields_(std::move(fields)) {
    offsets_.resize(fields_.size());
    std::uint32_t next = 1;
    const auto place = [&](FieldKind kind) {
      for (std::size_t i = 0; i < fields_.size(); ++i) {
        if (fields_[i].kind != kind) continue;
        offsets_[i] = next;
        next += kind == FieldKind::kCategory ? fields_[i].buckets + 1 : 1;
      }
    };
    place(FieldKind::kNumber);
    numbers_ = next - 1;
    place(FieldKind::kFlag);
    place(FieldKind::kCategory);
    for (std::uint32_t i = 0; i < fields_.size(); ++i) {
      indicators_.push_back(fields_[i].optional ? next++ : 0);
      const bool plain = fields_[i].kind == FieldKind::kNumber && !fields_[i].optional;
      if (plain && run_ == i) {
        run_ += 1;
      } else {
        others_.push_back(i);
      }
      seen_offsets_.push_back(static_cast<std::uint32_t>(seen_.size()));
      if (fields_[i].kind == FieldKind::kCategory) seen_.resize(seen_.size() + fields_[i].buckets);
    }
    dimension_ = next;
    scales_.resize(fields_.size());
    derive();
  }

  std::uint32_t fields() const { return static_cast<std::uint32_t>(fields_.size()); }
  std::uint32_t dimension() const { return dimension_; }
  const Field& field(std::uint32_t i) const { return fields_[i]; }
  std::uint32_t numbers() const { return numbers_; }  ///< they stand in x[1 … numbers()]

  /// Turns categories that were never seen into "unseen" and remembers them. Changes the row, so
  /// that the same row encodes in the same way when its feedback comes.
  void meet(double* row) {
    for (const std::uint32_t i : others_) {
      const Field& field = fields_[i];
      if (field.kind != FieldKind::kCategory || !is_code(row[i], field.buckets)) continue;
      std::uint64_t& seen = seen_[seen_offsets_[i] + static_cast<std::uint32_t>(row[i])];
      if (!seen) {
        seen = 1;
        row[i] = field.buckets;
      }
    }
  }

  /// Remembers a category's code; anything else changes nothing.
  void mark_seen(std::uint32_t field, std::uint64_t code) {
    if (field >= fields() || fields_[field].kind != FieldKind::kCategory) return;
    if (code < fields_[field].buckets) seen_[seen_offsets_[field] + code] = 1;
  }

  bool has_seen(std::uint32_t field, std::uint32_t code) const {
    return seen_[seen_offsets_[field] + code] != 0;
  }

  /// meet() without remembering: for who asks what would be chosen, and chooses nothing.
  void veil(double* row) const {
    for (const std::uint32_t i : others_) {
      const Field& field = fields_[i];
      if (field.kind != FieldKind::kCategory || !is_code(row[i], field.buckets)) continue;
      if (!seen_[seen_offsets_[i] + static_cast<std::uint32_t>(row[i])]) row[i] = field.buckets;
    }
  }

  /// Writes padded(dimension) floats. Returns kGood, or the first field whose value is neither
  /// finite (for a category: one of its codes) nor missing where that is allowed.
  std::uint32_t encode(const double* row, float* x) const {
    if (!encode_run(row, x)) {
      for (std::uint32_t i = 0;; ++i)
        if (!std::isfinite(row[i])) return i;
    }
    for (const std::uint32_t i : others_) {
      if (!encode_other(i, row[i], x)) return i;
    }
    return kGood;
  }

  /// Chooses every number's scale from rows that lie one behind the other.
  void calibrate(const std::vector<double>& rows) {
    for (std::uint32_t i = 0; i < fields(); ++i)
      if (fields_[i].kind == FieldKind::kNumber) fit_column(rows, i, fields(), scales_[i]);
    derive();
  }

  /// The same for a matrix in which every column is a number: the features of candidates.
  static void calibrate(const std::vector<double>& rows, std::vector<Scale>& scales) {
    for (std::size_t j = 0; j < scales.size(); ++j) fit_column(rows, j, scales.size(), scales[j]);
  }

  /// Shows a list of scales to a visitor, as three doubles each.
  static void visit_scales(StateVisitor& visitor, std::string_view name,
                           std::vector<Scale>& scales) {
    std::vector<double> flat;
    for (const Scale& s : scales)
      flat.insert(flat.end(), {s.center, s.inverse, s.logarithmic ? 1.0 : 0.0});
    visitor.array(name, flat.data(), flat.size());
    for (std::size_t i = 0; i < scales.size(); ++i)
      scales[i] = {flat[3 * i], flat[3 * i + 1], flat[3 * i + 2] != 0.0};
  }

  void visit(StateVisitor& visitor) {
    visit_scales(visitor, "schema.scales", scales_);
    visitor.array("schema.seen", seen_.data(), seen_.size());
    derive();
  }

  /// True if every scale is usable; asked after the state was overwritten.
  static bool valid(const std::vector<Scale>& scales) {
    return std::all_of(scales.begin(), scales.end(), [](const Scale& s) {
      return std::isfinite(s.center) && std::isfinite(s.inverse) && s.inverse > 0;
    });
  }
  bool valid() const { return valid(scales_); }

  static float standardised(double value, const Scale& scale) {
    const double t = scale.logarithmic ? logarithm(value) : value;
    return static_cast<float>(std::clamp((t - scale.center) * scale.inverse, -kLimit, kLimit));
  }

  std::size_t memory_bytes() const {
    return fields_.size() * (sizeof(Field) + sizeof(Scale) + 5 * sizeof(std::uint32_t)) +
           run_ * 2 * sizeof(double) + seen_.size() * sizeof(std::uint64_t);
  }

 private:
  static double logarithm(double v) { return std::copysign(std::log1p(std::fabs(v)), v); }

  /// The scales of the run once more, in the order in which encode_run() wants them.
  void derive() {
    centers_.clear(), inverses_.clear(), logarithms_.clear();
    for (std::uint32_t i = 0; i < run_; ++i) {
      centers_.push_back(scales_[i].center);
      inverses_.push_back(scales_[i].inverse);
      if (scales_[i].logarithmic) logarithms_.push_back(i);
    }
  }

  /// The bias, standardised() of the run, and zeros: on every hot path.
  bool encode_run(const double* row, float* x) const {
    const bool good = kernels_->standardise(row, centers_.data(), inverses_.data(), run_, kLimit,
                                            padded(dimension_), x) != 0;
    for (const std::uint32_t i : logarithms_) x[1 + i] = standardised(row[i], scales_[i]);
    return good;
  }

  static bool is_code(double value, std::uint32_t codes) {
    return value >= 0 && value < codes && value == std::floor(value);
  }

  bool encode_other(std::uint32_t i, double value, float* x) const {
    const Field& field = fields_[i];
    if (std::isnan(value) && field.optional) {
      x[indicators_[i]] = 1.0f;
      return true;
    }
    if (!std::isfinite(value)) return false;
    if (field.kind == FieldKind::kNumber) {
      x[offsets_[i]] = standardised(value, scales_[i]);
    } else if (field.kind == FieldKind::kFlag) {
      x[offsets_[i]] = value != 0.0 ? 1.0f : 0.0f;
    } else {
      if (!is_code(value, field.buckets + 1)) return false;
      x[offsets_[i] + static_cast<std::uint32_t>(value)] = 1.0f;
    }
    return true;
  }

  static void fit_column(const std::vector<double>& rows, std::size_t j, std::size_t columns,
                         Scale& scale) {
    std::vector<double> values;
    for (std::size_t i = j; i < rows.size(); i += columns)
      if (std::isfinite(rows[i])) values.push_back(rows[i]);
    if (values.size() >= 2) scale = fit(values);
  }

  static constexpr double kConstant = 1e300;

  struct Moments {
    double mean = 0.0, deviation = 0.0, kurtosis = 0.0;
  };

  template <typename Transform>
  static Moments moments(const std::vector<double>& values, Transform transform) {
    Moments m;
    const double n = static_cast<double>(values.size());
    for (const double v : values) m.mean += transform(v) / n;
    double second = 0.0, fourth = 0.0;
    for (const double v : values) {
      const double d = transform(v) - m.mean, square = d * d;
      second += square / n;
      fourth += square * square / n;
    }
    m.deviation = std::sqrt(second);
    m.kurtosis = second > 0 ? fourth / (second * second) : 0.0;
    return m;
  }

  /// The logarithm is taken where the raw values have much heavier tails than a normal
  /// distribution (kurtosis 3) and their logarithms have lighter ones.
  ///
  /// A constant field says nothing, until it changes: its scale sends every other value to a limit,
  /// so that the change is seen, by the model as a sign and by whoever counts what is clipped.
  static Scale fit(const std::vector<double>& values) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    if (*least == *most) return {*least, kConstant, false};
    const Moments raw = moments(values, [](double v) { return v; });
    const Moments logs = moments(values, logarithm);
    // Moments of values beyond 1e77 overflow, and their kurtosis is NaN: the logarithm it is.
    const bool logarithmic = !(raw.kurtosis <= 6.0) && !(logs.kurtosis >= raw.kurtosis);
    const Moments& m = logarithmic ? logs : raw;
    Scale scale;
    scale.logarithmic = logarithmic;
    if (std::isfinite(m.mean) && std::isfinite(1.0 / m.deviation)) {
      scale.center = m.mean;
      scale.inverse = 1.0 / m.deviation;
    } else if (std::isfinite(m.mean)) {
      scale.center = m.mean;
    }
    return scale;
  }

  const DenseKernels* kernels_ = &dense_kernels();
  std::vector<Field> fields_;
  std::vector<std::uint32_t> offsets_, indicators_, seen_offsets_;
  std::uint32_t run_ = 0;              ///< fields before the first that is no number or optional
  std::vector<std::uint32_t> others_;  ///< all the rest
  std::vector<double> centers_, inverses_;  ///< of the run
  std::vector<std::uint32_t> logarithms_;   ///< which of the run are taken in logarithms
  std::vector<Scale> scales_;
  std::vector<std::uint64_t> seen_;
  std::uint32_t dimension_ = 1, numbers_ = 0;
};

}  // namespace acumen
