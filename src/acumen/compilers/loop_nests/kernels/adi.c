/* Heat in a plane by implicit steps in alternating directions. */
#include "program.h"

#ifndef TSTEPS
#define TSTEPS 500
#endif
#ifndef N
#define N 1000
#endif

static double u[N][N], v[N][N], p[N][N], q[N][N];
static double a, b, c, d, e, f;

static void initialise(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      u[i][j] = (double)(i + N - j) / N;
  double dx = 1.0 / N, dt = 1.0 / TSTEPS;
  double along = 2.0 * dt / (dx * dx), across = dt / (dx * dx);
  a = -along / 2.0;
  b = 1.0 + along;
  c = a;
  d = -across / 2.0;
  e = 1.0 + across;
  f = d;
}

KERNEL {
#pragma scop
  for (int t = 1; t <= TSTEPS; t++) {
    for (int i = 1; i < N - 1; i++) {
      v[0][i] = 1.0;
      p[i][0] = 0.0;
      q[i][0] = v[0][i];
      for (int j = 1; j < N - 1; j++) {
        p[i][j] = -c / (a * p[i][j - 1] + b);
        q[i][j] = (-d * u[j][i - 1] + (1.0 + 2.0 * d) * u[j][i] - f * u[j][i + 1] -
                   a * q[i][j - 1]) /
                  (a * p[i][j - 1] + b);
      }
      v[N - 1][i] = 1.0;
      for (int j = N - 2; j >= 1; j--)
        v[j][i] = p[i][j] * v[j + 1][i] + q[i][j];
    }
    for (int i = 1; i < N - 1; i++) {
      u[i][0] = 1.0;
      p[i][0] = 0.0;
      q[i][0] = u[i][0];
      for (int j = 1; j < N - 1; j++) {
        p[i][j] = -f / (d * p[i][j - 1] + e);
        q[i][j] = (-a * v[i - 1][j] + (1.0 + 2.0 * a) * v[i][j] - c * v[i + 1][j] -
                   d * q[i][j - 1]) /
                  (d * p[i][j - 1] + e);
      }
      u[i][N - 1] = 1.0;
      for (int j = N - 2; j >= 1; j--)
        u[i][j] = p[i][j] * u[i][j + 1] + q[i][j];
    }
  }
#pragma endscop
}

int main(void) {
  initialise();
  kernel();
  print_digest("u", &u[0][0], (long)N * N);
  return 0;
}
