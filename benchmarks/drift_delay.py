"""How often a drift detector is wrong, and how late when it is right.

Run: ``.venv/bin/python benchmarks/drift_delay.py [--streams 200]``. Streams come
from the seed; false alarms are counted on stationary ones, delays after a change at the 20,000th
value.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from acumen.core import DriftDetector

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

STREAMS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "Cauchy": lambda rng, n: rng.standard_cauchy(n),
    "Pareto, tail index 0.5": lambda rng, n: rng.pareto(0.5, n),
    "lognormal, deviation 3": lambda rng, n: rng.lognormal(0, 3, n),
    "1 with 1 %, else 0": lambda rng, n: (rng.random(n) < 0.01).astype(float),
    "normal that rises by 5, falls alone": lambda rng, n: (
        rng.standard_normal(n) + np.linspace(0, 5, n)
    ),
    "16 categories": lambda rng, n: rng.integers(16, size=n).astype(float),
}
CHANGES: list[tuple[str, str, Draw]] = [
    ("normal", "mean + 1", lambda rng, n: rng.standard_normal(n) + 1.0),
    ("normal", "mean + 0.5", lambda rng, n: rng.standard_normal(n) + 0.5),
    ("normal", "mean + 0.25", lambda rng, n: rng.standard_normal(n) + 0.25),
    ("normal", "twice as wide", lambda rng, n: rng.standard_normal(n) * 2),
    ("normal", "half as wide", lambda rng, n: rng.standard_normal(n) / 2),
    ("normal, falls alone", "mean - 1", lambda rng, n: rng.standard_normal(n) - 1.0),
    ("normal, falls alone", "mean - 0.5", lambda rng, n: rng.standard_normal(n) - 0.5),
    ("Cauchy", "+ 1", lambda rng, n: rng.standard_cauchy(n) + 1.0),
    ("Pareto, tail index 0.5", "doubled", lambda rng, n: rng.pareto(0.5, n) * 2),
    ("1 with 1 %, else 0", "2 %", lambda rng, n: (rng.random(n) < 0.02).astype(float)),
    ("1 with 1 %, else 0", "5 %", lambda rng, n: (rng.random(n) < 0.05).astype(float)),
    ("16 categories", "8 of them", lambda rng, n: rng.integers(8, size=n).astype(float)),
    (
        "16 categories",
        "one has half",
        lambda rng, n: np.where(rng.random(n) < 0.5, 3.0, rng.integers(16, size=n)),
    ),
]


def detector(name: str, allowance: float, seed: int) -> DriftDetector:
    return DriftDetector(
        records_per_alarm=allowance,
        categories="categories" in name,
        falls="falls alone" in name,
        seed=seed,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1_000_000)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.streams)
    print("| stationary stream | streams with a false alarm in 100,000 values | allowed |")
    print("|---|---|---|")
    for name, draw in STREAMS.items():
        for allowance in (1e6, 1e7):
            wrong = sum(
                bool(detector(name, allowance, s).update(draw(np.random.default_rng(s), 100_000)))
                for s in seeds
            )
            print(f"| {name} | {wrong / len(seeds):.1%} | {1e5 / allowance:.1%} |", flush=True)
    print("\n| stream | then | delay, median | 90 % |")
    print("|---|---|---|---|")
    for name, change, draw in CHANGES:
        delays = []
        for s in list(seeds)[:50]:
            rng = np.random.default_rng(s)
            watching = detector(name, 1e6, s)
            watching.update(
                STREAMS[name.partition(",")[0] if name not in STREAMS else name](rng, 20_000)
            )
            alarms = watching.update(draw(rng, 100_000))
            delays.append(alarms[0].index + 1 if alarms else 100_000)
        median, most = np.quantile(delays, [0.5, 0.9])
        print(f"| {name} | {change} | {median:,.0f} | {most:,.0f} |", flush=True)
    for name in ("normal", "16 categories"):
        values = STREAMS[name](np.random.default_rng(0), 1_000_000)
        watching = detector(name, 1e12, 0)
        start = time.perf_counter()
        watching.update(values)
        print(f"\n{name}: {(time.perf_counter() - start) * 1e3:.0f} ns a value")


if __name__ == "__main__":
    main()
