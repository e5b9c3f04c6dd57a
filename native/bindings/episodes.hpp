// Episodes of a choice: taught when they end, and again when a journal is replayed.
#pragma once

#include "choice_core.hpp"

namespace acumen::bindings {

void bind_episodes(nb::class_<ChoiceCore>& core);

}  // namespace acumen::bindings
