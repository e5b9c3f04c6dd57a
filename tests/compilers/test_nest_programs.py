"""Real programs with other loops print the same bits as before."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nests import KERNELS

pytest.importorskip("islpy")
pytest.importorskip("pycparser")

from acumen.compilers.loop_nests.program import load_program
from acumen.compilers.loop_nests.settings import Choices, space_of
from acumen.compilers.loop_nests.workloads import PARAMETERS, VALUES

# No contraction: then nothing at all may differ. No optimisation to speak of: it is quicker.
COMPILER = ("gcc", "-O1", "-mavx2", "-ffp-contract=off")
REGISTERS = {"schedule": "split", "rows": 4, "vectors": 2, "bits": 256, "tile_rest": 16}
TIME_TILES = {"schedule": "fused", "style": "loops", "tile_rest": 16, "tile_lanes": 16, "sink": 1}
THREADS = {"schedule": "split", "style": "loops", "threads": 2, "hints": True}


def flags_of(name: str) -> list[str]:
    values = VALUES[name][0].split()
    return [f"-D{n}={v}" for n, v in zip(PARAMETERS[name].split(), values, strict=True)] + [
        "-DROUNDS=1"
    ]


def output(path: Path) -> str:
    return subprocess.run([path], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("gemm", REGISTERS),
        ("lu", REGISTERS),
        ("symm", REGISTERS),
        ("correlation", {**REGISTERS, "schedule": "fused"}),
        ("atax", REGISTERS),
        ("jacobi-2d", TIME_TILES),
        ("seidel-2d", {**TIME_TILES, "wavefront": True, "threads": 2}),
        ("adi", {**TIME_TILES, "hints": True}),
        ("nussinov", {"schedule": "written", "style": "loops", "tile_lanes": 16}),
        ("gramschmidt", {**THREADS, "tile_rows": 16}),
        ("floyd-warshall", {**THREADS, "schedule": "written"}),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_kernels_print_the_same_bits(name: str, setting: dict[str, Any], tmp_path: Path) -> None:
    path = KERNELS / f"{name}.c"
    program = load_program(path, tmp_path, flags_of(name))
    space = space_of(2)
    tree = Choices(program.model, program.types).tree(space.complete(setting))
    text = program.text(tree, setting.get("threads", 1))
    flags = (*COMPILER, "-fopenmp") if "threads" in setting else COMPILER
    assert output(program.compile(text, flags)) == output(program.compile(path.read_text(), flags))


def test_a_register_tile_is_kept_in_registers(tmp_path: Path) -> None:
    program = load_program(KERNELS / "gemm.c", tmp_path, flags_of("gemm"))
    choices = Choices(program.model, program.types)
    text = program.text(choices.tree(space_of(1).complete(REGISTERS)), 1)
    inner = text[text.index("acumen_r0 +=") :]
    assert "acumen_r7 += (alpha * A" in inner
    # What may be touched under another name has no variable of its own.
    program = load_program(KERNELS / "floyd-warshall.c", tmp_path, flags_of("floyd-warshall"))
    choices = Choices(program.model, program.types)
    setting = {"schedule": "written", "rows": 2, "vectors": 1}
    assert "acumen_r0" not in program.text(choices.tree(space_of(1).complete(setting)), 1)


def test_threads_are_given_to_the_marked_loop_alone(tmp_path: Path) -> None:
    # Of 38 rows in tiles of 4 the last tile is alone: its loop is left out, and what stands there
    # then is the loop along which the tile accumulates.
    program = load_program(KERNELS / "atax.c", tmp_path, flags_of("atax"))
    choices = Choices(program.model, program.types)
    tree = choices.tree(space_of(2).complete({**REGISTERS, "threads": 2}))
    text = program.text(tree, 2)
    found = re.findall(
        r"#pragma omp parallel for num_threads\(2\)\n(?:for \(long (\w+)|(.*))", text
    )
    assert {variable for variable, _ in found} == {"acumen_c0", "acumen_c1"}


SIZES = """
#include <stdio.h>
#include <stdlib.h>
typedef float real;
static double sum;
static void smooth(int n, real A[n][n], real (*B)[n], const real *w) {
  int i, j, k;
#pragma scop
  for (i = n - 2; i >= 1; i--)
    for (j = 1; j < n - 1; j += 2) {
      real s = 0;
      for (k = 0; k < 3; k++)
        s += w[k] * A[i + k - 1][j];
      B[i][j] = s * 0.25f;
    }
#pragma endscop
}
int main(int argc, char **argv) {
  int n = atoi(argv[1]);
  real(*A)[n] = malloc(sizeof(real[n][n])), (*B)[n] = calloc(n, sizeof(real[n]));
  real w[3] = {1, 2, 1};
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++)
      A[i][j] = (i * 7 + j) % 13;
  smooth(n, A, B, w);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++)
      sum += B[i][j] * (i + 2 * j);
  printf("%.17g\\n", sum);
}
"""


@pytest.fixture
def run_with() -> Callable[[Path, int], str]:
    def run(path: Path, n: int) -> str:
        done = subprocess.run([path, str(n)], capture_output=True, text=True, check=True)
        return done.stdout

    return run


def test_other_sizes_run_the_original(tmp_path: Path, run_with: Callable[[Path, int], str]) -> None:
    path = tmp_path / "smooth.c"
    path.write_text(SIZES)
    program = load_program(path, tmp_path, arguments=["40"])
    assert program.scop.parameters == {"n": 40}
    assert program.types["A"] == "float"
    choices, space = Choices(program.model, program.types), space_of(1)
    original = program.compile(SIZES, COMPILER)
    for setting in (REGISTERS, {"schedule": "written", "style": "loops", "tile_lanes": 16}):
        text = program.text(choices.tree(space.complete(setting)), 1)
        made = program.compile(text, COMPILER)
        for n in (40, 41, 5):
            assert run_with(made, n) == run_with(original, n)


# Names that isl or the new loops could take for theirs; iterators of other types than int, and
# below zero; one element written in two ways; lifetimes.
NAMES = """
#include <stdio.h>
#define MIN(a, b) ((a) < (b) ? (a) : (b))
static double c0[40][40], c1[1600], S0[40][40], max[40], t = 1, c2 = 2;
static int n = 40;
int main(void) {
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++)
      c1[i * n + j] = (i * 3 + j) % 7, S0[i][j] = j % 5 - i;
