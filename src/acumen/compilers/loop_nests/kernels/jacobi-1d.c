/* Three-point smoothing, forth and back. */
#include "program.h"

#ifndef TSTEPS
#define TSTEPS 500
#endif
#ifndef N
#define N 2000
#endif
#ifndef ROUNDS
#define ROUNDS 200
#endif

static double A[N], B[N];

static void initialise(void) {
  for (int i = 0; i < N; i++)
    A[i] = (double)(i + 2) / N;
  for (int i = 0; i < N; i++)
    B[i] = (double)(i + 3) / N;
}

KERNEL {
#pragma scop
  for (int t = 0; t < TSTEPS; t++) {
    for (int i = 1; i < N - 1; i++)
      B[i] = 0.33333 * (A[i - 1] + A[i] + A[i + 1]);
    for (int i = 1; i < N - 1; i++)
      A[i] = 0.33333 * (B[i - 1] + B[i] + B[i + 1]);
  }
#pragma endscop
}

int main(void) {
  initialise();
  for (int round = 0; round < ROUNDS; round++)
    kernel();
  print_digest("A", A, N);
  return 0;
}
