#define ACUMEN_ISA isa_portable
#include "index/kernel_set.inl"

namespace acumen::index {

const RangeKernels* portable_range_kernels() {
  return ACUMEN_ISA::kRangeKernels;
}

}  // namespace acumen::index
