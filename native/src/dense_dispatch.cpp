#include "acumen/dense.hpp"

namespace acumen {

const DenseKernels& portable_dense_kernels();
const DenseKernels& avx2_dense_kernels();

const DenseKernels& dense_kernels(bool portable) {
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx2 && !portable) return avx2_dense_kernels();
#endif
  return portable_dense_kernels();
}

}  // namespace acumen
