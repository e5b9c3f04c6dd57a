#define ACUMEN_ISA isa_portable
#define ACUMEN_ISA_NAME "portable"
#include "kernel_set.inl"

namespace acumen {

const DenseKernels& portable_dense_kernels() {
  return ACUMEN_ISA::kKernels;
}

}  // namespace acumen
