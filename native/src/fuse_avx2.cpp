// Compiled with -mavx2 -mbmi2 where the target is x86-64; elsewhere the same as the portable set.
#define ACUMEN_ISA isa_avx2
#include "fuse_blocks.inl"

namespace acumen::membership {

const FuseBlocks* avx2_fuse_blocks() {
  return ACUMEN_ISA::kBlocks;
}

}  // namespace acumen::membership
