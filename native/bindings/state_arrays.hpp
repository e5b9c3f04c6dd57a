// A structure's state as a dict of named NumPy arrays, and back.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "acumen/learner.hpp"

namespace acumen::bindings {

/// Copies every array that it is shown into `arrays`.
class StateReader final : public StateVisitor {
 public:
  nanobind::dict arrays;

  void array(std::string_view name, float* values, std::size_t n) override { add(name, values, n); }
  void array(std::string_view name, double* values, std::size_t n) override {
    add(name, values, n);
  }
  void array(std::string_view name, std::uint64_t* values, std::size_t n) override {
    add(name, values, n);
  }

 private:
  template <typename T>
  void add(std::string_view name, const T* values, std::size_t n) {
    T* copy = new T[n > 0 ? n : 1];
    std::copy_n(values, n, copy);
    const nanobind::capsule owner(copy, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    arrays[nanobind::str(name.data(), name.size())] =
        nanobind::cast(nanobind::ndarray<nanobind::numpy, T, nanobind::ndim<1>>(copy, {n}, owner));
  }
};

/// Overwrites every array that it is shown from `arrays`. With `check_only` it changes nothing and
/// finds out whether names, types and sizes fit: the first pass, so that a restore happens whole or
/// not at all.
class StateWriter final : public StateVisitor {
 public:
  StateWriter(nanobind::dict arrays, bool check_only) : arrays_(arrays), check_only_(check_only) {}

  void array(std::string_view name, float* values, std::size_t n) override {
    take(name, values, n);
  }
  void array(std::string_view name, double* values, std::size_t n) override {
    take(name, values, n);
  }
  void array(std::string_view name, std::uint64_t* values, std::size_t n) override {
    take(name, values, n);
  }

  /// Empty if everything fitted.
  const std::string& problem() const { return problem_; }

 private:
  template <typename T>
  void take(std::string_view name, T* values, std::size_t n) {
    using Array =
        nanobind::ndarray<const T, nanobind::numpy, nanobind::ndim<1>, nanobind::c_contig>;
    const nanobind::str key(name.data(), name.size());
    Array array;
    if (!arrays_.contains(key)) return complain(name, "is missing");
    if (!nanobind::try_cast<Array>(arrays_[key], array)) return complain(name, "has another type");
    if (array.shape(0) != n)
      return complain(
          name, "has " + std::to_string(array.shape(0)) + " values, not " + std::to_string(n));
    if (!check_only_) std::copy_n(array.data(), n, values);
  }

  void complain(std::string_view name, const std::string& what) {
    if (problem_.empty()) problem_ = "array '" + std::string(name) + "' " + what;
  }

  nanobind::dict arrays_;
  bool check_only_;
  std::string problem_;
};

}  // namespace acumen::bindings
