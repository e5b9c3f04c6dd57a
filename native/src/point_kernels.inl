// Batches of look-ups, written once and compiled twice: the including file defines ACUMEN_ISA, the
// namespace, and ACUMEN_ISA_NAME, and is compiled for that instruction set.
#include "acumen/index/fetch_ahead.hpp"
#include "acumen/index/point_kernels.hpp"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace acumen::index::ACUMEN_ISA {
namespace {

using U32 = std::uint32_t;
using U64 = std::uint64_t;
using Size = std::size_t;

constexpr Size kAhead = 64;  // look-ups whose lines are on their way; a power of two
constexpr Size kAside = 128;  // look-ups that wait for a second line

/// A number about which the compiler knows nothing. It would turn choices into branches, and what
/// random keys lead to cannot be predicted: every wrong guess costs as much as the rest.
template <class T>
ACUMEN_POINT_INLINE T opaque(T value) {
  __asm__("" : "+r"(value));
  return value;
}

/// `value` if `condition`, else 0.
ACUMEN_POINT_INLINE U64 only_if(bool condition, U64 value) {
  return value & (U64{0} - opaque(static_cast<U64>(condition)));
}

#ifdef __AVX2__
/// Bit s: slot s has this key.
ACUMEN_POINT_INLINE U32 matches(const WordLine& line, U64 key) {
  const __m256i wanted = _mm256_set1_epi64x(static_cast<long long>(key));
  const auto equal = [&](const U64* from) {
    const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return static_cast<U32>(
        _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(four, wanted))));
  };
  return equal(line.keys) | equal(line.keys + 1) << 1;
}

ACUMEN_POINT_INLINE U32 matches(const TagLine& line, std::uint8_t tag) {
  const __m128i all = _mm_load_si128(reinterpret_cast<const __m128i*>(line.tags));
  const __m128i equal = _mm_cmpeq_epi8(all, _mm_set1_epi8(static_cast<char>(tag)));
  return static_cast<U32>(_mm_movemask_epi8(equal)) & 0xfffu;
}

/// Bit i: keys[i] == key, of eight.
ACUMEN_POINT_INLINE U32 matches_of_eight(const U64* keys, U64 key) {
  const __m256i wanted = _mm256_set1_epi64x(static_cast<long long>(key));
  const auto equal = [&](const U64* from) {
    const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return static_cast<U32>(
        _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(four, wanted))));
  };
  return equal(keys) | equal(keys + 4) << 4;
}
#else
ACUMEN_POINT_INLINE U32 matches(const WordLine& line, U64 key) {
  U32 mask = 0;
  for (U32 s = 0; s < WordLine::kSlots; ++s) mask |= static_cast<U32>(line.keys[s] == key) << s;
  return mask;
}

ACUMEN_POINT_INLINE U32 matches(const TagLine& line, std::uint8_t tag) {
  U32 mask = 0;
  for (U32 s = 0; s < TagLine::kSlots; ++s) mask |= static_cast<U32>(line.tags[s] == tag) << s;
  return mask;
}

ACUMEN_POINT_INLINE U32 matches_of_eight(const U64* keys, U64 key) {
  U32 mask = 0;
  for (U32 i = 0; i < 8; ++i) mask |= static_cast<U32>(keys[i] == key) << i;
  return mask;
}
#endif

/// The stored position, plus 1, of the key; 0: not in this line. Free slots have the position 0,
/// and a key equal to what a free slot holds lies before it.
ACUMEN_POINT_INLINE U32 position_in(const WordLine& line, U64 key) {
  const U32 mask = opaque(matches(line, key));
  const U32 position = line.positions[__builtin_ctz(mask | 16u)];
  return static_cast<U32>(only_if(mask != 0, position));
}

ACUMEN_POINT_INLINE std::int64_t answer(U64 position) {
  return static_cast<std::int64_t>(position) - 1;
}

