/* Correlations of M columns of N observations. */
#include "program.h"

#ifndef M
#define M 1200
#endif
#ifndef N
#define N 1400
#endif

static double data[N][M], corr[M][M], mean[M], deviation[M];
static double count = N, least = 0.1;

static void initialise(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < M; j++)
      data[i][j] = (double)(i * j) / M + i;
}

KERNEL {
#pragma scop
  for (int j = 0; j < M; j++) {
    mean[j] = 0.0;
    for (int i = 0; i < N; i++)
      mean[j] += data[i][j];
    mean[j] /= count;
  }
  for (int j = 0; j < M; j++) {
    deviation[j] = 0.0;
    for (int i = 0; i < N; i++)
      deviation[j] += (data[i][j] - mean[j]) * (data[i][j] - mean[j]);
    deviation[j] /= count;
    deviation[j] = sqrt(deviation[j]);
    deviation[j] = deviation[j] <= least ? 1.0 : deviation[j];
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < M; j++) {
      data[i][j] -= mean[j];
      data[i][j] /= sqrt(count) * deviation[j];
    }
  for (int i = 0; i < M - 1; i++) {
    corr[i][i] = 1.0;
    for (int j = i + 1; j < M; j++) {
      corr[i][j] = 0.0;
      for (int k = 0; k < N; k++)
        corr[i][j] += data[k][i] * data[k][j];
      corr[j][i] = corr[i][j];
    }
  }
  corr[M - 1][M - 1] = 1.0;
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("corr", &corr[0][0], (long)M * M);
  return 0;
}
