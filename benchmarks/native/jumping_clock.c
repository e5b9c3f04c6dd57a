/* A wall clock that jumps, loaded before the C library: LD_PRELOAD.
 *
 * What a shared file says (seconds, a 64-bit integer) is added to the real time. Monotonic clocks stay
 * as they are. See benchmarks/fleet_faults.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long long *jump;
static int (*real)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void) {
  real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  const char *path = getenv("ACUMEN_BENCHMARK_CLOCK");
  const int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  void *at = file < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
  if (at != MAP_FAILED) jump = at;
}
int clock_gettime(clockid_t id, struct timespec *now) {
  if (!real) begin();
  const int result = real(id, now);
  if (!result && id == CLOCK_REALTIME && jump) now->tv_sec += *jump;
  return result;
}
int gettimeofday(struct timeval *now, void *zone) {
  struct timespec exact;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *at) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (at) *at = exact.tv_sec;
  return exact.tv_sec;
}
