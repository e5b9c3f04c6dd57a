/* A = Q R by the modified Gram-Schmidt process. */
#include "program.h"

#ifndef M
#define M 1000
#endif
#ifndef N
#define N 1200
#endif

static double A[M][N], Q[M][N], R[N][N];

static void initialise(void) {
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++)
      A[i][j] = (double)(i * j % M) / M * 100 + 10 + (i == j ? 100.0 * M : 0);
}

KERNEL {
#pragma scop
  for (int k = 0; k < N; k++) {
    double norm = 0.0;
    for (int i = 0; i < M; i++)
      norm += A[i][k] * A[i][k];
    R[k][k] = sqrt(norm);
    for (int i = 0; i < M; i++)
      Q[i][k] = A[i][k] / R[k][k];
    for (int j = k + 1; j < N; j++) {
      R[k][j] = 0.0;
      for (int i = 0; i < M; i++)
        R[k][j] += Q[i][k] * A[i][j];
      for (int i = 0; i < M; i++)
        A[i][j] = A[i][j] - Q[i][k] * R[k][j];
    }
  }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  /* Of columns beyond the number of rows nothing but rounding errors is left. */
  for (int k = M; k < N; k++) {
    for (int i = 0; i < M; i++)
      Q[i][k] = 0.0;
    for (int j = 0; j < N; j++)
      R[k][j] = 0.0;
  }
  print_digest("R", &R[0][0], (long)N * N);
  print_digest("Q", &Q[0][0], (long)M * N);
  return 0;
}
