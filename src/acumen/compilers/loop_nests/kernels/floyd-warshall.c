/* All shortest paths. */
#include "program.h"

#ifndef N
#define N 2800
#endif

static int path[N][N];

static void initialise(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      path[i][j] = (i + j) % 13 == 0 || (i + j) % 7 == 0 || (i + j) % 11 == 0 ? 999 : i * j % 7 + 1;
}

KERNEL {
#pragma scop
  for (int k = 0; k < N; k++)
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++)
        path[i][j] = path[i][j] < path[i][k] + path[k][j] ? path[i][j] : path[i][k] + path[k][j];
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("path", &path[0][0], (long)N * N);
  return 0;
}
