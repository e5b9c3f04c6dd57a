// Binary fuse filter: construction.
//
// Idea       Each key is entered in its 3 or 4 slots. A slot with one key alone is that key's own:
// it
//            is set so that the key's fingerprint comes out, whatever the others hold, so the key
//            is taken away, which leaves others alone. If nothing remains, the slots are filled in
//            reverse order. Where segments are many and short the process begins at the table's
//            ends and eats its way in, and needs hardly more slots than keys.
//            Keys are first scattered by the upper bits of their hashes, so that the counters of
//            neighbours are in the cache; a pass for each seed, and keys that are there twice
//            (which can never be alone) are looked for only after a failure. How small a table
//            still succeeds is a matter of luck for few keys: where a try costs little, smaller and
//            smaller tables are tried, with both arities and several lengths of segments, and the
//            smallest that came out is kept.
// Guarantee  build() answers only with a table that holds every key, and ends: each try is one
// pass,
//            and there is a limit on their number. About 50 bytes a key are needed meanwhile.
// Paper      As binary_fuse.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "acumen/index/binary_fuse.hpp"

namespace acumen::membership {

struct FuseTable {
  FuseShape shape;
  std::vector<std::uint8_t> bytes;

  FuseView view() const { return {shape, bytes.data()}; }
};

/// Widths such that an absent key is inside with probability `rate`.
inline void set_rate(FuseShape& shape, double rate) {
  const double bits = std::clamp(-std::log2(rate), 0.0, static_cast<double>(kWidthMax));
  shape.width = static_cast<std::uint64_t>(bits);
  const double wider = 2.0 * (1.0 - rate * std::exp2(static_cast<double>(shape.width)));
  shape.cut = 0;
  if (wider <= 1e-9 || shape.width == kWidthMax) return;
  // The last slot of a key is spread evenly over all segments but the first arity - 1.
  const double places = static_cast<double>(shape.segments << shape.segment_bits);
  const auto before = static_cast<std::uint64_t>(std::ceil(std::min(wider, 1.0) * places));
  shape.cut = std::min(((shape.arity - 1) << shape.segment_bits) + before, shape.slots());
}

/// The probability that a key that was not entered is inside.
inline double rate_of(const FuseShape& shape) {
  if (!shape.is_table()) return shape.arity == 0 ? 1.0 : 0.0;
  const std::uint64_t skipped = (shape.arity - 1) << shape.segment_bits;
  const double places = static_cast<double>(shape.segments << shape.segment_bits);
  const double wider =
      shape.cut > skipped ? static_cast<double>(shape.cut - skipped) / places : 0.0;
  return std::exp2(-static_cast<double>(shape.width)) * (1.0 - wider / 2.0);
}

/// A shape of about `factor` slots a key.
inline FuseShape shape_for(std::uint64_t n, std::uint64_t arity, std::uint64_t segment_bits,
                           double factor) {
  FuseShape shape;
  shape.arity = arity;
  shape.segment_bits = segment_bits;
  const double wanted = std::ceil(factor * static_cast<double>(n) / std::exp2(segment_bits));
  const double first = wanted - static_cast<double>(arity) + 1.0;
  shape.segments = static_cast<std::uint64_t>(std::max(first, 1.0));
  return shape;
}

/// The lengths and sizes with which the paper's authors found that construction succeeds.
inline FuseShape usual_shape(std::uint64_t n, std::uint64_t arity) {
  const double keys = static_cast<double>(std::max<std::uint64_t>(n, 2)), log = std::log(keys);
  const double length = arity == 3 ? log / std::log(3.33) + 2.25 : log / std::log(2.91) - 0.5;
  const double factor = arity == 3 ? std::max(1.125, 0.875 + 0.25 * std::log(1e6) / log)
                                   : std::max(1.075, 0.77 + 0.305 * std::log(6e5) / log);
  const auto bits = static_cast<std::uint64_t>(std::clamp(length, 1.0, 18.0));
  return shape_for(n, arity, bits, factor);
}

class FuseBuilder {
 public:
  /// Hashes of keys, of which some may be there twice.
  FuseBuilder(const std::uint64_t* keys, std::size_t n, std::uint64_t seed)
      : keys_(keys, keys + n), seed_(seed) {}

