"""Tunes the flags of a compiler for one small kernel, and says what that is worth.

The budget is far too small for more than a first look; give it minutes for a real program.
"""

import shutil
import tempfile
from pathlib import Path

from acumen.flags import Budget, Check, tune_program

KERNEL = r"""
#include <stdio.h>
static float a[256][256], b[256][256], c[256][256];
int main(void) {
  for (int i = 0; i < 256; i++)
    for (int j = 0; j < 256; j++) a[i][j] = i % 7, b[i][j] = j % 5;
  for (int i = 0; i < 256; i++)
    for (int k = 0; k < 256; k++)
      for (int j = 0; j < 256; j++) c[i][j] += a[i][k] * b[k][j];
  printf("%g\n", c[100][200]);
}
"""


def main() -> None:
    """Writes the kernel, tunes it, prints the verdict."""
    if shutil.which("gcc") is None:
        print("gcc is not installed: there is nothing to tune")
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernel.c").write_text(KERNEL)
        tuned = tune_program(
            [
                *("gcc", "{level:-O[0,1,2,3]}", "{march:-march=native?}"),
                *("{unroll:-funroll-loops?}", "{times:--param=max-unroll-times=[2..32]}"),
                *("kernel.c", "-o", "kernel", "&&", "./kernel"),
            ],
            budget=Budget(seconds=12.0, trials=5),
            check=Check("output"),
            cwd=Path(folder),
            seed=1,
        )
    print(f"{len(tuned.trials)} settings were tried")
    print(tuned.verdict.words)
    print(tuned.shown)


if __name__ == "__main__":
    main()
