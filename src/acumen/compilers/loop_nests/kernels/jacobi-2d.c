/* Five-point smoothing, forth and back. */
#include "program.h"

#ifndef TSTEPS
#define TSTEPS 500
#endif
#ifndef N
#define N 1300
#endif

static double A[N][N], B[N][N];

static void initialise(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      A[i][j] = ((double)i * (j + 2) + 2) / N;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      B[i][j] = ((double)i * (j + 3) + 3) / N;
}

KERNEL {
#pragma scop
  for (int t = 0; t < TSTEPS; t++) {
    for (int i = 1; i < N - 1; i++)
      for (int j = 1; j < N - 1; j++)
        B[i][j] = 0.2 * (A[i][j] + A[i][j - 1] + A[i][j + 1] + A[i + 1][j] + A[i - 1][j]);
    for (int i = 1; i < N - 1; i++)
      for (int j = 1; j < N - 1; j++)
        A[i][j] = 0.2 * (B[i][j] + B[i][j - 1] + B[i][j + 1] + B[i + 1][j] + B[i - 1][j]);
  }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("A", &A[0][0], (long)N * N);
  return 0;
}
