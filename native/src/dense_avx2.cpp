#include "acumen/dense.hpp"

namespace acumen {

const DenseKernels& avx2_dense_kernels() {
  static const DenseKernels kernels{"avx2", nullptr, nullptr, nullptr, nullptr,
                                    nullptr,    nullptr, nullptr};
  return kernels;
}

}  // namespace acumen