/// Calls ask(i) kAhead queries before look(i).
template <class Ask, class Look>
ACUMEN_POINT_INLINE void each_with_ahead(Size n, Ask ask, Look look) {
  const Size first = n < kAhead ? n : kAhead;
  for (Size i = 0; i < first; ++i) ask(i);
  Size i = 0;
  for (; i + kAhead < n; ++i) {
    look(i);
    ask(i + kAhead);
  }
  for (; i < n; ++i) look(i);
}

template <class Home>
ACUMEN_POINT_INLINE void find_words(const PointTable<WordLine>& table, const Home& home,
                                    const U64* queries, Size n, std::int64_t* out) {
  struct Ahead {
    U64 hash, line;
  } ring[kAhead];
  struct Aside {
    U64 query, hash, line;
  } aside[kAside];
  Size waiting = 0;
  const auto second = [&] {
    for (Size j = 0; j < waiting; ++j) {
      aside[j].line = table.second(aside[j].hash, aside[j].line);
      fetch_ahead(&table.lines[aside[j].line]);
    }
    for (Size j = 0; j < waiting; ++j) {
      const Size i = aside[j].query;
      out[i] = answer(position_in(table.lines[aside[j].line], queries[i]));
    }
    waiting = 0;
  };
  each_with_ahead(
      n,
      [&](Size i) {
        const U64 hash = hash_word(queries[i], table.seed);
        const U64 line = home(queries[i], hash, table.count);
        ring[i % kAhead] = {hash, line};
        fetch_ahead(&table.lines[line]);
      },
      [&](Size i) {
        const Ahead at = ring[i % kAhead];
        const WordLine& line = table.lines[at.line];
        const U32 position = position_in(line, queries[i]);
        out[i] = answer(position);
        const U32 full = (line.passed >> filter_bit(at.hash)) & 1u;
        aside[waiting] = {i, at.hash, at.line};
        waiting += opaque(only_if(position == 0, full));
        if (__builtin_expect(waiting == kAside, 0)) second();
      });
  second();
}

void random_words(const PointTable<WordLine>& table, const U64* queries, Size n,
                  std::int64_t* out) {
  find_words(table, RandomHome{}, queries, n, out);
}

void learned_words(const PointTable<WordLine>& table, const LearnedHome& home, const U64* queries,
                   Size n, std::int64_t* out) {
  find_words(table, home, queries, n, out);
}

constexpr Size kTagBlock = 2048;  // queries that are taken to their second lines together

/// What is known of a query on its way through the stages.
struct Tagged {
  U64 hash, line;
  U32 mask, position;
};

/// The first candidate's key has been fetched; others hardly ever exist.
template <class Column, class Query>
ACUMEN_POINT_INLINE U32 compare_candidates(const TagLine& line, U32 mask, const Column& keys,
                                           const Query& query) {
  for (; mask != 0; mask &= mask - 1) {
    const U32 position = line.positions[__builtin_ctz(mask)];
    if (position != 0 && keys[position - 1] == query) return position;
  }
  return 0;
}

