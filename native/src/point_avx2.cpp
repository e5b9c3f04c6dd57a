// Compiled with -mavx2 and what belongs to it where the target is x86-64; elsewhere as portably.
#define ACUMEN_ISA isa_avx2
#define ACUMEN_ISA_NAME "avx2"
#include "point_kernels.inl"

namespace acumen::index {

const PointKernels& avx2_point_kernels() {
  return ACUMEN_ISA::kPointKernels;
}

}  // namespace acumen::index
