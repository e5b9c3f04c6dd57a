"""False alarms of a drift detector on values that hang together, and what thinning does about them.

Run: ``.venv/bin/python benchmarks/drift_autocorrelated.py [--streams 200]``. Streams of 100,000
values whose neighbours correlate, with `records_per_alarm` = 10^6, so that independent values would
have an alarm in 10 % of them at most. Looked at are every value, every k-th, or those that
`Thinning` chooses by itself ("auto"; its median choice behind it). Then delays after a change.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from acumen.core import DriftDetector
from acumen.core.thinning import Thinning

Floats = NDArray[np.float64]
LENGTH, ALLOWANCE = 100_000, 1e6
EVERY = (1, 3, 10, 50)


def autoregressive(rng: np.random.Generator, n: int, phi: float) -> Floats:
    """AR(1) of variance 1."""
    noise = rng.standard_normal(n) * np.sqrt(1 - phi**2)
    noise[0] = rng.standard_normal()
    # In stretches: powers of phi would underflow over the whole.
    out, last = np.empty(n), 0.0
    for i in range(n):
        last = out[i] = phi * last + noise[i]
    return out


def stream(name: str, rng: np.random.Generator, n: int) -> Floats:
    kind, _, number = name.rpartition(" ")
    phi = float(number)
    slow = autoregressive(rng, n, phi)
    if kind == "AR(1),":
        return slow
    if kind == "heavy tails, AR(1),":
        return np.exp(3 * slow)
    if kind == "rewards: a tenth AR(1), the rest noise,":
        return np.sqrt(0.1) * slow + np.sqrt(0.9) * rng.standard_normal(n)
    if kind == "calm and wild times, AR(1),":
        return np.exp(slow) * rng.standard_normal(n)
    assert kind == "8 categories, AR(1),"
    return np.floor(np.clip(2 * slow + 4, 0, 7))


STREAMS = [f"AR(1), {phi}" for phi in (0, 0.05, 0.1, 0.3, 0.5, 0.9, 0.95, -0.9)]
STREAMS += [f"heavy tails, AR(1), {phi}" for phi in (0.5, 0.9)]
STREAMS += [f"rewards: a tenth AR(1), the rest noise, {phi}" for phi in (0.5, 0.9, 0.95)]
STREAMS += [f"calm and wild times, AR(1), {phi}" for phi in (0.5, 0.9)]
STREAMS += [f"8 categories, AR(1), {phi}" for phi in (0, 0.5, 0.9)]


def detector(name: str, seed: int) -> DriftDetector:
    return DriftDetector(
        records_per_alarm=ALLOWANCE, categories=name.startswith("8 categories"), seed=seed
    )


def alarmed(name: str, values: Floats, seed: int) -> bool:
    return bool(detector(name, seed).update(values))


def false_alarms(name: str, seeds: range) -> tuple[list[float], float]:
    """Shares of streams with an alarm, the last of them thinned; what the thinning chose."""
    wrong, chosen = np.zeros(len(EVERY) + 1), []
    for seed in seeds:
        values = stream(name, np.random.default_rng(seed), LENGTH)
        thinning = Thinning(name.startswith("8 categories"))
        thinned = values[thinning.keep(values)]
        chosen.append(thinning.every)
        looks = [*(values[::k] for k in EVERY), thinned]
        wrong += [alarmed(name, look, seed) for look in looks]
    return list(wrong / len(seeds)), float(np.median(chosen))


def delays(phi: float, seeds: range) -> tuple[float, float]:
    """Values until the alarm after a shift by 1 at the 20,000th; every value, and thinned."""
    found: list[list[int]] = [[], []]
    for seed in seeds:
        values = autoregressive(np.random.default_rng(seed), 60_000, phi)
        values[20_000:] += 1.0
        for i, places in enumerate((np.arange(len(values)), Thinning().keep(values))):
            alarms = detector("", seed).update(values[places])
            late = [int(places[a.index]) - 20_000 for a in alarms if places[a.index] >= 20_000]
            found[i].append(late[0] if late else 40_000)
    return float(np.median(found[0])), float(np.median(found[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seed", type=int, default=3_000_000)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.streams)
    print("| stream | every value | " + " | ".join(f"every {k}th" for k in EVERY[1:]), end="")
    print(" | auto (chosen) |\n|" + "---|" * (len(EVERY) + 2))
    for name in STREAMS:
        wrong, chosen = false_alarms(name, seeds)
        cells = " | ".join(f"{w:.1%}" for w in wrong)
        print(f"| {name} | {cells} ({chosen:.0f}) |", flush=True)
    print("\n| AR(1) | delay after + 1, every value | auto |\n|---|---|---|")
    for phi in (0.0, 0.5, 0.9):
        every, auto = delays(phi, seeds[:50])
        print(f"| {phi} | {every:.0f} | {auto:.0f} |", flush=True)


if __name__ == "__main__":
    main()
