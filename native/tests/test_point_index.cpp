// The point index's structures against std::unordered_map, with both sets of kernels.
#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "acumen/aligned.hpp"
#include "acumen/index/point_lookup.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_point_index {

using namespace acumen;
using namespace acumen::index;

namespace {

using Words = std::vector<std::uint64_t>;

Words distinct(std::size_t n, std::uint64_t seed, std::uint64_t mask = ~0ULL) {
  Random random(seed);
  std::unordered_set<std::uint64_t> seen;
  Words words;
  while (words.size() < n) {
    const std::uint64_t word = random.next() & mask;
    if (seen.insert(word).second) words.push_back(word);
  }
  return words;
}

/// Answers of both kernels, in a batch and one by one, for keys, neighbours and strangers.
void agrees(const PointLookup& lookup, const Words& keys) {
  std::unordered_map<std::uint64_t, std::int64_t> right;
  for (std::size_t i = 0; i < keys.size(); ++i) right.emplace(keys[i], i);
  const std::uint64_t top = std::uint64_t{1} << 63;
  Words queries = keys;
  for (const std::uint64_t key : keys) {
    for (const std::uint64_t near : {key + 1, key - 1, key ^ top, ~key, key << 1}) {
      queries.push_back(near);
    }
  }
  for (const std::uint64_t edge : {0ULL, 1ULL, ~0ULL, 1ULL << 63}) queries.push_back(edge);
  std::vector<std::int64_t> out(queries.size());
  const WordColumn column{queries.data(), WordType::kU64};
  for (const bool portable : {false, true}) {
    const PointKernels& kernels = point_kernels(portable);
    for (const std::size_t n : {queries.size(), std::size_t{0}, std::size_t{5}, std::size_t{17}}) {
      const std::size_t count = std::min(n, queries.size());
      lookup.find(kernels, column, 0, count, out.data());
      for (std::size_t i = 0; i < count; ++i) {
        const auto found = right.find(queries[i]);
        EXPECT(out[i] == (found == right.end() ? -1 : found->second));
      }
    }
    for (const std::uint64_t query : queries) {
      const auto found = right.find(query);
      EXPECT(lookup.find_one(kernels, query) == (found == right.end() ? -1 : found->second));
    }
  }
}

PointLookup over(const Words& keys, PointKind kind) {
  PointLookup lookup;
  lookup.kind = kind;
  lookup.rows = keys.size();
  lookup.keys = {keys.data(), WordType::kU64};
  return lookup;
}

void hashed_tables_agree() {
  for (const std::size_t n : {0, 1, 2, 9, 100, 5000}) {
    const Words keys = distinct(n, n + 1);
    const std::size_t lines = n / 4 + 2;
    AlignedArray<WordLine> words(lines);
    PointLookup lookup = over(keys, PointKind::kWords);
    lookup.words = {words.data(), lines, 7};
    const BuildResult built = lookup.build(Duplicates::kRefuse);
    EXPECT(built.status == BuildResult::Status::kDone && built.keys == n);
    EXPECT(lookup.validate(lines, 0));
    agrees(lookup, keys);

    AlignedArray<TagLine> tags(lines);
    lookup = over(keys, PointKind::kTags);
    lookup.tags = {tags.data(), lines, 7};
    EXPECT(lookup.build(Duplicates::kRefuse).status == BuildResult::Status::kDone);
    EXPECT(lookup.validate(lines, 0));
    agrees(lookup, keys);
    if (n == 0) continue;
    tags[0].positions[3] = static_cast<std::uint32_t>(n + 1);  // a file that lies
    EXPECT(!lookup.validate(lines, 0));
    EXPECT(!lookup.validate(lines - 1, 0));
  }
}

void a_model_places_and_predicts() {
  Words keys = distinct(6000, 3, ~0ULL >> 3);
  std::sort(keys.begin(), keys.end());
  PointModel model{keys.front(), keys.back() - keys.front(), 1, nullptr};
  model.shift = shift_for_cells(model.span, 400);
  std::vector<std::uint32_t> ranks(model.cells() + 1);
  count_ranks(model, keys.data(), keys.size(), ranks.data());
  sum_ranks(model, ranks.data());
  model.ranks = ranks.data();
  EXPECT(model.validate(ranks.size(), keys.size()));

  PointLookup lookup = over(keys, PointKind::kRanks);
  lookup.model = model;
  EXPECT(lookup.validate(0, ranks.size()));
  agrees(lookup, keys);
  for (std::size_t skew = 1; skew < 9; ++skew) {  // keys at any place in their lines
    const Words some(keys.begin() + static_cast<std::ptrdiff_t>(skew), keys.end());
    const Words fewer(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(skew));
    lookup.keys.data = keys.data();
    EXPECT(lookup.find_one(point_kernels(), fewer.back()) == static_cast<std::int64_t>(skew - 1));
    EXPECT(lookup.find_one(point_kernels(), some.back()) == 5999);
  }

  const std::uint64_t lines = 1300;
  AlignedArray<WordLine> words(lines);
  lookup = over(keys, PointKind::kLearned);
  lookup.home = {model, (lines << 32) / keys.size()};
  lookup.words = {words.data(), lines, 9};
  EXPECT(lookup.build(Duplicates::kRefuse).status == BuildResult::Status::kDone);
  EXPECT(lookup.validate(lines, 0) == false);
  lookup.model = model;
  EXPECT(lookup.validate(lines, ranks.size()));
  agrees(lookup, keys);
  std::uint64_t before = 0;
  for (const std::uint64_t key : keys) {  // the model never falls
    const std::uint64_t rank = model.rank(key - model.origin);
    EXPECT(rank >= before && rank <= keys.size());
    before = rank;
  }
  std::vector<std::uint8_t> used(lines);
  const Crowd all = crowd_of(lookup.home, lookup.keys, keys.size(), lines, 1, used.data());
  EXPECT(all.seen == keys.size() && all.crowded_out > 0 && all.crowded_out < keys.size() / 2);
  std::fill(used.begin(), used.end(), 0);
  const Crowd some = crowd_of(lookup.home, lookup.keys, keys.size(), lines, 4, used.data());
  EXPECT(some.seen > keys.size() / 8 && some.seen < keys.size() / 2);
  std::swap(ranks[4], ranks[200]);
  EXPECT(!model.validate(ranks.size(), keys.size()));
  EXPECT(!model.validate(ranks.size() - 1, keys.size()));
}

void arithmetic_is_exact() {
  const std::uint64_t strides[] = {1,     3,         1ULL << 40, 60'000'000'000ULL,
                                   ~0ULL, ~0ULL - 6, 1ULL << 63};
  for (const std::uint64_t stride : strides) {
    const std::uint64_t count = stride == 1ULL << 63 ? 2 : 700;
    const Grid grid(12345, stride, count);
    EXPECT(grid.validate());
    Words keys;
    for (std::uint64_t i = 0; i < count; ++i) keys.push_back(12345 + i * stride);
    PointLookup lookup = over(keys, PointKind::kSequence);
    lookup.grid = grid;
    EXPECT(lookup.validate(0, 0));
    agrees(lookup, keys);

    Words some;  // with gaps, in order
    for (std::uint64_t i = 0; i < count; i += 1 + i % 3) some.push_back(keys[i]);
    AlignedArray<BitmapCell> cells((count + 63) / 64);
    lookup = over(some, PointKind::kBitmap);
    lookup.grid = grid;
    lookup.cells = cells.data();
    lookup.build(Duplicates::kRefuse);
    EXPECT(lookup.validate(cells.size(), 0));
    agrees(lookup, some);
    cells[0].bits ^= 2;
    EXPECT(!lookup.validate(cells.size(), 0));

    std::reverse(some.begin(), some.end());
    AlignedArray<std::uint32_t> table(count);
    lookup = over(some, PointKind::kDirect);
    lookup.grid = grid;
    lookup.direct = table.data();
    EXPECT(lookup.build(Duplicates::kRefuse).status == BuildResult::Status::kDone);
    EXPECT(lookup.validate(table.size(), 0));
    agrees(lookup, some);
    table[0] = static_cast<std::uint32_t>(some.size() + 1);
    EXPECT(!lookup.validate(table.size(), 0));
  }
  EXPECT(!Grid(0, 1ULL << 63, 3).validate());  // the third is the first again
  EXPECT(!Grid(0, 1, 0).validate());
}

void duplicates_are_met_wherever_they_are() {
  Random random(5);
  for (int round = 0; round < 40; ++round) {
    Words keys;
    for (int i = 0; i < 400; ++i) keys.push_back(random.below(200) * 0x9e3779b97f4a7c15ULL);
    std::unordered_map<std::uint64_t, std::int64_t> first, last;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      first.emplace(keys[i], i);
      last[keys[i]] = static_cast<std::int64_t>(i);
    }
    for (const auto duplicates : {Duplicates::kFirst, Duplicates::kLast, Duplicates::kRefuse}) {
      const std::size_t lines = first.size() / 4 + 3;
      AlignedArray<WordLine> words(lines);
      PointLookup lookup = over(keys, PointKind::kWords);
      lookup.words = {words.data(), lines, random.next()};
      const BuildResult built = lookup.build(duplicates);
      if (duplicates == Duplicates::kRefuse) {
        EXPECT(built.status == BuildResult::Status::kDuplicate);
        EXPECT(built.first < built.second && keys[built.first] == keys[built.second]);
        continue;
      }
      if (built.status == BuildResult::Status::kCrowded) continue;  // another seed would do
      EXPECT(built.keys == first.size());
      auto& right = duplicates == Duplicates::kFirst ? first : last;
      for (const std::uint64_t key : keys) {
        EXPECT(lookup.find_one(point_kernels(), key) == right[key]);
      }
      EXPECT(lookup.verify(point_kernels(), lookup.keys, 0, keys.size()) == keys.size());
    }
  }
}

