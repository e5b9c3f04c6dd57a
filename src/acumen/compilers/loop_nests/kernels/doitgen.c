/* Each row of a tensor times a matrix: A[r][q] = A[r][q] B. */
#include "program.h"

#ifndef NQ
#define NQ 140
#endif
#ifndef NR
#define NR 150
#endif
#ifndef NP
#define NP 160
#endif

static double A[NR][NQ][NP], B[NP][NP], sum[NP];

static void initialise(void) {
  for (int i = 0; i < NR; i++)
    for (int j = 0; j < NQ; j++)
      for (int k = 0; k < NP; k++)
        A[i][j][k] = (double)((i * j + k) % NP) / NP;
  for (int i = 0; i < NP; i++)
    for (int j = 0; j < NP; j++)
      B[i][j] = (double)(i * j % NP) / NP;
}

KERNEL {
#pragma scop
  for (int r = 0; r < NR; r++)
    for (int q = 0; q < NQ; q++) {
      for (int p = 0; p < NP; p++) {
        sum[p] = 0.0;
        for (int s = 0; s < NP; s++)
          sum[p] += A[r][q][s] * B[s][p];
      }
      for (int p = 0; p < NP; p++)
        A[r][q][p] = sum[p];
    }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("A", &A[0][0][0], (long)NR * NQ * NP);
  return 0;
}
