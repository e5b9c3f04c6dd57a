// Pipelines from arbitrary bytes: what validate() lets through is searched and split without a
// fault, and what either says of its plan is what adding up plainly says.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "acumen/placement/dearest_set.hpp"
#include "acumen/placement/ideal_split.hpp"
#include "acumen/placement/load_search.hpp"
#include "fuzz_input.hpp"
#include "placement_input.hpp"
#include "program.hpp"

namespace fuzz_loads {

using namespace acumen::placement;
using Numbers = std::vector<std::uint32_t>;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// What rounding may add up to.
double slack(const LoadModel& model) {
  double sum = 0.0;
  for (const double value : model.seconds) sum += std::isfinite(value) ? value : 0.0;
  for (const double value : model.copy) sum += 2 * value;
  return 1e-6 * sum;
}

/// The load of a set of items, 1 for each in it, on a device.
double load_of(const LoadModel& model, std::size_t device, const Numbers& inside) {
  double sum = 0.0;
  for (std::size_t i = 0; i < model.items; ++i)
    if (inside[i]) sum += model.at(device, i);
  for (std::size_t t = 0; t < model.nets() && model.pays[device]; ++t) {
    std::size_t in = 0;
    for (std::uint32_t p = model.start[t]; p < model.start[t + 1]; ++p) in += inside[model.pins[p]];
    if (in > 0 && in < model.start[t + 1] - model.start[t]) sum += model.copy[t];
  }
  return sum;
}

double bytes_of(const LoadModel& model, const Numbers& inside) {
  double sum = 0.0;
  for (std::size_t i = 0; i < model.items; ++i) sum += inside[i] ? model.bytes[i] : 0.0;
  return sum;
}

Numbers members(const Numbers& part, std::uint32_t number) {
  Numbers inside(part.size());
  for (std::size_t i = 0; i < part.size(); ++i) inside[i] = part[i] == number;
  return inside;
}

void check_search(const LoadModel& model, Numbers device, acumen::Input& in) {
  LoadSearch search(model, device, in.byte());
  const double first = search.best_excess();
  for (int round = 0; round < 2; ++round) {
    search.run(1 + in.byte(), 0.1, 0.001);
    search.restart(in.below(2) ? search.best() : device);
  }
  double most = 0.0;
  for (std::uint32_t d = 0; d < model.devices; ++d) {
    const Numbers inside = members(search.best(), d);
    most = std::max(most, load_of(model, d, inside));
  }
  require(std::abs(most - search.best_load()) <= slack(model));
  require(search.best_excess() >= 0 && search.best_excess() <= first);
}

void check_split(const LoadModel& model, acumen::Input& in) {
  const auto count = numbers<std::uint32_t>(in, model.devices, 4);
  const auto range = static_cast<std::uint32_t>(model.items) + (in.below(16) == 0);
  Numbers from = numbers<std::uint32_t>(in, in.below(12), range), to = from;
  // Mostly forward, so that there are ideals.
  for (auto& end : to)
    end = std::min<std::uint32_t>(end + 1 + in.below(3), range - (in.below(8) != 0));
  try {
    const double bound = in.below(2) ? INFINITY : double(in.byte());
    IdealSplit split(model, count, from, to, bound, 200);
    while (split.step(7) == IdealSplit::State::kMore) {
    }
    if (!split.found()) return;
    const auto [part, kind] = split.plan();
    require(split.bound() < bound);
    for (std::size_t e = 0; e < from.size(); ++e) require(part[from[e]] <= part[to[e]]);
    for (std::uint32_t c = 0; c < model.devices; ++c)
      require(std::count(kind.begin(), kind.end(), c) <= count[c]);
    for (std::uint32_t p = 0; p < kind.size(); ++p) {
      const Numbers inside = members(part, p);
      require(load_of(model, kind[p], inside) <= split.bound() + slack(model));
      require(bytes_of(model, inside) <=
              model.limit[kind[p]] + 1e-6 * std::abs(bytes_of(model, inside)));
    }
  } catch (const std::invalid_argument&) {
  }
}

/// No set of all there are is dearer than what is said, and the one found is bearable.
void check_dearest(LoadModel model, acumen::Input& in) {
  model.devices = 1;
  model.seconds.resize(model.items);
  model.limit.resize(1);
  model.pays.resize(1);
  DearestSet pricing(model, 1 + in.below(8) * 50);
  if (!pricing.small()) return;
  const auto prices = times(in, model.items, 0.0);
  const double load = times(in, 1, 0.1)[0];
  double most = 0.0;
  try {
    most = pricing.search(prices, load, 0.1 * in.below(2), in.below(3) * 9);
  } catch (const std::invalid_argument&) {
    return;
  }
  double all = 0.0;
  for (const double price : prices) all += price;
  const auto bearable = [&](const Numbers& inside, double slack) {
    return load_of(model, 0, inside) <= load + slack &&
           bytes_of(model, inside) <= model.limit[0] + slack;
  };
  for (std::uint32_t number = 0; number < 1u << model.items; ++number) {
    Numbers inside(model.items);
    double price = 0.0;
    for (std::uint32_t i = 0; i < model.items; ++i) {
      inside[i] = number >> i & 1;
      price += inside[i] ? prices[i] : 0.0;
    }
    if (bearable(inside, -slack(model) - 1e-9 * load)) require(price <= most + 1e-9 * all);
  }
  const Numbers found(pricing.chosen().begin(), pricing.chosen().end());
  require(bearable(found, slack(model) + 1e-9 * load));
}

}  // namespace

FUZZ_TARGET(fuzz_loads, data, size) {
  acumen::Input in(data, size);
  LoadModel model;
  model.items = in.below(9);
  model.devices = in.below(4);
  model.seconds = times(in, model.items * model.devices, 0.0);
  if (!model.seconds.empty() && in.below(4) == 0) model.seconds[0] = INFINITY;
  model.bytes = numbers<double>(in, model.items, 5);
  model.limit = numbers<double>(in, model.devices, 40);
  model.pays = numbers<std::uint8_t>(in, model.devices, 2);
  const std::size_t nets = in.below(10);
  model.copy = times(in, nets, 0.0);
  model.start.push_back(0);
  for (std::size_t t = 0; t < nets; ++t) {
    std::uint32_t pin = in.below(4);
    for (std::uint32_t left = in.below(4); left > 0; --left, pin += 1 + in.below(3)) {
      if (pin < model.items || in.below(16) == 0) model.pins.push_back(pin);
    }
    model.start.push_back(static_cast<std::uint32_t>(model.pins.size()));
  }
  try {
    model.validate();
  } catch (const std::invalid_argument&) {
    return 0;
  }
  auto device = numbers<std::uint32_t>(in, model.items, static_cast<std::uint32_t>(model.devices));
  bool able = true;
  for (std::size_t i = 0; i < model.items; ++i)
    able = able && std::isfinite(model.at(device[i], i));
  if (able) check_search(model, device, in);
  check_split(model, in);
  check_dearest(model, in);
  return 0;
}

}  // namespace fuzz_loads
