/* Maxwell's equations in a plane: finite differences in time. */
#include "program.h"

#ifndef TMAX
#define TMAX 500
#endif
#ifndef NX
#define NX 1000
#endif
#ifndef NY
#define NY 1200
#endif

static double ex[NX][NY], ey[NX][NY], hz[NX][NY], source[TMAX];

static void initialise(void) {
  for (int i = 0; i < TMAX; i++)
    source[i] = (double)i;
  for (int i = 0; i < NX; i++)
    for (int j = 0; j < NY; j++)
      ex[i][j] = (double)i * (j + 1) / NX;
  for (int i = 0; i < NX; i++)
    for (int j = 0; j < NY; j++)
      ey[i][j] = (double)i * (j + 2) / NY;
  for (int i = 0; i < NX; i++)
    for (int j = 0; j < NY; j++)
      hz[i][j] = (double)i * (j + 3) / NX;
}

KERNEL {
#pragma scop
  for (int t = 0; t < TMAX; t++) {
    for (int j = 0; j < NY; j++)
      ey[0][j] = source[t];
    for (int i = 1; i < NX; i++)
      for (int j = 0; j < NY; j++)
        ey[i][j] = ey[i][j] - 0.5 * (hz[i][j] - hz[i - 1][j]);
    for (int i = 0; i < NX; i++)
      for (int j = 1; j < NY; j++)
        ex[i][j] = ex[i][j] - 0.5 * (hz[i][j] - hz[i][j - 1]);
    for (int i = 0; i < NX - 1; i++)
      for (int j = 0; j < NY - 1; j++)
        hz[i][j] = hz[i][j] - 0.7 * (ex[i][j + 1] - ex[i][j] + ey[i + 1][j] - ey[i][j]);
  }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("ex", &ex[0][0], (long)NX * NY);
  print_digest("ey", &ey[0][0], (long)NX * NY);
  print_digest("hz", &hz[0][0], (long)NX * NY);
  return 0;
}
