"""Finds faster loops for a matrix product in C, proves them right, and says what that is worth.

The budget is far too small for more than a first look; `acumen nests FILE.c` tries thirty.
"""

import shutil
import tempfile
from pathlib import Path

from acumen.compilers.loop_nests import MissingError, optimise

PROGRAM = r"""
#include <stdio.h>
#define N 500
static double A[N][N], B[N][N], C[N][N];
int main(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) A[i][j] = i % 7, B[i][j] = j % 5;
#pragma scop
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      for (int k = 0; k < N; k++)
        C[i][j] += A[i][k] * B[k][j];
#pragma endscop
  double sum = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) sum += C[i][j] * (i + 2 * j);
  printf("%.17g\n", sum);
}
"""


def main() -> None:
    """Writes the program, searches, prints the verdict and the command."""
    if shutil.which("gcc") is None:
        print("gcc is not installed: there is nothing to compile with")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "product.c")
        path.write_text(PROGRAM)
        try:
            found = optimise(path, budget=3, threads=1, repeats=6)
        except MissingError as missing:
            print(missing)
            return
    print(found)
    print(dict(found.setting))


if __name__ == "__main__":
    main()