  /// The smallest table that `tries` tries beyond the necessary ones find; false: out of luck, with
  /// a probability that is no concern.
  bool build(double rate, std::size_t tries, FuseTable& out) {
    out = {};
    if (rate >= 1.0) return true;
    out.shape.arity = 1;
    if (keys_.empty()) return true;
    FuseShape usual = usual_shape(keys_.size(), 4);
    if (const FuseShape three = usual_shape(keys_.size(), 3); three.slots() < usual.slots())
      usual = three;
    set_rate(usual, rate);
    if (!succeeds(usual, 1)) {
      drop_copies();
      usual = usual_shape(keys_.size(), usual.arity);
      set_rate(usual, rate);
      if (!succeeds(usual, 64)) return false;
    }
    out.shape = usual;
    tighten(rate, tries, out.shape);
    // The winner once more, if a later try has overwritten its order.
    if (ordered_ != out.shape.seed && !peel(out.shape)) return false;
    out.bytes.assign(out.shape.table_bytes(), 0);
    out.shape.arity == 3 ? fill<3>(out) : fill<4>(out);
    return true;
  }

  std::size_t size() const { return keys_.size(); }

 private:
  struct Slot {
    std::uint64_t sum;    // the XOR of its keys' hashes
    std::uint32_t count;  // its keys · 4, and below that the XOR of which slot of theirs this is
  };

  struct Order {
    std::vector<std::uint64_t> hash;
    std::vector<std::uint8_t> own;  // which of its slots
  };

  /// Tries smaller tables while there are tries left.
  void tighten(double rate, std::size_t tries, FuseShape& best) {
    for (const std::uint64_t arity : {4, 3}) {
      const auto usual = static_cast<std::int64_t>(usual_shape(keys_.size(), arity).segment_bits);
      for (const std::int64_t step : {0, -1, 1, -2}) {
        const std::int64_t bits = usual + step;
        if (bits < 1 || bits > static_cast<std::int64_t>(kSegmentBitsMax)) continue;
        // No table of this arity succeeds with fewer slots a key: the thresholds of the paper.
        const FuseShape least = shape_for(keys_.size(), arity, static_cast<std::uint64_t>(bits),
                                          arity == 3 ? 1.09 : 1.024);
        narrow(least, rate, tries, best);
      }
    }
  }

  /// Bisects the number of segments, from `least` to what is as large as the best so far.
  void narrow(const FuseShape& least, double rate, std::size_t& tries, FuseShape& best) {
    const auto with = [&](std::uint64_t segments) {
      FuseShape shape = least;
      shape.segments = segments;
      set_rate(shape, rate);
      return shape;
    };
    std::uint64_t low = least.segments, high = low;
    while (with(high).table_bytes() < best.table_bytes())
      high += std::max<std::uint64_t>(1, high / 8);
    while (high > low && with(high - 1).table_bytes() >= best.table_bytes()) --high;
    // [low, high): sizes that would be better.
    while (low < high && tries > 0) {
      const std::uint64_t middle = low + (high - low) / 2;
      FuseShape shape = with(middle);
      const std::size_t share = std::min<std::size_t>(tries, 4);
      tries -= share;
      if (succeeds(shape, share)) {
        best = shape;
        high = middle;
      } else {
        low = middle + 1;
      }
    }
  }

  /// Draws up to `tries` seeds for this shape, and keeps the one that worked.
  bool succeeds(FuseShape& shape, std::size_t tries) {
    for (std::size_t i = 0; i < tries; ++i) {
      shape.seed = mixed(seed_ += kOdd3);
      ordered_ = shape.seed;
      if (peel(shape)) return true;
    }
    return false;
  }

  void drop_copies() {
    std::sort(keys_.begin(), keys_.end());
    keys_.erase(std::unique(keys_.begin(), keys_.end()), keys_.end());
  }

  bool peel(const FuseShape& shape) { return shape.arity == 3 ? peel<3>(shape) : peel<4>(shape); }

  /// Hashes under this seed, roughly in the order of their slots.
  void scatter(const FuseShape& shape) {
    constexpr std::size_t kKeysPerBlock = 4096;
    hashes_.resize(keys_.size());
    const int bits = std::min(10, static_cast<int>(std::bit_width(keys_.size() / kKeysPerBlock)));
    if (bits == 0) {
      for (std::size_t i = 0; i < keys_.size(); ++i) hashes_[i] = mixed(keys_[i] + shape.seed);
      return;
    }
    std::vector<std::size_t> start((std::size_t{1} << bits) + 1, 0);
    for (const std::uint64_t key : keys_) ++start[(mixed(key + shape.seed) >> (64 - bits)) + 1];
    for (std::size_t i = 1; i < start.size(); ++i) start[i] += start[i - 1];
    for (const std::uint64_t key : keys_) {
      const std::uint64_t hash = mixed(key + shape.seed);
      hashes_[start[hash >> (64 - bits)]++] = hash;
    }
  }

