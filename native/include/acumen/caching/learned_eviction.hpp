#pragma once
#include "acumen/caching/class_eviction.hpp"
namespace acumen::caching { using LearnedEviction = ClassEviction; }
