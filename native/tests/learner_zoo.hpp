// Every native learner once, for tests that hold for all of them. They are compiled once, too, in
// learner_zoo.cpp: under sanitizers that takes longer than most of the tests do.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "acumen/learner.hpp"

namespace acumen {

struct LearnerKind {
  std::string name;
  std::function<std::unique_ptr<Learner>(LearnerShape, double half_life)> make;
};

std::vector<LearnerKind> learner_zoo();

/// Copies the state of a learner or an engine into one buffer, or back.
class StateBuffer final : public StateVisitor {
 public:
  void array(std::string_view, float* v, std::size_t n) override { pass(v, n); }
  void array(std::string_view, double* v, std::size_t n) override { pass(v, n); }
  void array(std::string_view, std::uint64_t* v, std::size_t n) override { pass(v, n); }

  template <class Owner>
  void save(Owner& owner) {
    bytes_.clear();
    loading_ = false;
    owner.visit(*this);
  }
  void load(Learner& learner) { learner.visit(rewind()); }
  /// To be handed to whatever overwrites a state: reads the buffer from its beginning.
  StateBuffer& rewind() {
    position_ = 0;
    loading_ = true;
    return *this;
  }
  std::vector<unsigned char>& bytes() { return bytes_; }

 private:
  template <class T>
  void pass(T* values, std::size_t count) {
    const std::size_t size = count * sizeof(T);
    auto* raw = reinterpret_cast<unsigned char*>(values);
    if (loading_) {
      std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(position_), size, raw);
      position_ += size;
    } else {
      bytes_.insert(bytes_.end(), raw, raw + size);
    }
  }
  std::vector<unsigned char> bytes_;
  std::size_t position_ = 0;
  bool loading_ = false;
};

}  // namespace acumen
