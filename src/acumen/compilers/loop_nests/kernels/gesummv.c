/* y = alpha A x + beta B x. */
#include "program.h"

#ifndef N
#define N 1300
#endif
#ifndef ROUNDS
#define ROUNDS 40
#endif

static double A[N][N], B[N][N], t[N], x[N], y[N];
static double alpha = 1.5, beta = 1.2;

static void initialise(void) {
  for (int i = 0; i < N; i++)
    x[i] = (double)(i % N) / N;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      A[i][j] = (double)((i * j + 1) % N) / N;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      B[i][j] = (double)((i * j + 2) % N) / N;
}

KERNEL {
#pragma scop
  for (int i = 0; i < N; i++) {
    t[i] = 0.0;
    y[i] = 0.0;
    for (int j = 0; j < N; j++) {
      t[i] = A[i][j] * x[j] + t[i];
      y[i] = B[i][j] * x[j] + y[i];
    }
    y[i] = alpha * t[i] + beta * y[i];
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
