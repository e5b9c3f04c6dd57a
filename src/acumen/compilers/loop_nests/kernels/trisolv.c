/* L x = b by forward substitution. */
#include "program.h"

#ifndef N
#define N 2000
#endif
#ifndef ROUNDS
#define ROUNDS 80
#endif

static double L[N][N], x[N], b[N];

static void initialise(void) {
  for (int i = 0; i < N; i++)
    b[i] = i / (double)N + 1;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      L[i][j] = (double)(i + N - j + 1) * 2 / N;
}

KERNEL {
#pragma scop
  for (int i = 0; i < N; i++) {
    x[i] = b[i];
    for (int j = 0; j < i; j++)
      x[i] -= L[i][j] * x[j];
    x[i] = x[i] / L[i][i];
  }
#pragma endscop
}

int main(void) {
  initialise();
  for (int round = 0; round < ROUNDS; round++)
    kernel();
  print_digest("x", x, N);
  return 0;
}
