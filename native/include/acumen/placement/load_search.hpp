// Local search for the plan whose busiest device is the least busy.
//
// Idea       Simulated annealing. An item, two items of different devices, or a few items that hang
//            together go to another device, mostly one where a neighbour is. Only what the touched
//            nets cost is worked out anew. Judged is not the largest load but the 16-norm of all:
//            close to it, yet it also sees when the second busiest device gets better.
// Guarantee  The best plan met is kept: less excess memory first, then a lower largest load. The
// same
//            seed and the same calls give the same plans.
// Paper      Kirkpatrick, Gelatt & Vecchi, "Optimization by simulated annealing", Science 1983.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "acumen/placement/load_model.hpp"
#include "acumen/random.hpp"

namespace acumen::placement {

class LoadSearch {
 public:
  /// Every item must be able to run on the device where it starts.
  LoadSearch(LoadModel model, std::vector<std::uint32_t> device, std::uint64_t seed)
      : model_(std::move(model)), random_(seed) {
    model_.validate();
    for (const double bytes : model_.bytes) all_bytes_ += bytes;
    restart(std::move(device));
    best_ = device_;
    best_load_ = largest();
    best_excess_ = excess();
  }

  /// Goes on from another plan; the best one is kept.
  void restart(std::vector<std::uint32_t> device) {
    if (device.size() != model_.items) throw std::invalid_argument("one device an item");
    for (std::size_t i = 0; i < device.size(); ++i) {
      if (device[i] >= model_.devices) throw std::invalid_argument("no such device");
      if (!std::isfinite(model_.at(device[i], i)))
        throw std::invalid_argument("an item cannot run where it is");
    }
    device_ = std::move(device);
    recount();
  }

  /// Tries so many changes while the temperature falls from `hot` to `cold`, in parts of the load.
  void run(std::size_t tries, double hot, double cold) {
    if (!(hot >= cold && cold > 0)) throw std::invalid_argument("hot >= cold > 0");
    recount();
    double energy = judge(), heat = hot * energy;
    const double cooling = std::pow(cold / hot, 1.0 / double(std::max<std::size_t>(tries, 1)));
    for (std::size_t k = 0; k < tries && model_.devices > 1; ++k, heat *= cooling) {
      undo_.clear();
      change();
      if (undo_.empty()) continue;
      const double then = judge();
      if (then <= energy || random_.uniform() < std::exp((energy - then) / heat)) {
        energy = then;
        keep_if_best();
      } else {
        while (!undo_.empty()) {
          move(undo_.back().first, undo_.back().second);
          undo_.pop_back();
        }
      }
      if (k % 4096 == 4095) {  // sums drift
        recount();
        energy = judge();
      }
    }
  }

  const std::vector<std::uint32_t>& best() const { return best_; }
  double best_load() const { return best_load_; }
  double best_excess() const { return best_excess_; }
  const std::vector<double>& loads() const { return load_; }

 private:
  static constexpr std::uint32_t kClusterMax = 24;

  std::uint32_t& count(std::uint32_t net, std::uint32_t device) {
    return count_[std::size_t(net) * model_.devices + device];
  }

  void recount() {
    count_.assign(model_.nets() * model_.devices, 0);
    spans_.assign(model_.nets(), 0);
    load_.assign(model_.devices, 0.0);
    held_.assign(model_.devices, 0.0);
    for (std::uint32_t i = 0; i < model_.items; ++i) {
      load_[device_[i]] += model_.at(device_[i], i);
      held_[device_[i]] += model_.bytes[i];
    }
    for (std::uint32_t t = 0; t < model_.nets(); ++t) {
      for (std::uint32_t p = model_.start[t]; p < model_.start[t + 1]; ++p)
        if (count(t, device_[model_.pins[p]])++ == 0) ++spans_[t];
      if (spans_[t] < 2) continue;
      for (std::uint32_t d = 0; d < model_.devices; ++d)
        if (count(t, d) > 0) pay(d, model_.copy[t]);
    }
  }

  void pay(std::uint32_t device, double seconds) {
    if (model_.pays[device]) load_[device] += seconds;
  }

  void move(std::uint32_t item, std::uint32_t to) {
    const std::uint32_t from = device_[item];
    device_[item] = to;
    load_[from] -= model_.at(from, item);
    load_[to] += model_.at(to, item);
    held_[from] -= model_.bytes[item];
    held_[to] += model_.bytes[item];
    for (std::uint32_t k = model_.item_start[item]; k < model_.item_start[item + 1]; ++k) {
      const std::uint32_t t = model_.item_nets[k];
      const double copy = model_.copy[t];
      const bool left = --count(t, from) == 0, joined = count(t, to)++ == 0;
      const bool was_cut = spans_[t] > 1;
      spans_[t] += std::uint32_t(joined) - std::uint32_t(left);
      const bool is_cut = spans_[t] > 1;
      // Who is not a pin any more pays no more; who stays pays if the net is cut.
      const bool from_pays = !left && is_cut, to_paid = !joined && was_cut;
      if (was_cut != from_pays) pay(from, was_cut ? -copy : copy);
      if (to_paid != is_cut) pay(to, to_paid ? -copy : copy);
    }
  }

