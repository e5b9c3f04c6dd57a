// All kernels, written once and compiled twice: the including file defines ACUMEN_ISA, the
// namespace, and ACUMEN_ISA_NAME, and is compiled for that instruction set. See lanes.inl for how.
#include "acumen/dense.hpp"
#include "choosing_kernels.inl"
#include "dense_kernels.inl"

namespace acumen::ACUMEN_ISA {

inline constexpr DenseKernels kKernels{
    ACUMEN_ISA_NAME, dot, dots, outer, multiply, rank_one, add_scaled, accumulate,
    invert, exponential, deviations, best_of_normals, greedy, inverse_gap, usable_total,
    count_below, standardise, locate, weigh_rows};

}  // namespace acumen::ACUMEN_ISA