/// Queries todo[0 … n - 1] in the home or the second lines; keeps those that must go on in todo.
template <bool kSecond, class Column>
ACUMEN_POINT_INLINE Size find_tags_once(const PointTable<TagLine>& table, const Column& keys,
                                        const Column& queries, Size first, std::uint16_t* todo,
                                        Size n, std::int64_t* out) {
  Tagged ring[4 * kAhead];
  Size left = 0;
  for (Size step = 0; step < n + 3 * kAhead; ++step) {
    if (step < n) {  // the line
      Tagged& at = ring[step % (4 * kAhead)];
      at.hash = hash_of(queries[first + todo[step]], table.seed);
      at.line = scaled(at.hash, table.count);
      if (kSecond) at.line = table.second(at.hash, at.line);
      fetch_ahead(&table.lines[at.line]);
    }
    if (step - kAhead < n) {  // where the candidate's key is
      Tagged& at = ring[(step - kAhead) % (4 * kAhead)];
      const TagLine& line = table.lines[at.line];
      at.mask = opaque(matches(line, tag_of(at.hash)));
      const U32 position = line.positions[__builtin_ctz(at.mask | 0x800u)];
      at.position = static_cast<U32>(only_if(at.mask != 0, position));
      keys.prefetch(only_if(at.position != 0, at.position - 1));
    }
    if (step - 2 * kAhead < n) {  // the candidate's key, if it lies elsewhere
      const Tagged& at = ring[(step - 2 * kAhead) % (4 * kAhead)];
      if (at.position != 0) keys.prefetch_target(at.position - 1);
    }
    if (step - 3 * kAhead < n) {
      const Size i = todo[step - 3 * kAhead];
      const Tagged& at = ring[(step - 3 * kAhead) % (4 * kAhead)];
      const TagLine& line = table.lines[at.line];
      const U32 position = compare_candidates(line, at.mask, keys, queries[first + i]);
      out[i] = answer(position);
      todo[left] = static_cast<std::uint16_t>(i);
      left += only_if(position == 0, (line.passed >> filter_bit(at.hash)) & 1u);
    }
  }
  return left;
}

template <class Column>
ACUMEN_POINT_INLINE void find_tags(const PointTable<TagLine>& table, const Column& keys,
                                   const Column& queries, Size first, Size n, std::int64_t* out) {
  std::uint16_t todo[kTagBlock];
  for (Size done = 0; done < n; done += kTagBlock) {
    const Size block = n - done < kTagBlock ? n - done : kTagBlock;
    for (Size i = 0; i < block; ++i) todo[i] = static_cast<std::uint16_t>(i);
    const Size left =
        find_tags_once<false>(table, keys, queries, first + done, todo, block, out + done);
    find_tags_once<true>(table, keys, queries, first + done, todo, left, out + done);
  }
}

void tagged_words(const PointTable<TagLine>& table, const WordColumn& keys,
                  const WordColumn& queries, Size first, Size n, std::int64_t* out) {
  find_tags(table, keys, queries, first, n, out);
}

void tagged_bytes(const PointTable<TagLine>& table, const ByteColumn& keys,
                  const ByteColumn& queries, Size first, Size n, std::int64_t* out) {
  find_tags(table, keys, queries, first, n, out);
}

void sequence(const Grid& grid, const U64* queries, Size n, std::int64_t* out) {
  for (Size i = 0; i < n; ++i) {
    const U64 at = grid.index(queries[i]);
    out[i] = at < grid.count ? static_cast<std::int64_t>(at) : -1;
  }
}

/// kPointAbsent, which is all ones, for what is no point of the grid.
ACUMEN_POINT_INLINE U64 inside(const Grid& grid, U64 at) {
  return at | (U64{0} - opaque(static_cast<U64>(at >= grid.count)));
}

void bitmap(const Grid& grid, const BitmapCell* cells, const U64* queries, Size n,
            std::int64_t* out) {
  U64 ring[kAhead];
  each_with_ahead(
      n,
      [&](Size i) {
        const U64 at = grid.index(queries[i]);
        ring[i % kAhead] = inside(grid, at);
        fetch_ahead(&cells[only_if(at < grid.count, at / 64)]);
      },
      [&](Size i) {
        const U64 at = ring[i % kAhead];
        const BitmapCell& cell = cells[only_if(at != kPointAbsent, at / 64)];
        const U64 bit = U64{1} << (at % 64);
        const auto before = static_cast<U64>(__builtin_popcountll(cell.bits & (bit - 1)));
        const U64 there = only_if(at != kPointAbsent, cell.bits >> (at % 64) & 1u);
        out[i] = answer(only_if(there != 0, cell.before + before + 1));
      });
}

