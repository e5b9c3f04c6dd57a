/* y = A' (A x). */
#include "program.h"

#ifndef M
#define M 1900
#endif
#ifndef N
#define N 2100
#endif
#ifndef ROUNDS
#define ROUNDS 40
#endif

static double A[M][N], x[N], y[N], t[M];

static void initialise(void) {
  for (int i = 0; i < N; i++)
    x[i] = 1.0 + i / (double)N;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++)
      A[i][j] = (double)((i + j) % N) / (5 * M);
}

KERNEL {
#pragma scop
  for (int i = 0; i < N; i++)
    y[i] = 0.0;
  for (int i = 0; i < M; i++) {
    t[i] = 0.0;
    for (int j = 0; j < N; j++)
      t[i] = t[i] + A[i][j] * x[j];
    for (int j = 0; j < N; j++)
      y[j] = y[j] + A[i][j] * t[i];
  }
#pragma endscop
}

int main(void) {
  initialise();
  for (int round = 0; round < ROUNDS; round++)
    kernel();
  print_digest("y", y, N);
  return 0;
}
