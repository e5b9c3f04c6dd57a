// Compiled with -mavx512f, dq and vl where the target is x86-64: it multiplies 64-bit lanes.
#define ACUMEN_ISA isa_avx512
#include "fuse_blocks.inl"

namespace acumen::membership {

const FuseBlocks* avx512_fuse_blocks() {
  return ACUMEN_ISA::kBlocks;
}

}  // namespace acumen::membership
