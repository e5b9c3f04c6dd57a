// Compiled with -mavx2 -mbmi2 where the target is x86-64; elsewhere the same as the portable set.
#define ACUMEN_ISA isa_avx2
#include "index/kernel_set.inl"

namespace acumen::index {

const RangeKernels* avx2_range_kernels() {
  return ACUMEN_ISA::kRangeKernels;
}

}  // namespace acumen::index
