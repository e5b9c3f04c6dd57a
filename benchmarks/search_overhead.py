"""What a suggestion costs: Acumen's searches beside Optuna's TPE, interleaved in one process.

    python benchmarks/search_overhead.py [--trials 1000] [--json FILE]

Every searcher plays the same problem, 50 flags and 10 numbers, in blocks of 50 trials; in every
pass their order is drawn anew. A trial is one ask and one tell, timed in processor time; the
measurement between them is not. Shown are means over the last tenth of the first 100 trials and of
all trials, and over all of them; two searches of the same kind (A/A) say how far this machine can
be believed.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from acumen.core import minimize
from acumen.evaluation.results import describe_machine
from acumen.flags import learned
from acumen.flags.heuristics import RandomDraws
from acumen.flags.learned import AcumenTuner
from acumen.flags.measuring import Maker, Tuner
from acumen.flags.rivals import optuna_tpe
from acumen.learners.search import Flag, Integer, Real, Search, Setting, Space

BLOCK = 50
PARTS = (("around 100", 0.09, 0.1), ("the last tenth", 0.9, 1.0), ("all", 0.0, 1.0))


def problem() -> Space:
    flags = {f"f{k}": Flag() for k in range(50)}
    whole = {"a": Integer(1, 64), "b": Integer(1, 4096, log=True)}
    whole |= {f"n{k}": Integer(1, 16) for k in range(4)}
    real = {"x": Real(0, 1), "y": Real(1e-3, 1, log=True), "u": Real(0, 1), "v": Real(0, 1)}
    return Space({**flags, **whole, **real})


def cost(setting: Setting) -> float:
    flags = sum(setting[f"f{k}"] * (0.3 if k % 3 else -0.5) for k in range(12))
    pair = 0.8 * (setting["f1"] and not setting["f2"])
    return float(np.exp(0.2 * (flags + pair) + (setting["x"] - 0.3) ** 2 + setting["a"] / 64))


def contenders(folder: Path) -> dict[str, Maker]:
    def in_a_file(space: Space, budget: int, seed: int) -> Tuner:
        file = folder / "search.sqlite"
        return AcumenTuner(Search(space, minimize("cost"), budget=budget, file=file, seed=seed))

    found: dict[str, Maker] = {
        "acumen (Search, in memory)": learned.DEFAULT.make,
        "acumen (A/A)": learned.DEFAULT.make,
        "acumen (Search, in a file)": in_a_file,
        **{f"acumen, {member.name} alone": member.make for member in learned.MEMBERS},
        "random": RandomDraws,
    }
    if find_spec("optuna"):
        found["optuna TPE, multivariate"] = optuna_tpe.make
    return found


def play(trials: int, seed: int, folder: Path) -> dict[str, list[float]]:
    space, rng = problem(), np.random.default_rng(seed)
    tuners: dict[str, Tuner] = {
        name: make(space, trials, seed + number)
        for number, (name, make) in enumerate(contenders(folder).items())
    }
    seconds: dict[str, list[float]] = {name: [] for name in tuners}
    order = random.Random(seed)
    for _ in range(0, trials, BLOCK):
        for name in order.sample(list(tuners), len(tuners)):
            for _ in range(min(BLOCK, trials - len(seconds[name]))):
                began = time.process_time()
                setting = tuners[name].ask()
                asked = time.process_time() - began
                value = cost(setting) * float(np.exp(0.02 * rng.standard_normal()))
                began = time.process_time()
                tuners[name].tell(value)
                seconds[name].append(asked + time.process_time() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = play(options.trials, options.seed, Path(folder))
    table = Table(title=f"milliseconds a suggestion, ask and tell, of {options.trials} trials")
    for column in ("searcher", *(part for part, _, _ in PARTS), "largest"):
        table.add_column(column, justify="left" if column == "searcher" else "right")
    rows = []
    for name, each in seconds.items():
        means = {
            part: 1e3 * float(np.mean(each[int(low * len(each)) : int(high * len(each))]))
            for part, low, high in PARTS
        }
        rows.append({"searcher": name, **means, "largest": 1e3 * max(each)})
        table.add_row(name, *(f"{value:.3f}" for value in [*means.values(), 1e3 * max(each)]))
    machine = describe_machine()
    Console().print(table, machine)
    if options.json:
        said = {"trials": options.trials, "seed": options.seed, "machine": machine, "rows": rows}
        options.json.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
