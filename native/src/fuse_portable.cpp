#define ACUMEN_ISA isa_portable
#include "fuse_blocks.inl"

namespace acumen::membership {

const FuseBlocks* portable_fuse_blocks() {
  return ACUMEN_ISA::kBlocks;
}

}  // namespace acumen::membership
