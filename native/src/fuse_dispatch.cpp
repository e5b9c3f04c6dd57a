#include "acumen/index/binary_fuse.hpp"

namespace acumen::membership {

const FuseBlocks* portable_fuse_blocks();
const FuseBlocks* avx2_fuse_blocks();
const FuseBlocks* avx512_fuse_blocks();

namespace {

const FuseBlocks* best() {
#if defined(__x86_64__)
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl");
  if (has_avx2 && has_avx512) return avx512_fuse_blocks();
  if (has_avx2) return avx2_fuse_blocks();
#endif
  return portable_fuse_blocks();
}

}  // namespace

FuseBlocks fuse_blocks(std::uint64_t arity) {
  static const FuseBlocks* const chosen = best();
  return chosen[arity - 3];
}

}  // namespace acumen::membership
