/* C = beta C + alpha A B; of the symmetric A the lower triangle is stored. */
#include "program.h"

#ifndef M
#define M 1000
#endif
#ifndef N
#define N 1200
#endif

static double A[M][M], B[M][N], C[M][N];
static double alpha = 1.5, beta = 1.2;

static void initialise(void) {
  for (int i = 0; i < M; i++)
    for (int j = 0; j <= i; j++)
      A[i][j] = (double)((i + j) % 100) / M;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++)
      B[i][j] = (double)((N + i - j) % 100) / M;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++)
      C[i][j] = (double)((i + j) % 100) / M;
}

KERNEL {
#pragma scop
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      double above = 0.0;
      for (int k = 0; k < i; k++) {
        C[k][j] += alpha * B[i][j] * A[i][k];
        above += B[k][j] * A[i][k];
      }
      C[i][j] = beta * C[i][j] + alpha * B[i][j] * A[i][i] + alpha * above;
    }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("C", &C[0][0], (long)M * N);
  return 0;
}
