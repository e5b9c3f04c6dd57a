// Binary fuse tables, the scorer and partitioned filters: every key is inside, absent keys pass at
// the rate that was asked for, and what does not fit together is refused.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "acumen/index/binary_fuse_build.hpp"
#include "acumen/index/ngram_training.hpp"
#include "acumen/index/partitioned_filter.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace acumen::membership {

const FuseBlocks* portable_fuse_blocks();
const FuseBlocks* avx2_fuse_blocks();
const FuseBlocks* avx512_fuse_blocks();

}  // namespace acumen::membership

namespace test_membership {

using namespace acumen::membership;

namespace {

std::vector<std::uint64_t> some_keys(std::size_t n) {
  std::vector<std::uint64_t> keys(n);
  for (std::size_t i = 0; i < n; ++i) keys[i] = i * 7 + 3;
  return keys;
}

FuseTable built(const std::vector<std::uint64_t>& keys, double rate, std::size_t tries) {
  FuseTable table;
  FuseBuilder builder(keys.data(), keys.size(), 42);
  EXPECT(builder.build(rate, tries, table));
  EXPECT(validate(table.shape, table.bytes.size()));
  EXPECT(table.bytes.size() == table.shape.table_bytes());
  return table;
}

double rate_among_absent(const FuseTable& table) {
  constexpr std::size_t kTrials = 200'000;
  std::vector<std::uint64_t> absent(kTrials);
  for (std::size_t i = 0; i < kTrials; ++i) absent[i] = mixed(i + 1'000'003);
  const auto inside = std::make_unique<bool[]>(kTrials);
  contains_many(table.view(), absent.data(), kTrials, inside.get());
  std::size_t passed = 0;
  for (std::size_t i = 0; i < kTrials; ++i) {
    EXPECT(inside[i] == table.view().contains(absent[i]));  // blocks and single look-ups agree
    passed += inside[i] ? 1 : 0;
  }
  return static_cast<double>(passed) / kTrials;
}

void every_key_is_inside_at_every_size_and_rate() {
  for (const std::size_t n : {1u, 2u, 3u, 10u, 33u, 100u, 1000u, 70'000u}) {
    const auto keys = some_keys(n);
    for (const double rate : {0.7, 0.1, 0.01, 1.0 / 256, 1e-5, 1e-9}) {
      const FuseTable table = built(keys, rate, n < 2000 ? 20 : 2);
      const auto inside = std::make_unique<bool[]>(n);
      contains_many(table.view(), keys.data(), n, inside.get());
      for (std::size_t i = 0; i < n; ++i) EXPECT(inside[i] && table.view().contains(keys[i]));
      // Five standard errors.
      EXPECT(rate_of(table.shape) <= rate * 1.0001);
      const double expected = rate_of(table.shape);
      EXPECT_NEAR(rate_among_absent(table), expected, 5.0 * std::sqrt(expected / 2e5) + 1e-5);
    }
  }
}

void all_instruction_sets_agree() {
  std::vector<const FuseBlocks*> sets{portable_fuse_blocks()};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
    sets.push_back(avx2_fuse_blocks());
  if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    sets.push_back(avx512_fuse_blocks());
#endif
  constexpr std::size_t kBlocks = 40;
  std::vector<std::uint64_t> asked = some_keys(kBlocks * kFuseBlock);
  for (std::size_t i = 0; i < asked.size(); i += 2) asked[i] = mixed(i);
  for (const double rate : {0.7, 0.01, 1e-9}) {
    const FuseTable four = built(some_keys(5000), rate, 0);
    FuseTable three = four;  // no keys are in it, but it answers
    three.shape.arity = 3;
    const FuseTable* const tables[] = {&four, &three};
    for (const FuseTable* table : tables) {
      for (const FuseBlocks* set : sets) {
        const auto inside = std::make_unique<bool[]>(asked.size());
        set[table->shape.arity - 3](table->view(), asked.data(), kBlocks, true, inside.get());
        for (std::size_t i = 0; i < asked.size(); ++i)
          EXPECT(inside[i] == table->view().contains(asked[i]));
      }
    }
  }
}

void fractional_bits_cost_what_they_are_worth() {
  const auto keys = some_keys(70'000);
  const double whole = static_cast<double>(built(keys, 1.0 / 128, 8).bytes.size());
  const double between = static_cast<double>(built(keys, 0.01, 8).bytes.size());
  const double fewer = static_cast<double>(built(keys, 1.0 / 64, 8).bytes.size());
  EXPECT(fewer < between && between < whole);
  // 6.72 bits between 6 and 7: within a percent of the line.
  EXPECT_NEAR((between - fewer) / (whole - fewer), 0.72, 0.03);
  EXPECT(whole * 8 / 70'000 < 7 * 1.13);
}

void copies_and_nothing_are_no_trouble() {
  std::vector<std::uint64_t> keys = some_keys(500);
  keys.insert(keys.end(), keys.begin(), keys.end());
  keys.insert(keys.end(), 5000, 17);
  FuseTable table;
  FuseBuilder builder(keys.data(), keys.size(), 1);
  EXPECT(builder.build(0.01, 10, table));
  EXPECT(builder.size() == 500);  // 17 is 2 · 7 + 3
  for (const std::uint64_t key : keys) EXPECT(table.view().contains(key));
  EXPECT(!built({}, 0.01, 10).view().contains(3));          // nothing is inside
  EXPECT(built(some_keys(5), 1.0, 10).view().contains(4));  // everything is
  EXPECT(built(some_keys(5), 1.0, 10).bytes.empty());
}

void shapes_that_do_not_fit_are_refused() {
  const FuseTable table = built(some_keys(1000), 0.01, 0);
  const auto refused = [&](auto&& change) {
    FuseShape shape = table.shape;
    change(shape);
    return !validate(shape, table.bytes.size());
  };
  EXPECT(refused([](FuseShape& s) { s.arity = 5; }));
  EXPECT(refused([](FuseShape& s) { s.arity = 2; }));
  EXPECT(refused([](FuseShape& s) { s.segment_bits = 64; }));
  EXPECT(refused([](FuseShape& s) { s.segments = 0; }));
  EXPECT(refused([](FuseShape& s) { s.segments = ~std::uint64_t{0}; }));
  EXPECT(refused([](FuseShape& s) { ++s.segments; }));
  EXPECT(refused([](FuseShape& s) { s.width = 32; }));
  EXPECT(refused([](FuseShape& s) { ++s.width; }));
  EXPECT(refused([](FuseShape& s) { s.cut = s.slots() + 1; }));
  EXPECT(!refused([](FuseShape& s) { s.seed = 5; }));
}

KeyView view_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void the_scorer_learns_what_tells_texts_apart() {
  std::vector<std::string> good, bad;
  for (int i = 0; i < 400; ++i) {
    good.push_back("shop/" + std::to_string(i * 37) + "/cart");
    bad.push_back("login/" + std::to_string(i * 37) + "/verify");
  }
  const PieceShape shape{9, 1u << 3};
  const auto weights = train(
      shape, {}, 300, [&](std::size_t i) { return view_of(bad[i]); }, 300,
      [&](std::size_t i) { return view_of(good[i]); });
  EXPECT(validate(shape, weights.size()));
  const NgramScorer scorer{shape, weights.data()};
  for (int i = 300; i < 400; ++i)
    EXPECT(scorer.score(view_of(bad[i])) > scorer.score(view_of(good[i])));
  // The least and the most that there can be, and no overflow.
  EXPECT(scorer.score(view_of("")) == scorer.score(view_of("")));
  const std::string longest(5000, 'x');
  EXPECT(std::abs(scorer.score(view_of(longest))) < 1 << 23);
  EXPECT(!validate(PieceShape{9, 1}, 512) && !validate(PieceShape{9, 8}, 511));
  EXPECT(!validate(PieceShape{40, 8}, std::uint64_t{1} << 40));
}

void the_root_is_exact() {
  for (std::uint64_t n = 1; n < 9000; ++n) {
    const auto r = static_cast<std::uint64_t>(inverse_root(n));
    EXPECT(r * r * n <= std::uint64_t{1} << 32 && (r + 1) * (r + 1) * n > std::uint64_t{1} << 32);
  }
}

void regions_hold_the_keys_of_their_scores() {
  const auto keys = some_keys(3000);
  std::vector<double> scores(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) scores[i] = static_cast<double>(i % 3);
  std::vector<std::uint64_t> low;
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (scores[i] < 1.0) low.push_back(keys[i]);
  const FuseTable front = built(keys, 0.5, 0), sharp = built(low, 0.001, 0);
  PartitionedFilter filter;
  filter.front = front.view();
  filter.thresholds = {1.0};
  filter.regions = {sharp.view(), FuseView{}};
  EXPECT(validate(filter));
  const IntegerKeys all{keys.data(), keys.size()};
  const auto inside = std::make_unique<bool[]>(keys.size());
  contains_range(filter, all, scores.data(), 5, keys.size(), inside.get());
  for (std::size_t i = 0; i + 5 < keys.size(); ++i) EXPECT(inside[i]);
  filter.thresholds = {2.0, 1.0};
  filter.regions.push_back(FuseView{});
  EXPECT(!validate(filter));
  filter.thresholds = {1.0, NAN};
  EXPECT(!validate(filter));
}

}  // namespace

PROGRAM(test_membership) {
  every_key_is_inside_at_every_size_and_rate();
  all_instruction_sets_agree();
  fractional_bits_cost_what_they_are_worth();
  copies_and_nothing_are_no_trouble();
  shapes_that_do_not_fit_are_refused();
  the_scorer_learns_what_tells_texts_apart();
  the_root_is_exact();
  regions_hold_the_keys_of_their_scores();
}

}  // namespace test_membership
