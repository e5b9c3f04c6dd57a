#include "distributions.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <vector>

#include "acumen/aligned.hpp"
#include "acumen/dense.hpp"

namespace acumen::bindings {

FloatMatrix distributions(
    ChoiceCore& core, nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu> rows) {
  const std::size_t n = rows.shape(0), width = rows.shape(1);
  const LearnerShape shape = core.engine->options().shape;
  if (width != core.fields()) throw std::invalid_argument("rows do not have the schema's width");
  std::vector<float> out(n * shape.arms);
  const auto ask_all = [&] {
    std::vector<double> row(width);
    std::vector<float> answer(padded(shape.arms));
    AlignedArray<float> x(padded(core.engine->schema().dimension()));
    AlignedArray<float> features(shape.arms * std::size_t{padded(shape.features)});
    if (shape.features) core.engine->arm_features(nullptr, shape.arms, features.data());
    for (std::size_t i = 0; i < n; ++i) {
      std::copy_n(rows.data() + i * width, width, row.data());
      float* p = out.data() + i * shape.arms;
      if (core.would_choose(row.data(), x.data(), features.data(), answer)) {
        std::copy_n(answer.data(), shape.arms, p);
      } else {
        std::fill_n(p, shape.arms, std::numeric_limits<float>::quiet_NaN());
      }
    }
  };
  if (core.engine->learner()) {
    const nb::gil_scoped_release others_may_run;
    ask_all();
  } else {
    ask_all();
  }
  return matrix(std::move(out), n, shape.arms);
}

bool ChoiceCore::would_choose(double* row, float* x, const float* features,
                              std::vector<float>& answer) {
  const LearnerShape& shape = engine->options().shape;
  if (Learner* learner = engine->learner()) {
    // Row by row, so that those who choose meanwhile do not wait.
    const std::lock_guard<SpinLock> lock(engine->lock());
    engine->schema().veil(row);
    if (engine->schema().encode(row, x) != Schema::kGood) return false;
    learner->distribution(x, {shape.arms, shape.features ? features : nullptr}, answer.data());
  } else {
    {
      const std::lock_guard<SpinLock> lock(engine->lock());
      engine->schema().veil(row);
    }
    answer.clear();  // of a bad row the learner is not asked, and zeros come back
    if (!ask_learner(row, nullptr, shape.arms, answer)) return false;
    answer.resize(padded(shape.arms));  // kernels read whole vectors
  }
  const float total = dense_kernels().usable_total(answer.data(), shape.arms), scale = 1.0f / total;
  for (std::uint32_t a = 0; a < shape.arms; ++a)
    answer[a] *= scale;  // as the engine does with a share of 1
  return total > 0.0f;
}

}  // namespace acumen::bindings