  /// Moves an item if it may run there; it can be undone.
  void try_move(std::uint32_t item, std::uint32_t to) {
    if (device_[item] == to || !std::isfinite(model_.at(to, item))) return;
    undo_.push_back({item, device_[item]});
    move(item, to);
  }

  /// An item, of the busiest device more often than not.
  std::uint32_t some_item() {
    const auto n = std::uint32_t(model_.items);
    std::uint32_t item = random_.below(n);
    if (random_.below(2) == 0) return item;
    const auto busiest =
        std::uint32_t(std::max_element(load_.begin(), load_.end()) - load_.begin());
    for (int k = 0; k < 8 && device_[item] != busiest; ++k) item = random_.below(n);
    return item;
  }

  /// Another pin of one of its nets, or itself where it has none.
  std::uint32_t neighbour(std::uint32_t item) {
    const std::uint32_t nets = model_.item_start[item + 1] - model_.item_start[item];
    if (nets == 0) return item;
    const std::uint32_t t = model_.item_nets[model_.item_start[item] + random_.below(nets)];
    return model_.pins[model_.start[t] + random_.below(model_.start[t + 1] - model_.start[t])];
  }

  std::uint32_t where_to(std::uint32_t item) {
    if (random_.below(4) > 0) {
      for (int k = 0; k < 4; ++k) {
        const std::uint32_t device = device_[neighbour(item)];
        if (device != device_[item]) return device;
      }
    }
    return random_.below(std::uint32_t(model_.devices));
  }

  void change() {
    const std::uint32_t item = some_item(), kind = random_.below(4);
    if (kind == 0) {
      const std::uint32_t other = some_item(), from = device_[item], to = device_[other];
      try_move(item, to);
      if (!undo_.empty()) try_move(other, from);
    } else if (kind == 1) {
      move_cluster(item);
    } else {
      try_move(item, where_to(item));
    }
  }

  /// Moves what hangs together with an item on its device, up to a number drawn.
  void move_cluster(std::uint32_t item) {
    const std::uint32_t from = device_[item], size = 2 + random_.below(kClusterMax - 1);
    std::uint32_t to = where_to(item);
    cluster_.assign(1, item);
    for (std::uint32_t k = 0; k < 3 * size && cluster_.size() < size; ++k) {
      // The last one more often: chains are longer than they are wide.
      const auto at =
          random_.below(2) ? cluster_.size() - 1 : random_.below(std::uint32_t(cluster_.size()));
      const std::uint32_t next = neighbour(cluster_[at]);
      if (device_[next] != from) {
        if (random_.below(4) == 0) to = device_[next];
        continue;
      }
      if (std::find(cluster_.begin(), cluster_.end(), next) == cluster_.end())
        cluster_.push_back(next);
    }
    for (const std::uint32_t one : cluster_) try_move(one, to);
  }

  double largest() const { return *std::max_element(load_.begin(), load_.end()); }

  double excess() const {
    double sum = 0.0;
    for (std::size_t d = 0; d < model_.devices; ++d)
      sum += std::max(0.0, held_[d] - model_.limit[d]);
    return sum;
  }

  double judge() const {
    const double most = largest();
    if (most <= 0) return 0.0;
    double sum = 0.0;
    for (const double load : load_) {
      double x = load / most;
      for (int k = 0; k < 4; ++k) x *= x;
      sum += x;
    }
    for (int k = 0; k < 4; ++k) sum = std::sqrt(sum);
    const double over = excess();
    return most * sum * (over > 0 ? 1.1 + 10 * over / all_bytes_ : 1.0);
  }

  void keep_if_best() {
    const double load = largest();
    if (best_excess_ <= 0 && load >= best_load_ * (1 - 1e-9)) return;
    const double over = excess();
    if (std::pair(over, load) < std::pair(best_excess_, best_load_)) {
      best_ = device_;
      best_load_ = load;
      best_excess_ = over;
    }
  }

  LoadModel model_;
  Random random_;
  double all_bytes_ = 0.0;
  std::vector<std::uint32_t> device_, count_, spans_, cluster_;
  std::vector<double> load_, held_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> undo_;
  std::vector<std::uint32_t> best_;
  double best_load_ = 0.0, best_excess_ = 0.0;
};

}  // namespace acumen::placement
