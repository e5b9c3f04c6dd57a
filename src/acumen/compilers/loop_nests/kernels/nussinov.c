/* Most pairs of bases in a fold of RNA. */
#include "program.h"

#ifndef N
#define N 2500
#endif

static int bases[N], table[N][N];

static void initialise(void) {
  for (int i = 0; i < N; i++)
    bases[i] = (i + 1) % 4;
}

KERNEL {
#pragma scop
  for (int i = N - 1; i >= 0; i--)
    for (int j = i + 1; j < N; j++) {
      if (j - 1 >= 0)
        table[i][j] = table[i][j] >= table[i][j - 1] ? table[i][j] : table[i][j - 1];
      if (i + 1 < N)
        table[i][j] = table[i][j] >= table[i + 1][j] ? table[i][j] : table[i + 1][j];
      if (j - 1 >= 0 && i + 1 < N) {
        if (i < j - 1)
          table[i][j] = table[i][j] >= table[i + 1][j - 1] + (bases[i] + bases[j] == 3 ? 1 : 0)
                            ? table[i][j]
                            : table[i + 1][j - 1] + (bases[i] + bases[j] == 3 ? 1 : 0);
        else
          table[i][j] = table[i][j] >= table[i + 1][j - 1] ? table[i][j] : table[i + 1][j - 1];
      }
      for (int k = i + 1; k < j; k++)
        table[i][j] = table[i][j] >= table[i][k] + table[k + 1][j] ? table[i][j]
                                                                   : table[i][k] + table[k + 1][j];
    }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("table", &table[0][0], (long)N * N);
  return 0;
}
