/* What all of the programs here share: results are printed with all their digits, and with a hash
   of their bits, in which no difference can hide. ROUNDS repeats work that is over too soon for a
   clock outside. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define KERNEL static void __attribute__((noinline)) kernel(void)

#define DEFINE_DIGEST(type)                                                               \
  static inline void digest_##type(const char *name, const type *values, long count) {   \
    double sum = 0, weighted = 0;                                                         \
    uint64_t hash = 1469598103934665603u;                                                 \
    for (long i = 0; i < count; i++) {                                                    \
      uint64_t bits = 0;                                                                  \
      memcpy(&bits, &values[i], sizeof values[i]);                                        \
      hash = (hash ^ bits) * 1099511628211u;                                              \
      sum += values[i];                                                                   \
      weighted += values[i] * (double)(i % 101);                                          \
    }                                                                                     \
    printf("%s %.17g %.17g 0x%016llx\n", name, sum, weighted, (unsigned long long)hash);    \
  }
DEFINE_DIGEST(double)
DEFINE_DIGEST(int)
#define print_digest(name, values, count) \
  _Generic((values), double *: digest_double, int *: digest_int)(name, (void *)(values), count)
