/* s = A' r and q = A p. */
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

static double A[N][M], s[M], q[N], p[M], r[N];

static void initialise(void) {
  for (int i = 0; i < M; i++)
    p[i] = (double)(i % M) / M;
  for (int i = 0; i < N; i++)
    r[i] = (double)(i % N) / N;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < M; j++)
      A[i][j] = (double)(i * (j + 1) % N) / N;
}

KERNEL {
#pragma scop
  for (int i = 0; i < M; i++)
    s[i] = 0.0;
  for (int i = 0; i < N; i++) {
    q[i] = 0.0;
    for (int j = 0; j < M; j++) {
      s[j] = s[j] + r[i] * A[i][j];
      q[i] = q[i] + A[i][j] * p[j];
    }
  }
#pragma endscop
}

int main(void) {
  initialise();
  for (int round = 0; round < ROUNDS; round++)
    kernel();
  print_digest("s", s, M);
  print_digest("q", q, N);
  return 0;
}
