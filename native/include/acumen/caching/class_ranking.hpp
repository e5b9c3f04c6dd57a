// Class ranking: which class holds the member of the lowest index, without asking all of them.
//
// Idea.  Between two victims only a few classes change.  Each keeps the lowest index among its
// members and the time until which that holds; classes that have changed or whose time has come
// are due, and only these are asked again.  64 classes share a word of what is due, the soonest
// time among them and which of them is lowest, so that a victim costs a few words and a few
// classes.
//
// Guarantee.  lowest() is the first class with the lowest index, once refresh() has been called at
// that time.  Memory is fixed by reset(): 6 bytes a class and 16 for every 64.  Times may wrap.
//
// Layout.  By class: lowest_ int16, kEmpty where it has no member; until_ uint32.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace acumen::caching {

class ClassRanking {
 public:
  static constexpr std::int16_t kEmpty = INT16_MAX;      // above every index
  static constexpr std::uint32_t kLongAfter = 1u << 30;  // the farthest time ahead
  // With its share of a word, which may serve few.
  static constexpr std::size_t bytes_per_class() { return 8; }

  // All are due.
  void reset(std::uint32_t classes) {
    lowest_ = std::vector<std::int16_t>(classes, kEmpty);
    until_ = std::vector<std::uint32_t>(classes);
    words_ = std::vector<Word>((classes + 63) / 64);
    make_all_due();
  }
  std::size_t bytes() const {
    return lowest_.capacity() * 2 + until_.capacity() * 4 + words_.capacity() * sizeof(Word);
  }

  void make_due(std::uint32_t kind) { words_[kind / 64].due |= std::uint64_t{1} << kind % 64; }
  void make_all_due() {
    for (Word& word : words_) word.due = ~std::uint64_t{0};
  }
  bool is_due(std::uint32_t kind) const { return (words_[kind / 64].due >> kind % 64 & 1) != 0; }

  std::int16_t index(std::uint32_t kind) const { return lowest_[kind]; }

  // Asks rank(kind) -> Rank for every class that is due now.
  struct Rank {
    std::int16_t index;
    std::uint32_t until;
  };
  template <typename AskRank>
  void refresh(std::uint32_t now, AskRank&& rank) {
    for (std::uint32_t w = 0; w < words_.size(); ++w) {
      Word& word = words_[w];
      if (is_past(now, word.soonest)) find_due(w, now);
      if (word.due == 0) continue;
      for (std::uint64_t bits = std::exchange(word.due, 0); bits != 0; bits &= bits - 1) {
        const std::uint32_t kind = w * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
        if (kind >= lowest_.size()) break;
        const Rank answer = rank(kind);
        lowest_[kind] = answer.index;
        until_[kind] = answer.until;
        word.soonest = sooner(word.soonest, answer.until);
      }
      note_lowest(w);
    }
  }

  // The first class with the lowest index.
  std::uint32_t lowest() const {
    std::uint32_t choice = words_[0].lowest;
    for (const Word& word : words_)
      if (lowest_[word.lowest] < lowest_[choice]) choice = word.lowest;
    return choice;
  }

  // Whether no class that is not due should be.
  bool validate() const {
    for (std::uint32_t kind = 0; kind < lowest_.size(); ++kind)
      if (!is_due(kind) &&
          sooner(words_[kind / 64].soonest, until_[kind]) != words_[kind / 64].soonest)
        return false;
    return true;
  }

 private:
  struct Word {
    std::uint64_t due = 0;      // a bit a class
    std::uint32_t soonest = 0;  // no `until` of a class that is not due comes before
    std::uint16_t lowest = 0;   // the first class with the lowest index
  };

  static bool is_past(std::uint32_t now, std::uint32_t time) {
    return static_cast<std::int32_t>(now - time) >= 0;
  }
  static std::uint32_t sooner(std::uint32_t a, std::uint32_t b) {
    return static_cast<std::int32_t>(b - a) < 0 ? b : a;
  }
  void find_due(std::uint32_t w, std::uint32_t now) {
    const std::size_t end = std::min<std::size_t>(w * 64 + 64, until_.size());
    std::uint32_t soonest = now + kLongAfter;
    for (std::uint32_t kind = w * 64; kind < end; ++kind) {
      if (is_past(now, until_[kind]))
        make_due(kind);
      else
        soonest = sooner(soonest, until_[kind]);
    }
    words_[w].soonest = soonest;
  }
  // Written for the compiler to vectorise.
  void note_lowest(std::uint32_t w) {
    const std::int16_t* const first = &lowest_[w * 64];
    const auto count =
        static_cast<std::int16_t>(std::min<std::size_t>(lowest_.size() - w * 64, 64));
    std::int16_t lowest = kEmpty, at = 64;
    for (std::int16_t i = 0; i < count; ++i) lowest = std::min(lowest, first[i]);
    for (std::int16_t i = 0; i < count; ++i)
      at = std::min(at, first[i] == lowest ? i : std::int16_t{64});
    words_[w].lowest = static_cast<std::uint16_t>(w * 64 + static_cast<std::uint32_t>(at));
  }

  std::vector<std::int16_t> lowest_;
  std::vector<std::uint32_t> until_;
  std::vector<Word> words_;
};

}  // namespace acumen::caching
