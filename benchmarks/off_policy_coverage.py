"""Do intervals hold? Off-policy estimates against the exact value, many times over.

Run: ``.venv/bin/python benchmarks/off_policy_coverage.py [--repetitions 500] [--keep DIR]``.
Classification data become bandits whose every value is known (`acumen.testing.logged_worlds`). Each
repetition draws a new log; seeds come from --seed and the setting. Needs scikit-learn for its
bundled data; MNIST and California housing join where $ACUMEN_DATA has them. What --keep has already
is not measured again, so that the table can be measured in pieces (--only data sets, --settings
like wine-greedy-half-1000). The last table counts classification data with rewards 0 and 1 apart
from the rest, and tells how likely as many cells off or more are if every interval holds with 95 %.
"""

import argparse
import gzip
import json
import math
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
from sklearn import datasets

from acumen.evaluation.off_policy import (
    IPS,
    SNIPS,
    DirectMethod,
    DoublyRobust,
    Modelling,
    Switch,
    estimates,
)
from acumen.testing.logged_worlds import (
    Floats,
    LoggedWorld,
    coins,
    greedy,
    linear_scores,
    lognormal,
    mixed,
    softmax,
    standardised,
)

ESTIMATORS = (IPS(), SNIPS(), DoublyRobust(), Switch(), DirectMethod())
SIZES = (1000, 3000)
CANDIDATES = ("greedy", "soft")
LOGGERS = ("uniform", "half", "adverse", "drifting")
CLASSIFICATION = ("digits", "wine", "breast_cancer", "mnist")
REFUSED_MAX = 0.1  # of the logs, for a cell to be counted
Key = tuple[str, str, str, int]


def mnist() -> tuple[Floats, Floats] | None:
    folder = Path(os.environ.get("ACUMEN_DATA", "/none")) / "machine_learning" / "mnist"
    if not folder.is_dir():
        return None
    images = np.frombuffer(
        gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16
    )
    labels = np.frombuffer(
        gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8
    )
    return images.reshape(-1, 7, 4, 7, 4).mean((2, 4)).reshape(-1, 49), labels.astype(np.int64)


def california() -> tuple[Floats, Floats] | None:
    path = Path(os.environ.get("ACUMEN_DATA", "/none")) / "machine_learning"
    path /= "california_housing.csv.zst"
    if not path.is_file():
        return None
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        table = csv.read_csv(stream)
    columns = [c.to_numpy() for c in table.columns if pa.types.is_floating(c.type)]
    matrix = np.column_stack([np.nan_to_num(c) for c in columns])
    name = next(n for n in table.column_names if "value" in n.lower() or "target" in n.lower())
    price = table[name].to_numpy().astype(np.float64)
    kept = [i for i in range(matrix.shape[1]) if not np.array_equal(matrix[:, i], price)]
    return matrix[:, kept], price


def loggers(weak: Floats) -> dict[str, Floats]:
    return {
        "uniform": mixed(weak, 1.0),
        "half": mixed(softmax(weak, 8.0), 0.5),
        "adverse": mixed(softmax(weak, -4.0), 0.3),
        "drifting": mixed(weak, 1.0),
    }


