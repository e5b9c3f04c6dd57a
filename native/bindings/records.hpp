// The recent decisions as columns.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "choice_core.hpp"

namespace acumen::bindings {

/// What the ring holds, oldest first, of decisions with a sequence number above `after`. The lock
/// is held for a few of them at a time, so that choosing never waits for a reader.
nb::dict records(ChoiceCore& core, std::uint64_t after);

}  // namespace acumen::bindings