void verify_notices_what_is_missing() {
  Words keys = distinct(1000, 8);
  AlignedArray<WordLine> words(300);
  PointLookup lookup = over(keys, PointKind::kWords);
  lookup.words = {words.data(), 300, 1};
  lookup.build(Duplicates::kRefuse);
  EXPECT(lookup.verify(point_kernels(), lookup.keys, 0, 1000) == 1000);
  keys[777] ^= 1;
  EXPECT(lookup.verify(point_kernels(), lookup.keys, 0, 1000) == 777);
  EXPECT(lookup.verify(point_kernels(), lookup.keys, 778, 222) == 1000);
}

void byte_hashes_spread() {
  // Strings that differ in one bit, or in their length only: no two alike, and every bit of the
  // hash is set in half of them.
  std::unordered_set<std::uint64_t> seen;
  std::size_t ones[64] = {}, count = 0;
  for (std::size_t size = 0; size <= 70; ++size) {
    for (std::size_t bit = 0; bit <= size * 8; ++bit) {
      std::string text(size, '\0');
      if (bit < size * 8) text[bit / 8] = static_cast<char>(1 << bit % 8);
      const std::uint64_t hash = hash_bytes(text.data(), size, 99);
      EXPECT(seen.insert(hash).second);
      for (int b = 0; b < 64; ++b) ones[b] += hash >> b & 1;
      ++count;
    }
  }
  for (const std::size_t set : ones) {
    EXPECT_NEAR(static_cast<double>(set) / static_cast<double>(count), 0.5, 0.02);
  }
}

