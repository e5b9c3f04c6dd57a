// Life tables per class of objects, and the Gittins index that follows from them.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace acumen::caching {

struct EvictionTuning {
  float window = 64;  // ghosts older than this times C are dropped
  float ghosts_per_object = 10;
  float prior_hazard = 0.10f;
  float shrink = 32;           // pseudo objects of the parent
  float refit_interval = 0.5;  // times C
  float refit_min = 512;
  float forget = 1.0;  // factor at each refit
  float x0 = 0, x1 = 5, x2 = 1, x3 = 0, x4 = 0, x5 = 0;
};

class EvictionModel {
 public:
  static constexpr std::uint32_t kBins = 26;
  static constexpr std::uint32_t kGaps = 12;
  static constexpr std::uint32_t kRuns = 8;
  static constexpr std::uint32_t kSecond = 6;  // levels of the smoothed earlier gaps
  static constexpr std::uint32_t kLevels = 6;  // frequency 2 | 3-4 | 5-8 | 9-16 | 17-32 | 33+
  static constexpr std::uint32_t kTwice = kRuns;
  static constexpr std::uint32_t kFew = kTwice + kGaps;
  static constexpr std::uint32_t kClasses = kFew + (kLevels - 1) * kGaps * kSecond;

  void reset(std::uint32_t objects, const EvictionTuning& tuning) {
    tuning_ = tuning;
    scale_ = 32.0f / static_cast<float>(objects);
    gap_scale_ = 64.0f / static_cast<float>(objects);
    returned_.assign(kClasses * kBins, 0);
    ended_.assign(kClasses * kBins, 0);
    running_.assign(kClasses * kBins, 0);
    index_.assign(kClasses * kBins, 0);
    for (std::uint32_t b = 0; b <= kBins; ++b) start_[b] = bin_start(b) / scale_;
    fit();
  }

  // [0,1) -> 0; then half octaves
  static std::uint32_t bin_of(float scaled) {
    if (scaled < 1.0f) return 0;
    const std::uint32_t half = (std::bit_cast<std::uint32_t>(scaled) >> 22) - (127u << 1);
    return std::min(half + 1, kBins - 1);
  }
  static float bin_start(std::uint32_t bin) {
    if (bin == 0) return 0;
    return std::bit_cast<float>((bin - 1 + (127u << 1)) << 22);
  }
  std::uint32_t age_bin(std::uint32_t age) const {
    return bin_of(static_cast<float>(age) * scale_);
  }
  std::uint32_t gap_bin(std::uint32_t gap) const {
    const float scaled = static_cast<float>(gap) * gap_scale_;
    if (scaled < 1.0f) return 0;
    return std::min((std::bit_cast<std::uint32_t>(scaled) >> 23) - 127u + 1, kGaps - 1);
  }
  std::uint32_t newcomer(std::uint32_t run) const {
    return std::min<std::uint32_t>(static_cast<std::uint32_t>(std::bit_width(run)), kRuns) - 1;
  }

  std::uint32_t next(std::uint32_t kind, std::uint32_t gap, std::uint32_t coin) const {
    const std::uint32_t g = gap_bin(gap);
    if (kind < kTwice) return kTwice + g;
    if (kind < kFew) return many(1, g, static_cast<float>(kind - kTwice), coin);
    const std::uint32_t k = kind - kFew;
    std::uint32_t level = k / (kGaps * kSecond) + 1;
    const std::uint32_t before = k / kSecond % kGaps, second = k % kSecond;
    if (level < static_cast<std::uint32_t>(tuning_.x1) && (coin & ((1u << level) - 1)) == 0)
      ++level;
    const float old = (static_cast<float>(second) + 0.5f) * (float(kGaps) / kSecond) - 0.5f;
    return many(level, g, old + tuning_.x2 * (static_cast<float>(before) - old), coin);
  }
  static std::uint32_t many(std::uint32_t level, std::uint32_t g, float mean, std::uint32_t coin) {
    return kFew + (level - 1) * kGaps * kSecond + g * kSecond + quantise(mean, coin);
  }
  static std::uint32_t quantise(float mean, std::uint32_t coin) {
    const float level = (mean + 0.5f) * (float(kSecond) / kGaps) - 0.5f;
    const float noisy = level + static_cast<float>((coin >> 8) & 0xffff) / 65536.0f;
    return static_cast<std::uint32_t>(std::clamp(noisy, 0.0f, float(kSecond - 1)));
  }