void direct(const Grid& grid, const U32* table, const U64* queries, Size n, std::int64_t* out) {
  U64 ring[kAhead];
  each_with_ahead(
      n,
      [&](Size i) {
        const U64 at = grid.index(queries[i]);
        ring[i % kAhead] = inside(grid, at);
        fetch_ahead(&table[only_if(at < grid.count, at)]);
      },
      [&](Size i) {
        const U64 at = ring[i % kAhead];
        const U32 position = table[only_if(at != kPointAbsent, at)];
        out[i] = answer(only_if(at != kPointAbsent, position));
      });
}

/// Eight keys that fill a cache line, around the one at `guess`; false: some of them do not exist.
struct KeyLines {
  const U64* keys;
  Size rows, skew;

  KeyLines(const U64* keys_, Size rows_)
      : keys(keys_), rows(rows_), skew(reinterpret_cast<std::uintptr_t>(keys_) / 8 % 8) {}

  ACUMEN_POINT_INLINE bool around(U64 guess, U64& first) const {
    first = (guess + skew) / 8 * 8 - skew;
    return first + 8 <= rows && first <= guess;
  }
};

/// The position, looked for from `guess` on within [low, high).
ACUMEN_POINT_INLINE U64 search_from(const KeyLines& lines, const WordColumn& keys, U64 origin,
                                    U64 query, U64 guess, U64 low, U64 high) {
  for (int tries = 0; tries < 3; ++tries) {
    U64 first;
    if (!lines.around(guess, first)) break;
    const U32 mask = matches_of_eight(lines.keys + first, query);
    if (mask != 0) return first + static_cast<U64>(__builtin_ctz(mask));
    if (query - origin < lines.keys[first] - origin) {
      if (first <= low) return kPointAbsent;
      high = first;
      guess = first - 1;
    } else if (query - origin > lines.keys[first + 7] - origin) {
      if (first + 8 >= high) return kPointAbsent;
      low = first + 8;
      guess = first + 8;
    } else {
      return kPointAbsent;
    }
  }
  return search_between(keys, origin, query - origin, low, high);
}

void ranks(const PointModel& model, const WordColumn& keys, Size rows, const U64* queries, Size n,
           std::int64_t* out) {
  // Keys of other types are turned one by one: the same walk, with binary search only.
  const KeyLines lines(static_cast<const U64*>(keys.data), keys.is_words() ? rows : 0);
  U64 guesses[kAhead];
  const auto guess = [&](Size i) {
    const U64 offset = queries[i] - model.origin;
    guesses[i % kAhead] = offset <= model.span ? model.rank(offset) : kPointAbsent;
    const U64 at = guesses[i % kAhead] < rows ? guesses[i % kAhead] : 0;
    keys.prefetch(at);
  };
  for (Size step = 0; step < n + 2 * kAhead; ++step) {
    if (step >= 2 * kAhead) {
      const Size i = step - 2 * kAhead;
      const U64 at = guesses[i % kAhead];
      U64 found = kPointAbsent;
      if (at != kPointAbsent) {
        const U64 cell = (queries[i] - model.origin) >> model.shift;
        found = search_from(lines, keys, model.origin, queries[i], at, model.ranks[cell],
                            model.ranks[cell + 1]);
      }
      out[i] = static_cast<std::int64_t>(found);
    }
    if (step >= kAhead && step - kAhead < n) guess(step - kAhead);
    if (step < n) {
      const U64 offset = queries[step] - model.origin;
      const U64 cell = (offset <= model.span ? offset : 0) >> model.shift;
      fetch_ahead(&model.ranks[cell]);
    }
  }
}

}  // namespace

inline constexpr PointKernels kPointKernels{ACUMEN_ISA_NAME, random_words, learned_words,
                                            tagged_words,    tagged_bytes, sequence,
                                            bitmap,          direct,       ranks};

}  // namespace acumen::index::ACUMEN_ISA