@cache
def population(name: str) -> tuple[Floats, Floats, Floats, Floats]:
    """Context, mean rewards, and scores of a good and of a weak classifier."""
    rng = np.random.default_rng(0)
    if name == "california":
        found = california()
        assert found is not None
        context, price = found
        # Six offers; an offer costs what it is off by, relative to the price.
        offers = np.quantile(price, np.linspace(0.05, 0.95, 6))
        labels = np.abs(price[:, None] - offers).argmin(1)
        mean = -np.abs(np.log(price[:, None] / offers))
    else:
        loaded = mnist() if name == "mnist" else None
        if name in ("digits", "latency", "clicks"):
            loaded = datasets.load_digits(return_X_y=True)
        elif name in ("wine", "breast_cancer"):
            loaded = getattr(datasets, f"load_{name}")(return_X_y=True)
        assert loaded is not None
        context, labels = loaded
        mean = np.eye(int(labels.max()) + 1)[labels]
    if name == "latency":
        mean = -(1.0 + 4.0 * (1.0 - mean) + rng.exponential(1.0, mean.shape))
    if name == "clicks":
        mean = 0.02 + 0.08 * mean
    order = rng.permutation(len(context))
    good = linear_scores(context, labels, order[: len(order) // 4])
    weak = linear_scores(context, labels, order[-max(len(order) // 30, 12) :])
    return standardised(context), mean, good, weak


def world(key: Key) -> LoggedWorld:
    name, candidate, logger, _ = key
    context, mean, good, weak = population(name)
    chosen = greedy(good) if candidate == "greedy" else softmax(good, 5.0)
    made = LoggedWorld(context, mean, chosen, loggers(weak)[logger])
    if logger == "drifting":
        made = replace(made, later=mixed(softmax(weak, 8.0), 0.3))
    noises = {"latency": lognormal(1.0), "clicks": coins}
    return replace(made, noise=noises[name]) if name in noises else made


def repetitions(key: Key, count: int, seed: int, known: bool, folds: int | None) -> Floats:
    """float64[count, estimators, 6]: value, low, high, error, refused, effective sample size."""
    made = world(key)
    out = np.full((count, len(ESTIMATORS), 6), math.nan)
    # Settings share no chance, so that what is off in one is not off in its neighbours.
    first = (seed << 32) + (zlib.crc32("-".join(map(str, key)).encode()) & ~0xFFFF)
    for i in range(count):
        log, candidate = made.draw(key[3], first + i, logging=known)
        for j, e in enumerate(
            estimates(log, candidate, ESTIMATORS, modelling=Modelling(folds=folds))
        ):
            out[i, j, 4:] = e.value is None, e.effective_sample_size
            if e.value is not None:
                low, high = (-math.inf, math.inf) if e.low is None else (e.low, e.high)
                out[i, j, :4] = e.value, low, high, e.standard_error
    return out


def keys(names: list[str]) -> Iterator[Key]:
    for name in names:
        for candidate in CANDIDATES:
            for logger in LOGGERS:
                for size in SIZES:
                    yield name, candidate, logger, size


@dataclass(frozen=True)
class Cell:
    """An estimator in one setting."""

    refused: float
    held: float
    above: float
    rmse: float
    bias: float
    ess: float

    @property
    def coverage(self) -> str:
        """Share of the intervals that hold the truth; behind it, how often there was none."""
        if math.isnan(self.held):
            return "-"
        return f"{self.held:.3f}" + (f" ({self.refused:.0%})" if self.refused > 0 else "")


def cell(out: Floats, truth: float, estimator: int) -> Cell:
    part = out[:, estimator]
    told = part[:, 4] == 0
    ess = float(np.median(part[:, 5]))
    if told.sum() < 25:
        return Cell(1 - told.mean(), math.nan, math.nan, math.nan, math.nan, ess)
    value, low, high, error = part[told, :4].T
    # The direct method has no interval: what its standard error would promise.
    if np.isinf(low).any():
        low, high = value - 1.96 * error, value + 1.96 * error
    off = value - truth
    return Cell(
        1 - told.mean(),
        float(((low <= truth) & (truth <= high)).mean()),
        float((low > truth).mean()),
        math.sqrt(float((off**2).mean())) / abs(truth),
        float(off.mean()) / abs(truth),
        ess,
    )


def report(results: dict[Key, Floats]) -> Iterator[str]:
    """Tables: coverage, errors, and what they come to."""
    cells = {
        key: [cell(out, world(key).truth, j) for j in range(len(ESTIMATORS))]
        for key, out in results.items()
    }
    names = " | ".join(e.name for e in ESTIMATORS)
    for what, text in (
        ("coverage", lambda c: c.coverage),
        ("RMSE", lambda c: "-" if math.isnan(c.rmse) else f"{c.rmse:.3f}"),
    ):
        yield f"| data | candidate | log | n | ESS | {what}: {names} |"
        yield "|" + "---|" * (5 + len(ESTIMATORS))
        for key, row in cells.items():
            # The direct method's standard error knows nothing of its bias: in brackets.
            shown = [text(c) for c in row]
            if what == "coverage":
                shown[-1] = "-" if math.isnan(row[-1].held) else f"[{row[-1].held:.3f}]"
            yield f"| {' | '.join(map(str, key))} | {row[0].ess:.0f} | {' | '.join(shown)} |"
        yield ""
    for title, wanted in (("classification", True), ("other", False)):
        rows = [row for key, row in cells.items() if (key[0] in CLASSIFICATION) == wanted]
        if rows:
            logs = max(len(out) for out in results.values())
            yield from summary(title, rows, logs)


def binomial(n: int, p: float) -> Floats:
    """float64[n + 1]: probability of every number of successes."""
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)]
    k = np.arange(n + 1)
    return np.exp(np.array(logs) + k * math.log(p) + (n - k) * math.log(1 - p))


def inside_by_chance(logs: int) -> float:
    """Probability that 93 … 97 % of so many intervals hold, if each does with 95 %."""
    low, high = math.ceil(0.93 * logs - 1e-9), math.floor(0.97 * logs + 1e-9)
    return float(binomial(logs, 0.95)[low : high + 1].sum())


def summary(title: str, rows: list[list[Cell]], logs: int) -> Iterator[str]:
    """How many cells are within 93 … 97 %, and what chance would give."""
    yield (
        f"| {title} | settings | coverage, mean | least … most | 93 … 97 % in | outside | "
        "by chance | P(as many) | too low / high |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    chance = 1 - inside_by_chance(logs)
    for j, estimator in enumerate(ESTIMATORS[:-1]):
        told = [row[j] for row in rows if row[j].refused <= REFUSED_MAX]
        if not told:
            continue
        held = np.array([c.held for c in told])
        above = np.mean([c.above for c in told])
        outside = int(((held < 0.93 - 1e-9) | (held > 0.97 + 1e-9)).sum())
        yield (
            f"| {estimator.name} | {len(held)} | {held.mean():.4f} | {held.min():.3f} … "
            f"{held.max():.3f} | {len(held) - outside} | {outside} | {chance * len(held):.1f} | "
            f"{binomial(len(held), chance)[outside:].sum():.2f} | "
            f"{1 - held.mean() - above:.4f} / {above:.4f} |"
        )
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="data sets, separated by commas")
    parser.add_argument("--settings", default="", help="settings, separated by commas")
    parser.add_argument("--json", type=Path, default=None, help="file for the cells")
    parser.add_argument("--folds", type=int, default=None, help="of the reward model")
    parser.add_argument("--taken-only", action="store_true", help="hide the whole distribution")
    parser.add_argument("--keep", type=Path, default=None, help="folder for what was measured")
    arguments = parser.parse_args()
    names = ["digits", "wine", "breast_cancer", "latency", "clicks"]
    names += [name for name, load in (("mnist", mnist), ("california", california)) if load()]
    if arguments.only:
        names = arguments.only.split(",")
    chosen = set(arguments.settings.split(",")) - {""}
    if unknown := chosen - {"-".join(map(str, key)) for key in keys(names)}:
        parser.error(f"no such settings: {', '.join(sorted(unknown))}")
    how = (arguments.repetitions, arguments.seed, not arguments.taken_only, arguments.folds)
    results: dict[Key, Floats] = {}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        jobs = {}
        for key in keys(names):
            if chosen and "-".join(map(str, key)) not in chosen:
                continue
            kept = None
            if arguments.keep is not None:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                kept = arguments.keep / ("-".join(map(str, (*key, *how))) + ".npy")
            jobs[key] = kept, None
            if kept is None or not kept.exists():
                jobs[key] = kept, pool.submit(repetitions, key, *how)
        for key, (kept, job) in jobs.items():
            results[key] = np.load(kept) if job is None else job.result()
            if kept is not None and job is not None:
                np.save(kept, results[key])
    for line in report(results):
        print(line)
    if arguments.json is not None:
        save(arguments.json, results, arguments.seed)


def save(path: Path, results: dict[Key, Floats], seed: int) -> None:
    """Every cell, as JSON; what could not be measured is null."""
    cells = [
        dict(zip(("data", "candidate", "log", "n"), key, strict=True))
        | {"logs": len(out), "estimator": e.name}
        | {k: None if math.isnan(v) else v for k, v in vars(cell(out, world(key).truth, j)).items()}
        for key, out in results.items()
        for j, e in enumerate(ESTIMATORS)
    ]
    path.write_text(json.dumps({"seed": seed, "cells": cells}, indent=1))


if __name__ == "__main__":
    main()
