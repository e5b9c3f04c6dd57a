/* A = L L'; L takes the lower triangle. */
#include "program.h"

#ifndef N
#define N 2000
#endif

static double A[N][N];

static void initialise(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      A[i][j] = 1.0 / (1 + (i < j ? j - i : i - j)) + (i == j ? 4.0 : 0.0);
}

KERNEL {
#pragma scop
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < i; j++) {
      for (int k = 0; k < j; k++)
        A[i][j] -= A[i][k] * A[j][k];
      A[i][j] /= A[j][j];
    }
    for (int k = 0; k < i; k++)
      A[i][i] -= A[i][k] * A[i][k];
    A[i][i] = sqrt(A[i][i]);
  }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("A", &A[0][0], (long)N * N);
  return 0;
}
