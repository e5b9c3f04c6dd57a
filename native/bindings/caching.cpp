#include "bindings.hpp"

namespace acumen::bindings {

void bind_caching(nanobind::module_&) {}

}  // namespace acumen::bindings
