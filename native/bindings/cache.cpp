#include "bindings.hpp"

namespace acumen::bindings {

void bind_cache(nanobind::module_&) {}

}  // namespace acumen::bindings
