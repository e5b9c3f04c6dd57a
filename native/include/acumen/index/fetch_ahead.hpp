// Memory that is asked for some dozens of look-ups before it is read.
//
// Idea       What limits independent reads is how many lines a processor can have under way. Those
//            that come to the first-level cache are the fewest: asked for into the second-level
//            one, more travel at once (on AMD Zen 4 twice as many lines arrive in a time), and what
//            a batch reads from there a little later costs it next to nothing.
#pragma once

namespace acumen::index {

// Inlined always: kernels of several instruction sets share it (ordered.hpp says why).
[[gnu::always_inline]] inline void fetch_ahead(const void* line) {
  __builtin_prefetch(line, 0, 2);
}

}  // namespace acumen::index
