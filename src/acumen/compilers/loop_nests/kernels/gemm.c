/* C = beta C + alpha A B. */
#include <stdio.h>

#ifndef NI
#define NI 1000
#define NJ 1100
#define NK 1200
#endif

static double A[NI][NK], B[NK][NJ], C[NI][NJ];
static double alpha = 1.5, beta = 1.2;

static void initialise(void) {
  for (int i = 0; i < NI; i++)
    for (int j = 0; j < NJ; j++)
      C[i][j] = (double)((i * j + 1) % NI) / NI;
  for (int i = 0; i < NI; i++)
    for (int k = 0; k < NK; k++)
      A[i][k] = (double)(i * (k + 1) % NK) / NK;
  for (int k = 0; k < NK; k++)
    for (int j = 0; j < NJ; j++)
      B[k][j] = (double)(k * (j + 2) % NJ) / NJ;
}

static void __attribute__((noinline)) kernel(void) {
#pragma scop
  for (int i = 0; i < NI; i++) {
    for (int j = 0; j < NJ; j++)
      C[i][j] *= beta;
    for (int k = 0; k < NK; k++)
      for (int j = 0; j < NJ; j++)
        C[i][j] += alpha * A[i][k] * B[k][j];
  }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  double sum = 0, weighted = 0;
  for (int i = 0; i < NI; i++)
    for (int j = 0; j < NJ; j++) {
      sum += C[i][j];
      weighted += C[i][j] * ((i * 31 + j * 17) % 101);
    }
  printf("%.17g %.17g\n", sum, weighted);
  return 0;
}
