"""What a compiler's flags are worth beyond -O3 -march=native, by `acumen tune` on 27 kernels.

    python benchmarks/tune_kernels.py --budget 60s --json out.json [--clang clang-19] [KERNEL ...]

Every kernel of the loop-nest race is tuned by the command, with the shipped space `gcc` or `clang`;
what is printed is the verdict on fresh pairs. Sizes are PolyBench's MEDIUM, where most runs take
some milliseconds; kernels with O(n²) operations repeat themselves and have LARGE ones. Results must
be those of the default to 10⁻⁸, as compilers contract a·b + c in one loop and not in the other (so
hashes of all bits, which kernels print too, are not compared).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from acumen.compilers.loop_nests.tuning import TOLERANCE
from acumen.compilers.loop_nests.workloads import KERNELS, PARAMETERS, SIZES, VALUES

QUADRATIC = ("atax", "bicg", "gemver", "gesummv", "mvt", "trisolv")
COMPARE = f"""
NR == FNR {{ for (i = 1; i <= NF; i++) expected[FNR, i] = $i; lines = FNR; next }}
{{ for (i = 1; i <= NF; i++) if ($i !~ /^0x/ && $i != expected[FNR, i]) {{
    most = expected[FNR, i] < 0 ? -expected[FNR, i] : expected[FNR, i]
    apart = $i - expected[FNR, i]
    if (!(apart * apart <= (most * {TOLERANCE}) ^ 2)) exit 1 }}
  seen = FNR }}
END {{ exit seen != lines }}
"""


def command(kernel: str, compiler: str) -> list[str]:
    """What compiles and runs a kernel, with a place for flags."""
    size = SIZES.index("LARGE" if kernel in QUADRATIC else "MEDIUM")
    names, values = PARAMETERS[kernel].split(), VALUES[kernel][size].split()
    sizes = [f"-D{name}={value}" for name, value in zip(names, values, strict=True)]
    file = str(KERNELS / f"{kernel}.c")
    return [*(compiler, "-O3", "-march=native", "{flags}", *sizes, file, "-o", "kernel", "-lm"),
            *("&&", "./kernel")]  # fmt: skip


def tuned(kernel: str, compiler: str, given: argparse.Namespace, folder: Path) -> dict[str, object]:
    """The JSON that the command writes.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    words = command(kernel, compiler)
    plain = [word for word in words if word != "{flags}"]
    subprocess.run(plain[: plain.index("&&")], cwd=folder, check=True)
    expected = subprocess.run(["./kernel"], cwd=folder, check=True, stdout=subprocess.PIPE).stdout
    (folder / "expected").write_bytes(expected)
    (folder / "compare.awk").write_text(COMPARE)
    acumen = Path(sys.executable).with_name("acumen")
    space = "clang" if given.clang else "gcc"
    tune = [*(str(acumen), "tune", "--space", space, "--check", "exit"),
            *("--runs", "1" if kernel in QUADRATIC else "10", "--json", "found.json"),
            *("--check-with", "awk -f compare.awk expected -"),
            *("--budget", given.budget, "--seed", str(given.seed), "--", *words)]  # fmt: skip
    subprocess.run(tune, cwd=folder, check=True, text=True, capture_output=True)
    found: dict[str, object] = json.loads((folder / "found.json").read_text())
    return found


def main() -> None:
    """Tunes each, prints a line for each and the median."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kernels", nargs="*", default=list(PARAMETERS))
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--clang", default="", help="clang's name, to tune that instead of gcc")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    found = {}
    for kernel in given.kernels:
        with tempfile.TemporaryDirectory() as folder:
            try:
                one = tuned(kernel, given.clang or "gcc", given, Path(folder))
            except subprocess.CalledProcessError as error:
                print(f"{kernel}: {str(error.stderr or error).strip().splitlines()[-1]}")
                continue
        found[kernel] = one
        print(f"{kernel:15} {one['words']}  [{one['trials']} settings]", flush=True)
        if given.json is not None:
            given.json.write_text(json.dumps(found, indent=1))
    better = [float(str(one["ratio"])) for one in found.values() if one["verdict"] == "better"]
    if better:
        print(
            f"better: {len(better)} of {len(found)}, median {statistics.median(better):.2f} times"
        )


if __name__ == "__main__":
    main()
