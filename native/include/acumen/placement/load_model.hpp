// What a device is busy for in a pipeline, as a weighted hypergraph whose parts are devices.
//
// Idea       Items (operators that stay together) are vertices, tensors are nets: whoever makes one
//            and whoever reads it are its pins. A net whose pins lie on several devices costs each
//            of these its copy time once: the maker sends it, the others read it. Hosts copy
//            nothing.
//
//              load[d] = sum of seconds[d][item on d] + (d pays) * sum of copy[net cut by d]
//
// Guarantee  `validate` refuses what would lead out of an array or add up to no number.
// Layout     seconds: devices x items, row by row. Nets and the nets of an item as offsets and
//            lists.
// Paper      Tarnawski, Phanishayee, Devanur, Mahajan, Nina Paravecino, "Efficient Algorithms for
//            Device Placement of DNN Graph Operators", NeurIPS 2020.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace acumen::placement {

/// What takes longer, or keeps more, is a mistake. Sums of 2^32 of these still have a place.
inline constexpr double kCostMax = 1e100;

struct LoadModel {
  std::size_t items = 0;
  std::size_t devices = 0;
  std::vector<double> seconds;       ///< devices x items; infinite where an item cannot run
  std::vector<double> bytes;         ///< what an item keeps where it runs
  std::vector<double> limit;         ///< bytes a device holds; infinite: no limit
  std::vector<std::uint8_t> pays;    ///< whether copies keep a device busy
  std::vector<std::uint32_t> start;  ///< net t has the pins `pins[start[t] .. start[t + 1])`
  std::vector<std::uint32_t> pins;   ///< items, each once a net
  std::vector<double> copy;          ///< seconds a copy of net t takes
  std::vector<std::uint32_t> item_start, item_nets;  ///< the nets that an item is a pin of

  std::size_t nets() const { return copy.size(); }
  double at(std::size_t device, std::size_t item) const { return seconds[device * items + item]; }

  /// Makes `item_start` and `item_nets`.
  /// Throws std::invalid_argument for what is described above as not allowed.
  void validate() {
    const auto require = [](bool holds, const char* message) {
      if (!holds) throw std::invalid_argument(message);
    };
    require(items > 0 && items < (1u << 31) && devices > 0 && devices < 32768,
            "there must be items, and 1 to 32,767 devices");
    require(seconds.size() == items * devices, "seconds has a row a device, a column an item");
    require(bytes.size() == items, "bytes has one value an item");
    require(limit.size() == devices && pays.size() == devices, "limit and pays: one a device");
    require(start.size() == copy.size() + 1 && start.front() == 0 && start.back() == pins.size(),
            "start spans the pins");
    const auto sane = [](double value) { return value >= 0 && value <= kCostMax; };
    for (const double value : seconds)
      require(sane(value) || value == INFINITY, "seconds are 0 to 1e100, or infinite");
    for (const double value : bytes) require(sane(value), "bytes are 0 to 1e100");
    for (const double value : limit) require(value >= 0, "limits are at least 0");
    for (const double value : copy) require(sane(value), "copies take 0 to 1e100 seconds");
    for (std::size_t t = 0; t < nets(); ++t) require(start[t] <= start[t + 1], "start ascends");
    for (const std::uint32_t item : pins) require(item < items, "a pin is no item");
    list_nets();
  }

 private:
  void list_nets() {
    item_start.assign(items + 1, 0);
    for (const std::uint32_t item : pins) ++item_start[item + 1];
    for (std::size_t i = 0; i < items; ++i) item_start[i + 1] += item_start[i];
    item_nets.resize(pins.size());
    std::vector<std::uint32_t> next(item_start.begin(), item_start.end() - 1);
    std::vector<std::uint32_t> last(items, UINT32_MAX);
    for (std::uint32_t t = 0; t < nets(); ++t) {
      for (std::uint32_t p = start[t]; p < start[t + 1]; ++p) {
        const std::uint32_t item = pins[p];
        if (last[item] == t) throw std::invalid_argument("an item is a net's pin twice");
        last[item] = t;
        item_nets[next[item]++] = t;
      }
    }
  }
};

}  // namespace acumen::placement