#pragma scop
  for (long i = -010; i < 32; i++)
    for (long j = 0; j < n; j++) {
      double t = 3 * i + c2;
      for (int k = 0; k < n; k++)
        c0[i + 8][j] = c0[8 + i][j] + c1[(i + 8) * n + k] * S0[k][j];
      { float t = i * 100000000 + j; max[j] += t; }
      c0[i + 8][j] += t;
    }
  for (int i = 0; i < n; i++)
    for (int j = i; j < MIN(n, i + 3); j++) { double t = S0[i][j]; t *= 2; max[j] -= t; }
  t = 5;
#pragma endscop
  double sum = t;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++)
      sum += c0[i][j] * (i + 2 * j) + max[j];
  printf("%a\\n", sum);
}
"""


def test_names_types_and_lifetimes_are_those_of_c(tmp_path: Path) -> None:
    path = tmp_path / "names.c"
    path.write_text(NAMES)
    program = load_program(path, tmp_path)
    choices, space = Choices(program.model, program.types), space_of(1)
    wanted = output(program.compile(NAMES, COMPILER))
    for setting in (REGISTERS, {"schedule": "written", "style": "loops", "tile_rest": 16}):
        text = program.text(choices.tree(space.complete(setting)), 1)
        assert output(program.compile(text, COMPILER)) == wanted


# isl puts the last iteration of the loop in which t is set behind it.
TORN = """
#include <stdio.h>
static double g = 1.5, C[40][40];
int main(void) {
#pragma scop
  for (int i = 13; i >= 0; i -= 2) {
    double t = g;
    C[i + 5][i + 4] = 4 * (t + t);
    for (int j = 14; j >= 0; j--)
      g += j + C[i + 2][2 * j] * g;
  }
#pragma endscop
  double sum = g;
  for (int i = 0; i < 40; i++)
    for (int j = 0; j < 40; j++)
      sum += C[i][j] * (i + 2 * j);
  printf("%a\\n", sum);
}
"""


def test_a_scalar_lives_as_long_as_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "torn.c"
    path.write_text(TORN)
    program = load_program(path, tmp_path)
    choices, space = Choices(program.model, program.types), space_of(1)
    tree = choices.tree(space.complete({"schedule": "fused"}))
    text = program.text(tree, 1)
    assert output(program.compile(text, COMPILER)) == output(program.compile(TORN, COMPILER))


def test_a_scalar_of_a_loop_s_body_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "smooth.c"
    path.write_text(SIZES)
    program = load_program(path, tmp_path, arguments=["40"])
    choices, space = Choices(program.model, program.types), space_of(1)
    text = program.text(choices.tree(space.complete({"schedule": "written", "style": "loops"})), 1)
    assert "real acumen_s0;" in text
    # Where all are needed at once there is one for each, and none for what does not run.
    text = program.text(choices.tree(space.complete({"schedule": "split", "style": "loops"})), 1)
    assert "real acumen_s0[38][37];" in text
