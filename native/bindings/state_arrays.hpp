// A structure's state as named arrays, and as a dict of NumPy arrays.
//
// Between the two lies a copy, so that no Python object is touched while the engine's lock is
// held: making one may collect garbage, run a finalizer and ask for the same lock.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "acumen/learner.hpp"

namespace acumen::bindings {

/// One array; monostate: something that no state consists of.
using StateArray = std::variant<std::monostate, std::vector<float>, std::vector<double>,
                                std::vector<std::uint64_t>>;
using StateArrays = std::map<std::string, StateArray, std::less<>>;

/// Copies every array that it is shown.
class StateReader final : public StateVisitor {
 public:
  StateArrays arrays;

  void array(std::string_view name, float* v, std::size_t n) override { add(name, v, n); }
  void array(std::string_view name, double* v, std::size_t n) override { add(name, v, n); }
  void array(std::string_view name, std::uint64_t* v, std::size_t n) override { add(name, v, n); }

 private:
  template <typename T>
  void add(std::string_view name, const T* values, std::size_t n) {
    arrays[std::string(name)] = std::vector<T>(values, values + n);
  }
};

/// Overwrites every array that it is shown. With `check_only` it changes nothing and finds out
/// whether names, types and sizes fit: the first pass, so that a restore happens whole or not at
/// all.
class StateWriter final : public StateVisitor {
 public:
  StateWriter(const StateArrays& arrays, bool check_only)
      : arrays_(arrays), check_only_(check_only) {}

  void array(std::string_view name, float* v, std::size_t n) override { take(name, v, n); }
  void array(std::string_view name, double* v, std::size_t n) override { take(name, v, n); }
  void array(std::string_view name, std::uint64_t* v, std::size_t n) override { take(name, v, n); }

  /// Empty if everything fitted.
  const std::string& problem() const { return problem_; }

 private:
  template <typename T>
  void take(std::string_view name, T* values, std::size_t n) {
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) return complain(name, "is missing");
    const auto* array = std::get_if<std::vector<T>>(&found->second);
    if (!array) return complain(name, "has another type");
    if (array->size() != n)
      return complain(name,
                      "has " + std::to_string(array->size()) + " values, not " + std::to_string(n));
    if (!check_only_) std::copy_n(array->data(), n, values);
  }

  void complain(std::string_view name, const std::string& what) {
    if (problem_.empty()) problem_ = "array '" + std::string(name) + "' " + what;
  }

  const StateArrays& arrays_;
  bool check_only_;
  std::string problem_;
};

/// A NumPy array that owns `values`.
template <typename T>
nanobind::ndarray<nanobind::numpy, T, nanobind::ndim<1>> column(std::vector<T> values) {
  auto* owned = new std::vector<T>(std::move(values));
  const nanobind::capsule owner(owned,
                                [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return {owned->data(), {owned->size()}, owner};
}

using FloatMatrix = nanobind::ndarray<nanobind::numpy, float, nanobind::ndim<2>>;

/// The same with rows and columns; `values` lie row by row.
inline FloatMatrix matrix(std::vector<float> values, std::size_t rows, std::size_t columns) {
  auto* owned = new std::vector<float>(std::move(values));
  const nanobind::capsule owner(
      owned, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  return {owned->data(), {rows, columns}, owner};
}

inline nanobind::dict to_python(StateArrays arrays) {
  nanobind::dict result;
  for (auto& [name, array] : arrays) {
    std::visit(
        [&, key = nanobind::str(name.data(), name.size())](auto& values) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(values)>, std::monostate>)
            result[key] = nanobind::cast(column(std::move(values)));
        },
        array);
  }
  return result;
}

template <typename T>
bool read_array(nanobind::handle object, StateArray& out) {
  nanobind::ndarray<const T, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu> array;
  if (!nanobind::try_cast(object, array, false)) return false;
  out = std::vector<T>(array.data(), array.data() + array.shape(0));
  return true;
}

inline StateArrays from_python(const nanobind::dict& arrays) {
  StateArrays result;
  for (const auto& [name, object] : arrays) {
    StateArray& array = result[nanobind::cast<std::string>(name)];
    static_cast<void>(read_array<float>(object, array) || read_array<double>(object, array) ||
                      read_array<std::uint64_t>(object, array));
  }
  return result;
}

}  // namespace acumen::bindings
