// The recent decisions as columns.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "choice_core.hpp"

namespace acumen::bindings {

/// What the ring holds, oldest first, of decisions with a `number` above `after`, in the process's
/// own count: from 1; what it has taken over from others has lower ones. The lock is held for a few
/// of them at a time, so that choosing never waits for a reader.
nb::dict records(ChoiceCore& core, std::int64_t after);

}  // namespace acumen::bindings