  void learn_return(std::uint32_t kind, std::uint32_t age) {
    returned_[kind * kBins + age_bin(age)] += 1;
  }
  void learn_drop(std::uint32_t kind, std::uint32_t age) {
    ended_[kind * kBins + age_bin(age)] += 1;
  }
  void clear_running() { std::fill(running_.begin(), running_.end(), 0.0f); }
  void add_running(std::uint32_t kind, std::uint32_t age) {
    running_[kind * kBins + age_bin(age)] += 1;
  }

  float index(std::uint32_t kind, std::uint32_t age) const {
    return index_[kind * kBins + age_bin(age)];
  }

  void fit() {
    if (tuning_.forget < 1) {
      for (float& x : returned_) x *= tuning_.forget;
      for (float& x : ended_) x *= tuning_.forget;
    }
    using Row = std::array<float, kBins>;
    constexpr std::uint32_t kNodes = 2 + kLevels + kLevels * kGaps;
    std::vector<Row> risk(kClasses + kNodes), events(kClasses + kNodes), hazard(kClasses + kNodes);
    for (auto& r : risk) r.fill(0);
    for (auto& r : events) r.fill(0);
    for (std::uint32_t c = 0; c < kClasses; ++c) {
      float beyond = 0;
      for (std::uint32_t b = kBins; b-- > 0;) {
        const float e = returned_[c * kBins + b];
        const float d = ended_[c * kBins + b] + running_[c * kBins + b];
        events[c][b] = e;
        risk[c][b] = beyond + e + 0.5f * d;
        beyond += e + d;
      }
    }
    const std::uint32_t root = kClasses;
    for (std::uint32_t c = 0; c < kClasses; ++c) {
      const std::uint32_t p = parent(c);
      add(risk[p], risk[c]);
      add(events[p], events[c]);
    }
    for (std::uint32_t n = root + 2 + kLevels; n < kClasses + kNodes; ++n) {
      add(risk[parent(n)], risk[n]);
      add(events[parent(n)], events[n]);
    }
    for (std::uint32_t n = root + 1; n < root + 2 + kLevels; ++n) {
      add(risk[root], risk[n]);
      add(events[root], events[n]);
    }
    Row prior;
    prior.fill(tuning_.prior_hazard);
    blend(hazard[root], events[root], risk[root], prior);
    for (std::uint32_t n = root + 1; n < kClasses + kNodes; ++n)
      blend(hazard[n], events[n], risk[n], hazard[parent(n)]);
    for (std::uint32_t c = 0; c < kClasses; ++c) {
      blend(hazard[c], events[c], risk[c], hazard[parent(c)]);
      gittins(hazard[c], &index_[c * kBins]);
    }
  }
  std::size_t bytes() const {
    return (returned_.capacity() + ended_.capacity() + running_.capacity() + index_.capacity()) *
           sizeof(float);
  }

 private:
  template <class R>
  static void add(R& to, const R& from) {
    for (std::uint32_t b = 0; b < kBins; ++b) to[b] += from[b];
  }
  // root, new, level 0.., (level, gap)
  static std::uint32_t parent(std::uint32_t node) {
    const std::uint32_t root = kClasses;
    if (node >= root) {
      if (node < root + 2 + kLevels) return root;
      return root + 2 + (node - root - 2 - kLevels) / kGaps;
    }
    if (node < kTwice) return root + 1;
    if (node < kFew) return root + 2 + kLevels + (node - kTwice);
    return root + 2 + kLevels + kGaps + (node - kFew) / kSecond;
  }
  template <class R>
  void blend(R& out, const R& events, const R& risk, const R& prior) const {
    for (std::uint32_t b = 0; b < kBins; ++b)
      out[b] = (events[b] + tuning_.shrink * prior[b]) / (risk[b] + tuning_.shrink);
  }
  template <class R>
  void gittins(const R& hazard, float* out) const {
    for (std::uint32_t b = 0; b < kBins; ++b) {
      float alive = 1, gain = 0, held = 0, best = 0;
      for (std::uint32_t j = b; j < kBins; ++j) {
        const float width = start_[j + 1] - start_[j];
        gain += alive * hazard[j];
        held += alive * width * (1 - 0.5f * hazard[j]);
        alive *= 1 - hazard[j];
        best = std::max(best, gain / held);
      }
      out[b] = best;
    }
  }

  EvictionTuning tuning_;
  float scale_ = 1, gap_scale_ = 1;
  std::array<float, kBins + 1> start_{};
  std::vector<float> returned_, ended_, running_, index_;
};

}  // namespace acumen::caching
