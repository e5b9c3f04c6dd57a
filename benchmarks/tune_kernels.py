"""What gcc's flags are worth beyond -O3 -march=native, by `acumen tune` on 27 kernels.

    python benchmarks/tune_kernels.py --budget 100s --json out.json [KERNEL ...]

Every kernel of the loop-nest race is tuned by the command, with the shipped space `gcc`, its output
checked byte for byte; what is printed is the verdict on fresh pairs. Sizes are PolyBench's LARGE
where a run takes a second or less, else MEDIUM.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from acumen.compilers.loop_nests.workloads import KERNELS, PARAMETERS, SIZES, VALUES

LONG = ("adi", "cholesky", "fdtd-2d", "floyd-warshall", "gramschmidt", "heat-3d", "jacobi-2d")
MEDIUM = {*LONG, "lu", "nussinov", "seidel-2d"}


def command(kernel: str) -> list[str]:
    """What compiles and runs a kernel, with a place for flags."""
    size = SIZES.index("MEDIUM" if kernel in MEDIUM else "LARGE")
    names, values = PARAMETERS[kernel].split(), VALUES[kernel][size].split()
    sizes = [f"-D{name}={value}" for name, value in zip(names, values, strict=True)]
    file = str(KERNELS / f"{kernel}.c")
    return [*("gcc", "-O3", "-march=native", "{flags}", *sizes, file, "-o", "kernel", "-lm"),
            *("&&", "./kernel")]  # fmt: skip


def main() -> None:
    """Tunes each, prints a line for each and the median."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kernels", nargs="*", default=list(PARAMETERS))
    parser.add_argument("--budget", default="100s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    found = {}
    for kernel in given.kernels:
        with tempfile.TemporaryDirectory() as folder:
            acumen = str(Path(sys.executable).with_name("acumen"))
            tune = [*(acumen, "tune", "--space", "gcc", "--check", "output"),
                    *("--budget", given.budget, "--seed", str(given.seed), "--json", "found.json"),
                    *("--", *command(kernel))]  # fmt: skip
            done = subprocess.run(tune, cwd=folder, text=True, capture_output=True)
            if done.returncode:
                print(f"{kernel}: {done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            found[kernel] = json.loads(Path(folder, "found.json").read_text())
        one = found[kernel]
        print(f"{kernel:15} {one['words']}  [{' '.join(one['flags_that_matter'])}]", flush=True)
        if given.json is not None:
            given.json.write_text(json.dumps(found, indent=1))
    better = [one["ratio"] for one in found.values() if one["verdict"] == "better"]
    if better:
        print(
            f"better: {len(better)} of {len(found)}, median {statistics.median(better):.2f} times"
        )


if __name__ == "__main__":
    main()
