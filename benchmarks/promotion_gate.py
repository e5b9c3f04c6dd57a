"""How often the promotion gate errs, how soon it says yes, and what a step costs.

Run: ``.venv/bin/python benchmarks/promotion_gate.py [--lives 400] [--seed 0]``.
Every life is a choice of two arms with a gate over it (canary shares 10 % and 50 %, error and alarm
5 %), whose candidate is better by a gap in standard deviations of the rewards; feedback comes at
once, and the gate steps after every 100 decisions. Candidates begin in the first canary stage.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import acumen
from acumen.evaluation.off_policy import DecisionLog
from acumen.learners import EpsilonGreedy

Floats = NDArray[np.float64]
NOISES: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "lognormal, sigma 1.5": lambda rng, n: (
        -(np.exp(1.5 * rng.standard_normal(n)) - np.exp(1.125)) / 8.97
    ),
    "1 % cost a hundred times as much": lambda rng, n: (rng.random(n) < 0.01) / -0.0995,
}
STEP = 100


def make(seed: int) -> acumen.Choice:
    return acumen.Choice(
        "life",
        ["a", "b"],
        context={"x": float},
        default="a",
        metric=acumen.maximize("gain"),
        learner=EpsilonGreedy(epsilon=0.2, decay=0.0),
        mode="shadow",
        holdback=0.1,
        seed=seed,
    )


def nothing() -> DecisionLog:
    return DecisionLog.of(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def live(choice: acumen.Choice, rng: np.random.Generator, noise: str, gap: float) -> None:
    made = choice.choose_many(rng.standard_normal((STEP, 1)))
    gain = NOISES[noise](rng, STEP) + gap * (made.indices == 1)
    choice.feedback_many(made.ids, gain=gain)


def life(noise: str, gap: float, decisions: int, seed: int) -> tuple[list[str], int]:
    """Stages that were entered, and decisions until its end."""
    choice, rng = make(seed), np.random.default_rng(seed)
    gate = acumen.Promotion(choice, canary=(0.1, 0.5), evidence=nothing)
    gate._move(1, "the beginning")
    done = 0
    while done < decisions:
        done += STEP
        live(choice, rng, noise, gap)
        status = gate.step()
        if status.stage in ("shadow", "on"):
            break
    return [t.after for t in gate.status().transitions[1:]], done


def errors(lives: int, seed: int) -> None:
    print("| rewards | candidate | lives | any step up | on | rolled back |")
    print("|---|---|---:|---:|---:|---:|")
    for noise in NOISES:
        for gap in (0.0, -0.05):
            told = [life(noise, gap, 20_000, seed + i)[0] for i in range(lives)]
            counts = [sum(stage in t for t in told) for stage in ("canary 0.5", "on", "shadow")]
            what = "equal" if gap == 0 else f"worse by {-gap:g}"
            print(f"| {noise} | {what} | {lives} | {' | '.join(map(str, counts))} |", flush=True)


def power(lives: int, seed: int) -> None:
    print("\n| better by | on, of | decisions until then: median | 95 % |")
    print("|---:|---:|---:|---:|")
    for gap in (0.1, 0.25, 0.5, 1.0):
        told = [life("normal", gap / 0.9, 100_000, seed + i) for i in range(lives)]
        ends = np.array([done if "on" in stages else 1e9 for stages, done in told])
        on = sum("on" in stages for stages, _ in told)
        median, late = np.quantile(ends, [0.5, 0.95])
        print(f"| {gap:g} | {on} of {lives} | {median:,.0f} | {late:,.0f} |", flush=True)


def cost() -> None:
    choice, rng = make(0), np.random.default_rng(0)
    gate = acumen.Promotion(choice, canary=(0.1, 0.5), evidence=nothing)
    gate._move(1, "the beginning")
    taken = []
    for _ in range(2000):
        live(choice, rng, "normal", 0.0)
        start = time.perf_counter()
        gate.step()
        taken.append(time.perf_counter() - start)
    low, median, high = np.quantile(np.array(taken) * 1e6, [0.05, 0.5, 0.95])
    print(f"\nA step in memory: {median:.0f} µs (90 %: {low:.0f} … {high:.0f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cost()
    power(max(arguments.lives // 4, 10), arguments.seed)
    errors(arguments.lives, arguments.seed)


if __name__ == "__main__":
    main()
