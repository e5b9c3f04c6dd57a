#include "bindings.hpp"

namespace acumen::bindings {

void bind_choice(nanobind::module_&) {}

}  // namespace acumen::bindings
