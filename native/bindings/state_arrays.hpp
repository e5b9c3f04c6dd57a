// A structure's state as named arrays, and as a dict of NumPy arrays.
//
// State is read and written under a lock; NumPy arrays are made and looked at under the GIL, where
// any Python code may run. So there are two steps, with plain vectors in between.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "acumen/learner.hpp"

namespace acumen::bindings {

using StateArray =
    std::variant<std::vector<float>, std::vector<double>, std::vector<std::uint64_t>>;
using StateArrays = std::vector<std::pair<std::string, StateArray>>;

/// Implements the visitor's three types through one template, `Self::take(name, values, count)`.
template <typename Self>
class TypedVisitor : public StateVisitor {
 public:
  void array(std::string_view name, float* values, std::size_t n) override {
    static_cast<Self*>(this)->take(name, values, n);
  }
  void array(std::string_view name, double* values, std::size_t n) override {
    static_cast<Self*>(this)->take(name, values, n);
  }
  void array(std::string_view name, std::uint64_t* values, std::size_t n) override {
    static_cast<Self*>(this)->take(name, values, n);
  }
};

/// Copies every array that it is shown.
class StateReader final : public TypedVisitor<StateReader> {
 public:
  StateArrays arrays;

  template <typename T>
  void take(std::string_view name, const T* values, std::size_t n) {
    arrays.emplace_back(std::string(name), std::vector<T>(values, values + n));
  }
};

/// Overwrites every array that it is shown. With `check_only` it changes nothing and finds out
/// whether names, types and sizes fit: the first pass, so that a restore happens whole or not at
/// all.
class StateWriter final : public TypedVisitor<StateWriter> {
 public:
  StateWriter(const StateArrays& arrays, bool check_only)
      : arrays_(arrays), check_only_(check_only) {}

  template <typename T>
  void take(std::string_view name, T* values, std::size_t n) {
    const auto found = std::find_if(arrays_.begin(), arrays_.end(),
                                    [&](const auto& item) { return item.first == name; });
    if (found == arrays_.end()) return complain(name, "is missing");
    const auto* array = std::get_if<std::vector<T>>(&found->second);
    if (!array) return complain(name, "has another type");
    if (array->size() != n) {
      return complain(name,
                      "has " + std::to_string(array->size()) + " values, not " + std::to_string(n));
    }
    used_ += 1;
    if (!check_only_) std::copy_n(array->data(), n, values);
  }

  /// Empty if everything fitted and nothing was left over.
  std::string problem() const {
    if (problem_.empty() && used_ < arrays_.size()) return "there are arrays of something else";
    return problem_;
  }

 private:
  void complain(std::string_view name, const std::string& what) {
    if (problem_.empty()) problem_ = "array '" + std::string(name) + "' " + what;
  }

  const StateArrays& arrays_;
  bool check_only_;
  std::size_t used_ = 0;
  std::string problem_;
};

/// A vector as a NumPy array that owns it.
template <typename T>
nanobind::ndarray<nanobind::numpy, T, nanobind::ndim<1>> to_numpy(std::vector<T> values) {
  auto* owned = new std::vector<T>(std::move(values));
  const nanobind::capsule owner(owned,
                                [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nanobind::ndarray<nanobind::numpy, T, nanobind::ndim<1>>(owned->data(), {owned->size()},
                                                                  owner);
}

inline nanobind::dict to_dict(StateArrays arrays) {
  nanobind::dict result;
  for (auto& [name, array] : arrays) {
    std::visit(
        [&](auto& values) { result[name.c_str()] = nanobind::cast(to_numpy(std::move(values))); },
        array);
  }
  return result;
}

/// Raises TypeError for anything but one-dimensional float32, float64 and uint64 arrays.
inline StateArrays from_dict(const nanobind::dict& dict) {
  StateArrays result;
  const auto add = [&]<typename T>(const std::string& name, nanobind::handle object, T) {
    using Array =
        nanobind::ndarray<const T, nanobind::numpy, nanobind::ndim<1>, nanobind::c_contig>;
    Array array;
    if (!nanobind::try_cast<Array>(object, array, false)) return false;
    result.emplace_back(name, std::vector<T>(array.data(), array.data() + array.size()));
    return true;
  };
  for (const auto& [key, value] : dict) {
    const std::string name = nanobind::str(key).c_str();
    if (!add(name, value, float{}) && !add(name, value, double{}) &&
        !add(name, value, std::uint64_t{}))
      throw nanobind::type_error(("array '" + name + "' is no float32, float64 or uint64").c_str());
  }
  return result;
}

}  // namespace acumen::bindings
