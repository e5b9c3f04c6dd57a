// Texts from arbitrary bytes: all are inside whatever the scorer's weights say; then the tables and
// their shapes are altered, and what validate() lets through must be safe to ask.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "acumen/index/binary_fuse_build.hpp"
#include "acumen/index/partitioned_filter.hpp"
#include "fuzz_input.hpp"
#include "program.hpp"

namespace fuzz_membership {

using namespace acumen::membership;

namespace {

struct Texts {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::uint8_t> data;

  explicit Texts(acumen::Input& in) {
    const std::uint32_t count = in.below(40);
    for (std::uint32_t i = 0; i < count; ++i) {
      for (std::uint32_t left = in.below(24); left > 0; --left) data.push_back(in.byte());
      offsets.push_back(static_cast<std::int64_t>(data.size()));
    }
    data.reserve(1);  // so that data() is no null pointer
  }
  TextKeys keys() const { return {offsets.data(), data.data(), offsets.size() - 1}; }
};

void ask_everything(const PartitionedFilter& filter, const TextKeys& keys, bool must_be_inside) {
  bool inside[64];
  contains_range(filter, keys, nullptr, 0, keys.count, inside);
  for (std::size_t i = 0; i < keys.count; ++i)
    if (must_be_inside && !(inside[i] && filter.contains(keys.view(i), keys.hash(i)))) std::abort();
}

}  // namespace

FUZZ_TARGET(fuzz_membership, data, size) {
  acumen::Input in(data, size);
  const PieceShape shape{6 + in.below(3), 2 * (1 + in.below(255))};
  std::vector<std::int8_t> weights(shape.buckets());
  for (auto& weight : weights) weight = static_cast<std::int8_t>(in.byte());
  const Texts texts(in);
  const TextKeys keys = texts.keys();
  if (!validate(keys, texts.data.size())) std::abort();

  PartitionedFilter filter;
  filter.scorer = {shape, weights.data()};
  filter.thresholds = {static_cast<double>(in.value() * 64), 0.0};
  if (!(filter.thresholds[0] <= 0.0)) filter.thresholds[0] = 0.0;
  std::vector<std::uint64_t> of_region[3], all;
  for (std::size_t i = 0; i < keys.count; ++i) {
    const double score = filter.score_of(keys.view(i));
    of_region[(score >= filter.thresholds[0]) + (score >= 0.0)].push_back(keys.hash(i));
    all.push_back(keys.hash(i));
  }
  const double rates[] = {0.9, 0.3, 0.01, 1e-6, 1.0};
  FuseTable tables[4];
  for (int t = 0; t < 4; ++t) {
    const auto& members = t < 3 ? of_region[t] : all;
    FuseBuilder builder(members.data(), members.size(), in.byte());
    if (!builder.build(rates[in.below(5)], in.below(8), tables[t])) std::abort();
    if (!validate(tables[t].shape, tables[t].bytes.size())) std::abort();
  }
  filter.front = tables[3].view();
  for (int t = 0; t < 3; ++t) filter.regions.push_back(tables[t].view());
  if (!validate(filter)) std::abort();
  ask_everything(filter, keys, true);

  for (FuseView* view : {&filter.front, &filter.regions[0], &filter.regions[2]}) {
    FuseShape& s = view->shape;
    std::uint64_t* const fields[] = {&s.seed,     &s.arity, &s.segment_bits,
                                     &s.segments, &s.width, &s.cut};
    for (std::uint32_t changes = in.below(4); changes > 0; --changes)
      *fields[in.below(6)] = in.below(2) ? in.byte() : ~std::uint64_t{0} >> in.below(64);
  }
  if (!validate(filter.front.shape, tables[3].bytes.size())) filter.front = {};
  for (int t = 0; t < 3; ++t)
    if (!validate(filter.regions[t].shape, tables[t].bytes.size())) filter.regions[t] = {};
  ask_everything(filter, keys, false);
  return 0;
}

}  // namespace fuzz_membership
