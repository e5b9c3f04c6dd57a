// A choice of arbitrary shape, for the fuzz targets.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "acumen/choice.hpp"
#include "fuzz_input.hpp"
#include "learner_zoo.hpp"

namespace acumen {

inline std::vector<Field> drawn_fields(Input& input) {
  std::vector<Field> fields(input.below(6));
  for (Field& field : fields) {
    field.kind = static_cast<FieldKind>(input.below(3));
    field.optional = input.below(2) != 0;
    if (field.kind == FieldKind::kCategory) field.buckets = 1 + input.below(9);
  }
  return fields;
}

inline std::vector<Metric> drawn_metrics(Input& input, std::size_t count) {
  std::vector<Metric> metrics(count);
  for (Metric& metric : metrics) {
    const std::uint8_t kind = input.byte();
    metric.weight = std::array{0.0, 1.0, -1.0, 3.5}[kind % 4];
    metric.logarithmic = kind % 16 == 5;
    if (kind & 32) metric.upper = static_cast<double>(input.plain_value());
    if (kind & 64) metric.lower = -2.0;
    metric.penalty = kind & 128 ? 2.0 : 0.0;
  }
  return metrics;
}

inline ChoiceOptions drawn_options(Input& input) {
  ChoiceOptions options;
  options.fields = drawn_fields(input);
  options.metrics = drawn_metrics(input, 1 + input.below(3));
  options.shape = {Schema(options.fields).dimension(), 1u + input.below(6), input.below(4)};
  if (input.below(2)) {
    options.arm_features.resize(options.shape.arms * std::size_t{options.shape.features});
    for (float& v : options.arm_features) v = input.plain_value();
  }
  options.pending_max = 1u + input.below(100);
  options.timeout_s = input.below(2) ? 5.0 : 0.0;
  if (input.below(2)) options.timeout_reward = static_cast<double>(input.plain_value());
  options.mode = static_cast<Mode>(input.below(4));
  options.canary_share = static_cast<float>(input.byte()) / 255.0f;
  options.holdback = static_cast<float>(input.byte()) / 255.0f;
  options.seed = input.byte();
  options.replica = input.byte();
  return options;
}

/// Makes equal learners of an arbitrary kind, or none: distributions come with the questions then.
using LearnerFactory = std::function<std::unique_ptr<Learner>()>;
inline LearnerFactory drawn_learner(Input& input, const LearnerShape& shape) {
  static const std::vector<LearnerKind> kinds = learner_zoo();
  const std::uint32_t kind = input.below(static_cast<std::uint32_t>(kinds.size()) + 1);
  if (kind == kinds.size()) return [] { return nullptr; };
  const double half_life = input.below(2) ? 5.0 : 0.0;
  return [=] { return kinds[kind].make(shape, half_life); };
}

}  // namespace acumen
