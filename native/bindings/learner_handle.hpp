// How the choice engine gets at a learner that Python holds.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>

#include "acumen/learner.hpp"

namespace acumen::bindings {

/// The Python object `_native.Learner`. Whoever copies `learner` keeps the learner alive without
/// the Python object and without the interpreter's lock. Once an engine has it, only the engine
/// may call it: the methods of the Python object are for standalone use and tests.
struct LearnerHandle {
  std::shared_ptr<Learner> learner;
};

/// `_native.SequenceLearner`: `learner` is a SequenceLearner.
struct SequenceLearnerHandle : LearnerHandle {};

/// `_native.Apprentice`: `learner` is an Apprentice.
struct ApprenticeHandle : LearnerHandle {};

/// The learner behind a Python object; raises TypeError where it is none.
inline std::shared_ptr<Learner> learner_of(nanobind::handle object) {
  return nanobind::cast<LearnerHandle&>(object).learner;
}

}  // namespace acumen::bindings
