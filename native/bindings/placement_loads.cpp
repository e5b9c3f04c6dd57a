// Binds load_search.hpp, ideal_split.hpp and dearest_set.hpp: what planners of a pipeline's largest
// load are made of, and their bounds.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "acumen/placement/dearest_set.hpp"
#include "acumen/placement/ideal_split.hpp"
#include "acumen/placement/load_search.hpp"
#include "bindings.hpp"
#include "columns.hpp"
#include "state_arrays.hpp"

namespace acumen::bindings {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using placement::DearestSet;
using placement::IdealSplit;
using placement::LoadModel;
using placement::LoadSearch;

using Table = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Indices = Column<std::uint32_t>;

/// (seconds, bytes, limit, pays, start, pins, copy), as load_model.hpp describes them.
LoadModel read_model(const nb::tuple& parts) {
  if (parts.size() != 7) throw std::invalid_argument("a model has seven parts");
  const auto seconds = nb::cast<Table>(parts[0]);
  LoadModel model;
  model.devices = seconds.shape(0);
  model.items = seconds.shape(1);
  model.seconds.assign(seconds.data(), seconds.data() + seconds.size());
  model.bytes = copied(nb::cast<Column<double>>(parts[1]));
  model.limit = copied(nb::cast<Column<double>>(parts[2]));
  model.pays = copied(nb::cast<Column<std::uint8_t>>(parts[3]));
  model.start = copied(nb::cast<Indices>(parts[4]));
  model.pins = copied(nb::cast<Indices>(parts[5]));
  model.copy = copied(nb::cast<Column<double>>(parts[6]));
  return model;
}

}  // namespace

void bind_placement_loads(nb::module_& m) {
  nb::class_<LoadSearch>(m, "LoadSearch", nb::is_final())
      .def(
          "__init__",
          [](LoadSearch* self, const nb::tuple& model, const Indices& device, std::uint64_t seed) {
            new (self) LoadSearch(read_model(model), copied(device), seed);
          },
          "model"_a, "device"_a, "seed"_a)
      .def(
          "restart", [](LoadSearch& self, const Indices& device) { self.restart(copied(device)); },
          "device"_a)
      .def("run", &LoadSearch::run, "tries"_a, "hot"_a, "cold"_a,
           nb::call_guard<nb::gil_scoped_release>())
      .def("best", [](const LoadSearch& self) { return column(std::vector(self.best())); })
      .def("loads", [](const LoadSearch& self) { return column(std::vector(self.loads())); })
      .def_prop_ro("best_load", &LoadSearch::best_load)
      .def_prop_ro("best_excess", &LoadSearch::best_excess);

  nb::class_<IdealSplit>(m, "IdealSplit", nb::is_final())
      .def(
          "__init__",
          [](IdealSplit* self, const nb::tuple& model, const Indices& count, const Indices& from,
             const Indices& to, double bound, std::size_t ideals_max) {
            new (self) IdealSplit(read_model(model), copied(count), copied(from), copied(to), bound,
                                  ideals_max);
          },
          "model"_a, "count"_a, "from_"_a, "to"_a, "bound"_a, "ideals_max"_a)
      .def(
          "step", [](IdealSplit& self, std::size_t pairs) { return int(self.step(pairs)); },
          "pairs"_a, nb::call_guard<nb::gil_scoped_release>())
      .def("plan",
           [](const IdealSplit& self) {
             auto [part, kind] = self.plan();
             return nb::make_tuple(column(std::move(part)), column(std::move(kind)));
           })
      .def_prop_ro("bound", &IdealSplit::bound)
      .def_prop_ro("found", &IdealSplit::found)
      .def_prop_ro("ideals", &IdealSplit::ideals);

  nb::class_<DearestSet>(m, "DearestSet", nb::is_final())
      .def(
          "__init__",
          [](DearestSet* self, const nb::tuple& model, std::size_t states_max) {
            new (self) DearestSet(read_model(model), states_max);
          },
          "model"_a, "states_max"_a)
      .def(
          "search",
          [](DearestSet& self, const Column<double>& prices, double load, double gap,
             std::size_t nodes_max) {
            const auto values = copied(prices);
            nb::gil_scoped_release free;
            return self.search(values, load, gap, nodes_max);
          },
          "prices"_a, "load"_a, "gap"_a, "nodes_max"_a)
      .def("chosen", [](const DearestSet& self) { return column(std::vector(self.chosen())); })
      .def_prop_ro("small", &DearestSet::small)
      .def_prop_ro("states", &DearestSet::states)
      .def_prop_ro("branchings", &DearestSet::branchings);
}

}  // namespace acumen::bindings
