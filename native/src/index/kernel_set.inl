// The kernels of every type of key, written once and compiled for each instruction set.
#include "tree.inl"

namespace acumen::ACUMEN_ISA {
namespace {

template <class T>
constexpr RangeKernels kernels_of() {
  RangeKernels kernels{};
  kernels.width = sizeof(Ordered<T>);
  kernels.order = order<T>;
  kernels.past_last = past_last<T>;
  kernels.look = look<T>;
  kernels.by_search = by_search<T>;
  kernels.by_merge = by_merge<T>;
  kernels.ascend = ascend<T>;
  kernels.keep_found = keep_found<T>;
  kernels.found = found<T>;
  if constexpr (!std::is_floating_point_v<T>) {
    kernels.by_values = by_values<T>;
    kernels.fill_values = fill_values<T>;
  }
  if constexpr (sizeof(T) >= 4) {
    kernels.by_cells = by_cells<T>;
    kernels.rank_by_cells = rank_by_cells<T>;
    kernels.by_tree = by_tree<T>;
    kernels.fit_spread = fit_spread<T>;
    kernels.plan_cells = plan_cells<T>;
    kernels.fill_cells = fill_cells<T>;
    kernels.fill_tree = fill_tree<T>;
  }
  return kernels;
}

constexpr RangeKernels kRangeKernels[kKeyTypes] = {
    kernels_of<std::uint8_t>(),  kernels_of<std::int8_t>(),   kernels_of<std::uint16_t>(),
    kernels_of<std::int16_t>(),  kernels_of<std::uint32_t>(), kernels_of<std::int32_t>(),
    kernels_of<float>(),         kernels_of<std::uint64_t>(), kernels_of<std::int64_t>(),
    kernels_of<double>(),
};

}  // namespace
}  // namespace acumen::ACUMEN_ISA
