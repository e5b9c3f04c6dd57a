// The simulator of one step: plans as arrays, evaluated without the GIL, one thread at a time.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "acumen/placement/simulator.hpp"
#include "bindings.hpp"
#include "state_arrays.hpp"

namespace nb = nanobind;

namespace acumen::bindings {
namespace {

using namespace nb::literals;
using namespace acumen::placement;

template <class T>
using Array = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Table = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Priority = std::optional<Array<std::int32_t>>;

template <class A>
auto span_of(const A& array) {
  return std::span(array.data(), array.size());
}

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

StepGraph checked(const StepGraph& graph) {
  require(validate(graph), "the graph and the cluster do not fit together");
  return graph;
}

/// Threads that share one take turns.
class StepSimulatorCore {
 public:
  StepSimulatorCore(const Table<double>& seconds, const Array<std::int64_t>& resident_bytes,
                    const Array<std::int32_t>& producer, const Array<std::int64_t>& size_bytes,
                    const Array<std::int64_t>& start, const Array<std::int32_t>& consumers,
                    const Array<double>& copy_seconds, const Array<std::int32_t>& kind,
                    const Array<double>& latency_seconds, const Array<double>& bytes_per_second,
                    const Table<std::int16_t>& route, bool contention)
      : simulator_(checked({span_of(seconds), span_of(resident_bytes), span_of(producer),
                            span_of(size_bytes), span_of(start), span_of(consumers),
                            span_of(copy_seconds), span_of(kind), span_of(latency_seconds),
                            span_of(bytes_per_second), span_of(route)}),
                   contention) {}

  void seconds_of(const Table<std::int32_t>& devices, const Priority& priority,
                  const Out<double>& out) {
    require(devices.shape(1) == simulator_.operators(), "devices has one column an operator");
    require(out.shape(0) == devices.shape(0), "out has one value a plan");
    const auto first = checked_priority(priority);
    const std::size_t n = simulator_.operators();
    const nb::gil_scoped_release others_may_run;
    const std::lock_guard one_at_a_time(mutex_);
    for (std::size_t i = 0; i < devices.shape(0); ++i)
      check_places(std::span(devices.data() + i * n, n));
    for (std::size_t i = 0; i < devices.shape(0); ++i)
      out.data()[i] = simulator_.seconds(std::span(devices.data() + i * n, n), first);
  }

  double simulate(const Array<std::int32_t>& device, const Priority& priority,
                  const Out<double>& busy_seconds, const Out<std::int64_t>& peak_bytes) {
    require(device.shape(0) == simulator_.operators(), "device has one value an operator");
    require(busy_seconds.shape(0) == simulator_.devices(), "busy_seconds has one value a device");
    require(peak_bytes.shape(0) == simulator_.devices(), "peak_bytes has one value a device");
    const auto first = checked_priority(priority);
    const nb::gil_scoped_release others_may_run;
    const std::lock_guard one_at_a_time(mutex_);
    check_places(span_of(device));
    const double seconds = simulator_.simulate(span_of(device), first);
    std::ranges::copy(simulator_.busy_seconds(), busy_seconds.data());
    std::ranges::copy(simulator_.peak_bytes(), peak_bytes.data());
    return seconds;
  }

  /// Fills starts and ends; the copies' tensors, sources, destinations, starts and ends, in no
  /// order.
  auto timeline(const Array<std::int32_t>& device, const Priority& priority,
                const Out<double>& starts, const Out<double>& ends) {
    const std::size_t n = simulator_.operators();
    require(device.shape(0) == n, "device has one value an operator");
    require(starts.shape(0) == n && ends.shape(0) == n, "starts and ends have one an operator");
    const auto first = checked_priority(priority);
    std::vector<std::int32_t> tensor, from, to;
    std::vector<double> copy_start, copy_end;
    {
      const nb::gil_scoped_release others_may_run;
      const std::lock_guard one_at_a_time(mutex_);
      check_places(span_of(device));
      simulator_.timeline(span_of(device), first);
      std::ranges::copy(simulator_.starts(), starts.data());
      std::ranges::copy(simulator_.ends(), ends.data());
      for (std::size_t i = 0; i < simulator_.copies(); ++i) {
        const CopyRun copy = simulator_.copy_run(i);
        tensor.push_back(static_cast<std::int32_t>(copy.tensor));
        from.push_back(static_cast<std::int32_t>(copy.from));
        to.push_back(static_cast<std::int32_t>(copy.to));
        copy_start.push_back(copy.start);
        copy_end.push_back(copy.end);
      }
    }
    return std::make_tuple(column(std::move(tensor)), column(std::move(from)),
                           column(std::move(to)), column(std::move(copy_start)),
                           column(std::move(copy_end)));
  }

 private:
  std::span<const std::int32_t> checked_priority(const Priority& priority) const {
    if (!priority) return {};
    require(priority->shape(0) == simulator_.operators(), "priority has one value an operator");
    return span_of(*priority);
  }

  void check_places(std::span<const std::int32_t> device) const {
    require(simulator_.misplaced(device) == kNowhere, "a device does not exist");
  }

  StepSimulator simulator_;
  std::mutex mutex_;
};

}  // namespace

void bind_placement(nb::module_& m) {
  nb::class_<StepSimulatorCore>(m, "StepSimulatorCore")
      .def(nb::init<const Table<double>&, const Array<std::int64_t>&, const Array<std::int32_t>&,
                    const Array<std::int64_t>&, const Array<std::int64_t>&,
                    const Array<std::int32_t>&, const Array<double>&, const Array<std::int32_t>&,
                    const Array<double>&, const Array<double>&, const Table<std::int16_t>&, bool>(),
           "seconds"_a, "resident_bytes"_a, "producer"_a, "size_bytes"_a, "start"_a, "consumers"_a,
           "copy_seconds"_a, "kind"_a, "latency_seconds"_a, "bytes_per_second"_a, "route"_a,
           "contention"_a)
      .def("seconds_of", &StepSimulatorCore::seconds_of, "devices"_a, "priority"_a.none(), "out"_a)
      .def("simulate", &StepSimulatorCore::simulate, "device"_a, "priority"_a.none(),
           "busy_seconds"_a, "peak_bytes"_a)
      .def("timeline", &StepSimulatorCore::timeline, "device"_a, "priority"_a.none(), "starts"_a,
           "ends"_a);
}

}  // namespace acumen::bindings
