// Graphs from arbitrary bytes: bounds of what can be have no fault, and lie between the longest
// chain and what one device needs for everything.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "acumen/placement/interval_bound.hpp"
#include "fuzz_input.hpp"
#include "placement_input.hpp"
#include "program.hpp"

namespace fuzz_interval_bound {

FUZZ_TARGET(fuzz_interval_bound, data, size) {
  acumen::Input in(data, size);
  const std::size_t n = in.below(14);
  const auto seconds = acumen::times(in, n, 0.0);
  const std::size_t edges = in.below(30);
  auto from = acumen::numbers<std::uint32_t>(in, edges, static_cast<std::uint32_t>(n) + 1);
  auto to = from;
  for (auto& end : to) end += 1 + in.below(3) - (in.below(32) == 0);
  if (in.below(8) != 0) {
    for (std::size_t e = 0; e < edges; ++e) {
      to[e] = std::min<std::uint32_t>(to[e], n > 0 ? static_cast<std::uint32_t>(n) - 1 : 0);
      from[e] = std::min(from[e], std::max(to[e], 1u) - 1);
    }
  }
  const auto copy = acumen::times(in, edges, 0.0);
  std::vector<double> ends;
  try {
    ends =
        acumen::placement::IntervalBound(seconds, from, to, copy, in.below(4), in.below(9)).ends();
  } catch (const std::invalid_argument&) {
    return 0;
  }
  const double all = std::accumulate(seconds.begin(), seconds.end(), 0.0) * (1 + 1e-9);
  std::vector<double> chain = seconds;
  for (std::size_t v = 0; v < n; ++v) {
    for (std::size_t e = 0; e < edges; ++e)
      if (to[e] == v) chain[v] = std::max(chain[v], chain[from[e]] + seconds[v]);
    if (!(ends[v] >= chain[v] * (1 - 1e-9) && ends[v] <= all)) std::abort();
  }
  return 0;
}

}  // namespace fuzz_interval_bound