  template <int kArity>
  void enter(const FuseShape& shape) {
    for (const std::uint64_t hash : hashes_) {
      const FuseProbe<kArity> probe = probe_at<kArity>(shape, hash);
      for (int i = 0; i < kArity; ++i) {
        Slot& slot = slots_[probe.slot[i]];
        slot.count = (slot.count + 4) ^ static_cast<std::uint32_t>(i);
        slot.sum ^= hash;
      }
    }
  }

  /// Whether every key gets a slot of its own; if so, order_ says in which order, and which one.
  template <int kArity>
  bool peel(const FuseShape& shape) {
    const std::uint64_t slots = shape.slots();
    scatter(shape);
    slots_.assign(slots, {});
    order_.hash.resize(hashes_.size());
    order_.own.resize(hashes_.size());
    alone_.resize(slots + 4);  // a slot comes to have one key at most once
    enter<kArity>(shape);
    constexpr std::uint64_t kAtOnce = 1024;
    std::size_t taken = 0;
    for (std::uint64_t begin = 0; begin < slots; begin += kAtOnce) {
      // In a queue, not on a stack: one key after the other need not wait for the one before.
      std::size_t waiting = 0;
      for (std::uint64_t slot = begin; slot < std::min(begin + kAtOnce, slots); ++slot) {
        alone_[waiting] = static_cast<std::uint32_t>(slot);
        waiting += slots_[slot].count >> 2 == 1 ? 1 : 0;
      }
      for (std::size_t next = 0; next < waiting; ++next) {
        const Slot slot = slots_[alone_[next]];
        // Its last key may have been taken for another slot of that key meanwhile.
        if (slot.count >> 2 != 1) continue;
        order_.hash[taken] = slot.sum;
        order_.own[taken++] = static_cast<std::uint8_t>(slot.count & 3);
        waiting = take<kArity>(shape, slot.sum, waiting);
      }
    }
    return taken == hashes_.size();
  }

  /// Removes a key from its slots, and puts those that have one key left into the queue.
  template <int kArity>
  std::size_t take(const FuseShape& shape, std::uint64_t hash, std::size_t waiting) {
    const FuseProbe<kArity> probe = probe_at<kArity>(shape, hash);
    for (int i = 0; i < kArity; ++i) {
      Slot& slot = slots_[probe.slot[i]];
      slot.count = (slot.count - 4) ^ static_cast<std::uint32_t>(i);
      slot.sum ^= hash;
      // Without a branch, which would be guessed wrong every third time.
      alone_[waiting] = static_cast<std::uint32_t>(probe.slot[i]);
      waiting += slot.count >> 2 == 1 ? 1 : 0;
    }
    return waiting;
  }

  template <int kArity>
  void fill(FuseTable& out) const {
    const FuseShape& shape = out.shape;
    for (std::size_t at = order_.hash.size(); at-- > 0;) {
      const FuseProbe<kArity> probe = probe_at<kArity>(shape, order_.hash[at]);
      const std::uint64_t slot = probe.slot[order_.own[at]];
      // The slot itself is still zero.
      std::uint64_t value = probe.hash;
      for (int i = 0; i < kArity; ++i)
        if (i != order_.own[at]) value ^= read_slot(shape, out.bytes.data(), probe.slot[i]);
      value &= mask_of<kArity>(shape, probe);
      const std::uint64_t bit = bit_of(shape, slot);
      std::uint8_t* word = out.bytes.data() + (bit >> 3);
      store64(word, load64(word) | value << (bit & 7));
    }
  }

  std::vector<std::uint64_t> keys_;
  std::uint64_t seed_, ordered_ = 0;  // ordered_: the seed that order_ is of
  std::vector<std::uint64_t> hashes_;
  std::vector<std::uint32_t> alone_;
  std::vector<Slot> slots_;
  Order order_;
};

}  // namespace acumen::membership
