/* B = alpha A' B; A has a lower triangle and ones on its diagonal. */
#include "program.h"

#ifndef M
#define M 1000
#endif
#ifndef N
#define N 1200
#endif

static double A[M][M], B[M][N];
static double alpha = 1.5;

static void initialise(void) {
  for (int i = 0; i < M; i++)
    for (int j = 0; j < i; j++)
      A[i][j] = (double)((i + j) % M) / M;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++)
      B[i][j] = (double)((N + i - j) % N) / N;
}

KERNEL {
#pragma scop
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      for (int k = i + 1; k < M; k++)
        B[i][j] += A[k][i] * B[k][j];
      B[i][j] = alpha * B[i][j];
    }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("B", &B[0][0], (long)M * N);
  return 0;
}
