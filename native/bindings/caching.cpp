// Cache simulators: a trace in, misses out. The GIL is free while they run.
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "acumen/caching/cache_simulator.hpp"
#include "bindings.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace acumen::bindings {

namespace {

using Keys = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Checks the arguments. A cache with room for every request is as large as one can ever be, and
// simulators allocate by capacity: what is beyond is cut off.
std::span<const std::uint64_t> view(const Keys& keys, std::uint32_t& capacity) {
  if (capacity == 0) throw nb::value_error("capacity must be at least 1");
  // Times are counted in 32 bits, and the largest of them stands for "never".
  if (keys.size() >= UINT32_MAX) throw nb::value_error("at most 2**32 - 2 requests");
  capacity = std::min(capacity, std::max(static_cast<std::uint32_t>(keys.size()), 1U));
  return {keys.data(), keys.size()};
}

nb::tuple simulate_learned(const Keys& keys, std::uint32_t capacity, std::uint64_t seed,
                           float metadata_bytes) {
  const auto requests = view(keys, capacity);
  if (!(metadata_bytes >= 0 && metadata_bytes <= 65536)) {
    throw nb::value_error("metadata_bytes must be between 0 and 65536");
  }
  caching::EvictionOptions options;
  options.metadata_bytes_per_object = metadata_bytes;
  caching::Simulation run;
  {
    nb::gil_scoped_release free;
    run = caching::simulate_learned(requests, capacity, seed, options);
  }
  return nb::make_tuple(run.misses, run.metadata_bytes);
}

std::uint64_t simulate_lru(const Keys& keys, std::uint32_t capacity) {
  const auto requests = view(keys, capacity);
  nb::gil_scoped_release free;
  return caching::simulate_lru(requests, capacity);
}

std::uint64_t simulate_fifo(const Keys& keys, std::uint32_t capacity) {
  const auto requests = view(keys, capacity);
  nb::gil_scoped_release free;
  return caching::simulate_fifo(requests, capacity);
}

std::uint64_t simulate_belady(const Keys& keys, std::uint32_t capacity, bool bypass) {
  const auto requests = view(keys, capacity);
  nb::gil_scoped_release free;
  return caching::simulate_belady(requests, capacity, bypass);
}

}  // namespace

void bind_caching(nb::module_& m) {
  m.def("simulate_learned", &simulate_learned, "keys"_a.noconvert(), "capacity"_a, nb::kw_only(),
        "seed"_a = 0, "metadata_bytes"_a = 64,
        "Misses of the learned policy over the requests (uint64, one dimension) from an empty\n"
        "cache of `capacity` objects, and the bytes of metadata that it ends with; it\n"
        "aims at `metadata_bytes` an object, ghosts included.");
  m.def("simulate_lru", &simulate_lru, "keys"_a.noconvert(), "capacity"_a,
        "Misses of least recently used.");
  m.def("simulate_fifo", &simulate_fifo, "keys"_a.noconvert(), "capacity"_a,
        "Misses of first in, first out.");
  m.def("simulate_belady", &simulate_belady, "keys"_a.noconvert(), "capacity"_a, nb::kw_only(),
        "bypass"_a = false,
        "Misses of the optimum, which knows the future; with `bypass` it need not admit.");
}

}  // namespace acumen::bindings
