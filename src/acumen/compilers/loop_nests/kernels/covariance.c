/* Covariances of M columns of N observations. */
#include "program.h"

#ifndef M
#define M 1200
#endif
#ifndef N
#define N 1400
#endif

static double data[N][M], cov[M][M], mean[M];
static double count = N;

static void initialise(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < M; j++)
      data[i][j] = (double)(i * j) / M;
}

KERNEL {
#pragma scop
  for (int j = 0; j < M; j++) {
    mean[j] = 0.0;
    for (int i = 0; i < N; i++)
      mean[j] += data[i][j];
    mean[j] /= count;
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < M; j++)
      data[i][j] -= mean[j];
  for (int i = 0; i < M; i++)
    for (int j = i; j < M; j++) {
      cov[i][j] = 0.0;
      for (int k = 0; k < N; k++)
        cov[i][j] += data[k][i] * data[k][j];
      cov[i][j] /= count - 1.0;
      cov[j][i] = cov[i][j];
    }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("cov", &cov[0][0], (long)M * M);
  return 0;
}
