// Any sequence of lessons, extreme ones included, leaves every learner valid: distributions sum
// to 1, the state restores, and altered states are either refused or harmless. Learners of
// sequences are taught the same lessons again as one episode.
#include <algorithm>

#include "acumen/aligned.hpp"
#include "acumen/sequence_learner.hpp"
#include "expect.hpp"
#include "fuzz_input.hpp"
#include "learner_zoo.hpp"
#include "program.hpp"

namespace fuzz_learners {

using namespace acumen;

namespace {

void expect_distribution(Learner& learner, const float* x, const ArmSet& arms) {
  AlignedArray<float> p(padded(arms.count));
  learner.distribution(x, arms, p.data());
  double total = 0;
  for (std::uint32_t a = 0; a < arms.count; ++a) {
    EXPECT(p[a] >= 0.0f && p[a] <= 1.001f);
    total += p[a];
  }
  EXPECT_NEAR(total, 1.0, 1e-3);
}

/// The lessons of a run, as an episode's steps.
class Steps {
 public:
  explicit Steps(const LearnerShape& shape)
      : stride_(padded(shape.dimension)), arm_stride_(padded(shape.features)) {}

  void add(const Lesson& lesson) {
    if (arms_.size() == 64) return;
    xs_.insert(xs_.end(), lesson.x, lesson.x + stride_);
    const std::size_t before = features_.size();
    features_.resize(before + arm_stride_);
    if (lesson.features) std::copy_n(lesson.features, arm_stride_, features_.data() + before);
    arms_.push_back(lesson.arm);
    propensities_.push_back(lesson.propensity);
    rewards_.push_back(lesson.reward);
  }
  void teach(Learner& learner, float discount, bool ended) const {
    auto* sequences = dynamic_cast<SequenceLearner*>(&learner);
    if (sequences == nullptr) return;
    const auto steps = static_cast<std::uint32_t>(arms_.size());
    const std::uint64_t before = learner.version();
    const bool taken = sequences->learn_episode({steps, xs_.data(), arms_.data(),
                                                 propensities_.data(), rewards_.data(), discount,
                                                 ended, arm_stride_ ? features_.data() : nullptr});
    EXPECT(learner.version() == before + (taken ? steps : 0));
  }

 private:
  std::size_t stride_, arm_stride_;
  std::vector<float> xs_, features_, propensities_, rewards_;
  std::vector<std::uint32_t> arms_;
};

void alter_state(Learner& learner, Input& input, const float* x, const ArmSet& arms) {
  StateBuffer state;
  state.save(learner);
  const std::vector<unsigned char> before = state.bytes();
  for (int i = 0; i < 4; ++i) {
    std::size_t position = 0;
    for (int k = 0; k < 3; ++k) position = position << 8 | input.byte();
    state.bytes()[position % state.bytes().size()] = input.byte();
  }
  state.load(learner);
  if (learner.validate()) {
    expect_distribution(learner, x, arms);
  } else {
    state.bytes() = before;
    state.load(learner);
    EXPECT(learner.validate());
  }
}

}  // namespace

FUZZ_TARGET(fuzz_learners, data, size) {
  static const std::vector<LearnerKind> kinds = learner_zoo();
  // The last bytes are kept for alter_state(), for by then the lessons have used up the others.
  const std::size_t kept = std::min<std::size_t>(size, 16);
  Input input(data, size - kept), alterations(data + (size - kept), kept);
  const std::uint8_t choice = input.byte();
  const LearnerShape shape{1u + input.byte() % 19, 1u + input.byte() % 9,
                           choice & 64 ? 1u + input.byte() % 9 : 0};
  const auto learner = kinds[choice % kinds.size()].make(shape, choice & 128 ? 5.0 : 0.0);
  const std::uint32_t stride = padded(shape.dimension), arm_stride = padded(shape.features);
  AlignedArray<float> x(stride), features(shape.arms * arm_stride);
  x[0] = 1.0f;
  ArmSet arms{shape.arms, shape.features ? features.data() : nullptr};
  Steps steps(shape), good(shape);
  while (!input.empty()) {
    const std::uint8_t what = input.byte();
    for (std::uint32_t i = 1; i < shape.dimension && (what & 1); ++i) x[i] = input.value();
    const std::uint32_t arm = what / 4 % (shape.arms + 1);  // one too many: refused
    float* row = arms.features && arm < shape.arms ? features.data() + arm * arm_stride : nullptr;
    for (std::uint32_t k = 0; row && k < shape.features; ++k) row[k] = input.value();
    const float propensity = what & 2 ? 0.1f : input.value();
    const Lesson lesson{x.data(), arm, row, propensity, input.value()};
    steps.add(lesson);
    if (learner->learn(lesson)) good.add(lesson);
    // The engine lets no other contexts through to distribution().
    for (float& v : x) v = std::fabs(v) <= 8.0f ? v : 0.0f;
    for (float& v : features) v = std::fabs(v) <= 8.0f ? v : 0.0f;
    expect_distribution(*learner, x.data(), arms);
  }
  for (int i = 0; i < 3; ++i) {
    steps.teach(*learner, input.value(), i > 0);
    good.teach(*learner, i % 2 ? 1.0f : 0.9f, i > 0);
  }
  EXPECT(learner->validate());
  expect_distribution(*learner, x.data(), arms);
  alter_state(*learner, alterations, x.data(), arms);
  learner->reset();
  EXPECT(learner->validate() && learner->version() == 0);
  return 0;
}

}  // namespace fuzz_learners
