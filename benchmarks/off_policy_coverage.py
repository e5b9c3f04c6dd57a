"""Do intervals hold? Off-policy estimates against the exact value, many times over.

Run: ``.venv/bin/python benchmarks/off_policy_coverage.py [--repetitions 500] [--markdown]``.
Classification data become bandits whose every value is known (`acumen.testing.logged_worlds`). Each
repetition draws a new log; seeds count up from --seed. Needs scikit-learn for its bundled data;
MNIST and California housing join where $ACUMEN_DATA has them.
"""

import argparse
import gzip
import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
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
    for i in range(count):
        log, candidate = made.draw(key[3], seed + i, logging=known)
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


def lines(key: Key, out: Floats) -> Iterator[str]:
    truth = world(key).truth
    for j, estimator in enumerate(ESTIMATORS):
        cell = out[:, j]
        told = cell[:, 4] == 0
        refused = 1 - told.mean()
        ess = np.median(cell[:, 5])
        start = f"| {' | '.join(map(str, key))} | {estimator.name} | {ess:.0f} | {refused:.1%} |"
        if told.sum() < 10:
            yield start + " | | | |"
            continue
        value, low, high, error = cell[told, :4].T
        above, below = (low > truth).mean(), (high < truth).mean()
        cover = f"{1 - above - below:.3f} | {above:.3f} / {below:.3f}"
        if estimator.name == "direct":
            within = np.abs(value - truth) <= 1.96 * error
            cover = f"({within.mean():.3f}) | "
        rmse = math.sqrt(((value - truth) ** 2).mean())
        bias = (value.mean() - truth) / abs(truth)
        yield f"{start} {cover} | {rmse / abs(truth):.4f} | {bias:+.4f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="data sets, separated by commas")
    parser.add_argument("--folds", type=int, default=None, help="of the reward model")
    parser.add_argument("--taken-only", action="store_true", help="hide the whole distribution")
    arguments = parser.parse_args()
    names = ["digits", "wine", "breast_cancer", "latency", "clicks"]
    names += [name for name, load in (("mnist", mnist), ("california", california)) if load()]
    if arguments.only:
        names = arguments.only.split(",")
    print(
        "| data | candidate | log | n | estimator | ESS | refused | coverage | above / below |"
        " RMSE / |truth| | bias / |truth| |"
    )
    print("|" + "---|" * 11)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        how = (arguments.repetitions, arguments.seed, not arguments.taken_only, arguments.folds)
        jobs = [(key, pool.submit(repetitions, key, *how)) for key in keys(names)]
        tally: dict[str, list[float]] = {e.name: [] for e in ESTIMATORS}
        for key, job in jobs:
            out = job.result()
            for line in lines(key, out):
                print(line, flush=True)
            for j, estimator in enumerate(ESTIMATORS):
                told = out[:, j, 4] == 0
                if told.mean() >= 0.9:
                    held = (out[told, j, 1] <= world(key).truth) & (
                        world(key).truth <= out[told, j, 2]
                    )
                    tally[estimator.name].append(held.mean())
    print("\nSettings in which at most a tenth was refused:")
    for name, held in tally.items():
        if held and name != "direct":
            inside = sum(0.93 <= c <= 0.97 for c in held)
            print(
                f"{name}: {len(held)} settings, coverage {np.mean(held):.4f} on average, "
                f"{min(held):.3f} … {max(held):.3f}, {inside} within 0.93 … 0.97"
            )


if __name__ == "__main__":
    main()
