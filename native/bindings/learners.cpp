#include "bindings.hpp"

namespace acumen::bindings {

void bind_learners(nanobind::module_&) {}

}  // namespace acumen::bindings
