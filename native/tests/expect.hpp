// The two macros that the native tests need; a failed expectation ends the program with code 1.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>

/// How often something is done: fully, or briefly where sanitizers make it slow. They see nothing
/// new in the millionth round; the full number is for what is counted and summed up.
#ifdef ACUMEN_IN_FULL
constexpr long long in_full(long long fully, long long) {
  return fully;
}
#else
constexpr long long in_full(long long, long long briefly) {
  return briefly;
}
#endif

#define EXPECT(condition)                                                           \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                 \
    }                                                                               \
  } while (false)

#define EXPECT_NEAR(actual, expected, tolerance)                                              \
  do {                                                                                        \
    const double actual_ = (actual), expected_ = (expected);                                  \
    if (!(std::fabs(actual_ - expected_) <= (tolerance))) {                                   \
      std::fprintf(stderr, "%s:%d: %s is %.9g, expected %.9g\n", __FILE__, __LINE__, #actual, \
                   actual_, expected_);                                                       \
      std::exit(1);                                                                           \
    }                                                                                         \
  } while (false)
