/* x += A y and z += A' v. */
#include "program.h"

#ifndef N
#define N 2000
#endif
#ifndef ROUNDS
#define ROUNDS 20
#endif

static double A[N][N], x[N], y[N], z[N], v[N];

static void initialise(void) {
  for (int i = 0; i < N; i++) {
    x[i] = (double)(i % N) / N;
    z[i] = (double)((i + 1) % N) / N;
    y[i] = (double)((i + 3) % N) / N;
    v[i] = (double)((i + 4) % N) / N;
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      A[i][j] = (double)(i * j % N) / N;
}

KERNEL {
#pragma scop
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      x[i] = x[i] + A[i][j] * y[j];
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      z[i] = z[i] + A[j][i] * v[j];
#pragma endscop
}

int main(void) {
  initialise();
  for (int round = 0; round < ROUNDS; round++)
    kernel();
  print_digest("x", x, N);
  print_digest("z", z, N);
  return 0;
}