void word_hashes_spread() {
  // Keys in rows, in multiples, in the upper bits: lines of 4 keys on average are filled as by
  // chance.
  const std::uint64_t lines = 5000;
  for (const std::uint64_t step :
       {1ULL, 7ULL, 1ULL << 20, 1ULL << 32, 1ULL << 45, 0x5555555555555ULL}) {
    std::vector<int> used(lines), second(lines);
    for (std::uint64_t i = 0; i < 4 * lines; ++i) {
      const std::uint64_t hash = hash_word(i * step, 0x5eed), home = scaled(hash, lines);
      const std::uint64_t other = second_line(hash, home, lines);
      EXPECT(home < lines && other < lines && other != home);
      ++used[home];
      ++second[other];
    }
    for (const std::vector<int>* counts : {&used, &second}) {
      double squares = 0;
      for (const int count : *counts) squares += (count - 4.0) * (count - 4.0);
      EXPECT(squares / static_cast<double>(lines) < 4.6);  // the variance of chance is 4
    }
  }
}

void strings_agree() {
  std::string data;
  std::vector<std::int32_t> offsets{0};
  std::vector<std::string> keys;
  for (int i = 0; i < 3000; ++i) {
    keys.push_back(std::string(static_cast<std::size_t>(i % 37), 'x') + std::to_string(i * i));
    data += keys.back();
    offsets.push_back(static_cast<std::int32_t>(data.size()));
  }
  const ByteColumn column{data.data(), offsets.data(), 4, false};
  EXPECT(column.validate(keys.size(), data.size()));
  EXPECT(!column.validate(keys.size(), data.size() - 1));
  AlignedArray<TagLine> tags(320);
  PointLookup lookup;
  lookup.kind = PointKind::kTags;
  lookup.bytes = true;
  lookup.rows = keys.size();
  lookup.byte_keys = column;
  lookup.tags = {tags.data(), 320, 3};
  EXPECT(lookup.build(Duplicates::kRefuse).status == BuildResult::Status::kDone);
  for (const bool portable : {false, true}) {
    EXPECT(lookup.verify(point_kernels(portable), column, 0, keys.size()) == keys.size());
  }
  for (const std::string& key : keys) {
    const std::string longer = key + "!";
    EXPECT(lookup.find_one(Bytes{longer.data(), longer.size()}) == -1);
  }
  std::swap(offsets[5], offsets[9]);
  EXPECT(!column.validate(keys.size(), data.size()));
  const ByteColumn fixed{"ab\0cd\0\0\0\0", nullptr, 3, true};
  EXPECT(fixed[0].size == 2 && fixed[1].size == 2 && fixed[2].size == 0);
  EXPECT(fixed.validate(3, 9) && !fixed.validate(4, 9));
}

void numbers_are_words() {
  const float floats[] = {-0.0f, 0.0f, -1.5f, 2.0f};
  const WordColumn column{floats, WordType::kF32};
  EXPECT(column[0] == column[1] && column[0] == word_of(0.0));
  EXPECT(column[2] < column[0] && column[0] < column[3]);
  const std::int8_t small[] = {-1, 5};
  const std::int64_t large[] = {-1, 5};
  EXPECT((WordColumn{small, WordType::kI8}[0] == WordColumn{large, WordType::kI64}[0]));
  const KeyShape shape = shape_of({large, WordType::kI64}, 2);
  EXPECT(shape.least == ~0ULL && shape.span == 6 && shape.stride == 6 && shape.sequence);
}

}  // namespace

PROGRAM(test_point_index) {
  hashed_tables_agree();
  a_model_places_and_predicts();
  arithmetic_is_exact();
  duplicates_are_met_wherever_they_are();
  verify_notices_what_is_missing();
  byte_hashes_spread();
  word_hashes_spread();
  strings_agree();
  numbers_are_words();
}

}  // namespace test_point_index
