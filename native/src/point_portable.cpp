#define ACUMEN_ISA isa_portable
#define ACUMEN_ISA_NAME "portable"
#include "point_kernels.inl"

namespace acumen::index {

const PointKernels& portable_point_kernels() {
  return ACUMEN_ISA::kPointKernels;
}

}  // namespace acumen::index
