/* A gets two rank-one updates; x = beta A' y + z; w = alpha A x. */
#include "program.h"

#ifndef N
#define N 2000
#endif
#ifndef ROUNDS
#define ROUNDS 20
#endif

static double A[N][N], u1[N], v1[N], u2[N], v2[N], w[N], x[N], y[N], z[N];
static double alpha = 1.5, beta = 1.2;

static void initialise(void) {
  for (int i = 0; i < N; i++) {
    u1[i] = i / (double)N;
    u2[i] = (i + 1) / (double)N / 2;
    v1[i] = (i + 1) / (double)N / 4;
    v2[i] = (i + 1) / (double)N / 6;
    y[i] = (i + 1) / (double)N / 8;
    z[i] = (i + 1) / (double)N / 9;
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      A[i][j] = (double)(i * j % N) / N;
}

KERNEL {
#pragma scop
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      A[i][j] = A[i][j] + u1[i] * v1[j] + u2[i] * v2[j];
  for (int i = 0; i < N; i++)
    x[i] = 0.0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      x[i] = x[i] + beta * A[j][i] * y[j];
  for (int i = 0; i < N; i++)
    x[i] = x[i] + z[i];
  for (int i = 0; i < N; i++)
    w[i] = 0.0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      w[i] = w[i] + alpha * A[i][j] * x[j];
#pragma endscop
}

int main(void) {
  initialise();
  for (int round = 0; round < ROUNDS; round++)
    kernel();
  print_digest("w", w, N);
  print_digest("x", x, N);
  return 0;
}
