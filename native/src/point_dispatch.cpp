#include "acumen/index/point_kernels.hpp"

namespace acumen::index {

const PointKernels& portable_point_kernels();
const PointKernels& avx2_point_kernels();

const PointKernels& point_kernels(bool portable) {
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                               __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  if (has_avx2 && !portable) return avx2_point_kernels();
#endif
  return portable_point_kernels();
}

}  // namespace acumen::index
