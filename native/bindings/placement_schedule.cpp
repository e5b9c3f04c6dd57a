// Binds list_schedule.hpp and interval_bound.hpp.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "acumen/placement/interval_bound.hpp"
#include "acumen/placement/list_schedule.hpp"
#include "bindings.hpp"
#include "columns.hpp"

namespace acumen::bindings {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using placement::ListState;
using placement::ListTask;
template <typename T>
auto handed_over(std::vector<T> values) {
  auto* owned = new std::vector<T>(std::move(values));
  nb::capsule owner(owned, [](void* it) noexcept { delete static_cast<std::vector<T>*>(it); });
  return nb::ndarray<nb::numpy, T, nb::ndim<1>>(owned->data(), {owned->size()}, owner);
}

nb::tuple answer(const ListState& state) {
  return nb::make_tuple(handed_over(state.devices()), handed_over(state.starts()),
                        handed_over(state.ends()), handed_over(state.peaks()));
}

class ListScheduler {
 public:
  ListScheduler(const Column<double>& seconds, const Column<std::int32_t>& unit,
                const Column<std::int64_t>& unit_bytes, const Column<std::int32_t>& producer,
                const Column<std::int64_t>& size_bytes, const Column<std::int64_t>& start,
                const Column<std::int32_t>& consumers, const Column<double>& copy_seconds,
                const Column<double>& latency_seconds, const Column<double>& bytes_per_second,
                const Column<std::int16_t>& route, const Column<std::int64_t>& limit_bytes)
      : task_{copied(seconds),          copied(unit),         copied(unit_bytes),
              copied(producer),         copied(size_bytes),   copied(start),
              copied(consumers),        copied(copy_seconds), copied(latency_seconds),
              copied(bytes_per_second), copied(route),        copied(limit_bytes)} {
    if (!placement::validate(task_)) throw std::invalid_argument("no such task can be");
  }

  nb::tuple in_order(const Column<std::int32_t>& order, bool contention) const {
    const auto mine = checked(order);
    ListState state(task_, contention, true);
    {
      const nb::gil_scoped_release others_may_run;
      placement::in_order(state, mine);
    }
    return answer(state);
  }

  nb::tuple earliest_first(const Column<std::int32_t>& order, const Column<std::int32_t>& favourite,
                           bool contention) const {
    const auto mine = checked(order);
    const auto favourites = copied(favourite);
    const auto n = static_cast<std::int32_t>(task_.operators());
    if (!favourites.empty() && favourites.size() != task_.operators())
      throw std::invalid_argument("not one favourite an operator");
    for (const std::int32_t one : favourites)
      if (one < -1 || one >= n) throw std::invalid_argument("a favourite that does not exist");
    ListState state(task_, contention, false);
    {
      const nb::gil_scoped_release others_may_run;
      placement::EarliestFirst(state, mine, favourites).run();
    }
    return answer(state);
  }

  auto upward_ranks(const Column<std::int32_t>& order, const Column<double>& seconds,
                    const Column<double>& copies) const {
    if (seconds.shape(0) != task_.operators() || copies.shape(0) != task_.tensors())
      throw std::invalid_argument("not one time an operator and tensor");
    return handed_over(
        placement::upward_ranks(task_, checked(order), copied(seconds), copied(copies)));
  }

 private:
  std::vector<std::int32_t> checked(const Column<std::int32_t>& order) const {
    auto mine = copied(order);
    if (!placement::topological(task_, mine)) throw std::invalid_argument("no topological order");
    return mine;
  }

  ListTask task_;
};

}  // namespace

void bind_placement_schedule(nb::module_& m) {
  nb::class_<ListScheduler>(m, "ListScheduler")
      .def(nb::init<const Column<double>&, const Column<std::int32_t>&, const Column<std::int64_t>&,
                    const Column<std::int32_t>&, const Column<std::int64_t>&,
                    const Column<std::int64_t>&, const Column<std::int32_t>&, const Column<double>&,
                    const Column<double>&, const Column<double>&, const Column<std::int16_t>&,
                    const Column<std::int64_t>&>(),
           "seconds"_a.noconvert(), "unit"_a.noconvert(), "unit_bytes"_a.noconvert(),
           "producer"_a.noconvert(), "size_bytes"_a.noconvert(), "start"_a.noconvert(),
           "consumers"_a.noconvert(), "copy_seconds"_a.noconvert(), "latency_seconds"_a.noconvert(),
           "bytes_per_second"_a.noconvert(), "route"_a.noconvert(), "limit_bytes"_a.noconvert())
      .def("in_order", &ListScheduler::in_order, "order"_a.noconvert(), "contention"_a)
      .def("earliest_first", &ListScheduler::earliest_first, "order"_a.noconvert(),
           "favourite"_a.noconvert(), "contention"_a)
      .def("upward_ranks", &ListScheduler::upward_ranks, "order"_a.noconvert(),
           "seconds"_a.noconvert(), "copies"_a.noconvert());

  m.def(
      "earliest_ends",
      [](const Column<double>& seconds, const Column<std::uint32_t>& from,
         const Column<std::uint32_t>& to, const Column<double>& copy, std::size_t devices,
         std::size_t window) {
        auto times = copied(seconds), copies = copied(copy);
        const auto sources = copied(from), targets = copied(to);
        std::vector<double> ends;
        {
          const nb::gil_scoped_release others_may_run;
          ends =
              placement::IntervalBound(std::move(times), sources, targets, copies, devices, window)
                  .ends();
        }
        return handed_over(std::move(ends));
      },
      "seconds"_a, "from_"_a, "to"_a, "copy"_a, "devices"_a, "window"_a);
}

}  // namespace acumen::bindings
