// Compiled with -mavx2 -mfma where the target is x86-64; elsewhere the same as the portable set.
#define ACUMEN_ISA isa_avx2
#define ACUMEN_ISA_NAME "avx2"
#include "kernel_set.inl"

namespace acumen {

const DenseKernels& avx2_dense_kernels() {
  return ACUMEN_ISA::kKernels;
}

}  // namespace acumen
