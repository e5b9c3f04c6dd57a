/* C = beta C + alpha A A', the lower triangle. */
#include "program.h"

#ifndef M
#define M 1000
#endif
#ifndef N
#define N 1200
#endif

static double A[N][M], C[N][N];
static double alpha = 1.5, beta = 1.2;

static void initialise(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < M; j++)
      A[i][j] = (double)((i * j + 1) % N) / N;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      C[i][j] = (double)((i * j + 2) % M) / M;
}

KERNEL {
#pragma scop
  for (int i = 0; i < N; i++) {
    for (int j = 0; j <= i; j++)
      C[i][j] *= beta;
    for (int k = 0; k < M; k++)
      for (int j = 0; j <= i; j++)
        C[i][j] += alpha * A[i][k] * A[j][k];
  }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("C", &C[0][0], (long)N * N);
  return 0;
}
