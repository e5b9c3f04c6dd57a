"""Which learner for which world: mean expected regret per choice, lower is better.

Run: ``.venv/bin/python benchmarks/learner_regret.py [--seeds 20] [--markdown]``. Worlds, their
noise and the learners' coins depend on the seed alone; every learner meets the same worlds. The
first seed is 1000: no parameter was chosen on these.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import acumen.learners
from acumen.testing import discover_learners
from acumen.testing.worlds import Array, World, candidate_world, drifting_world

FIRST_SEED = 1000


def linear(seed: int, arms: int, inputs: int) -> World:
    """Each arm's reward is linear in the context; deviation 1."""
    weights = np.random.default_rng(seed).standard_normal((arms, inputs)) / np.sqrt(inputs)
    return World(inputs, arms, 0, lambda x, features, time: weights @ x, noise=0.5)


def bent(seed: int, arms: int, inputs: int) -> World:
    """Each arm has a sweet spot in every input."""
    centres = np.random.default_rng(seed).uniform(-1.5, 1.5, (arms, inputs))

    def rewards(x: Array, features: Array | None, time: float) -> NDArray[np.float64]:
        worth: NDArray[np.float64] = np.exp(-((x - centres) ** 2)).sum(1) / np.sqrt(inputs)
        return worth

    return World(inputs, arms, 0, rewards, noise=0.3)


def cost(seed: int, arms: int, inputs: int) -> World:
    """Seconds = start-up + rate · size; sizes are log-normal, as in most systems."""
    rng = np.random.default_rng(seed)
    startup = np.sort(rng.uniform(0, 1, arms))
    rate = np.sort(rng.uniform(0, 1, arms))[::-1] * 2 / np.sqrt(arms)

    def rewards(x: Array, features: Array | None, time: float) -> NDArray[np.float64]:
        worth: NDArray[np.float64] = -(startup + rate * np.exp(x[0]) + 0.1 * x[1:].sum())
        return worth

    return World(inputs, arms, 0, rewards, noise=0.1)


def of_size(
    make: Callable[[int, int, int], World], arms: int, inputs: int
) -> Callable[[int], World]:
    return lambda seed: make(seed, arms, inputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    problems: list[tuple[str, Callable[[int], World], int]] = []
    for make in (linear, bent, cost):
        for arms, inputs, steps in ((4, 4, 500), (4, 4, 5000), (10, 16, 500), (10, 16, 5000)):
            name = f"{make.__name__}, {arms} arms, {inputs} inputs, {steps} choices"
            problems.append((name, of_size(make, arms, inputs), steps))
    problems.append(("candidates with 3 features, 3 inputs, 2500 choices", candidate_world, 2500))
    problems.append(("drift (no half-life), 3 arms, 2500 choices", drifting_world, 2500))
    classes = discover_learners(acumen.learners)
    names = [c.__name__ for c in classes]
    print("| world | best single arm | " + " | ".join(names) + " |")
    print("|" + "---|" * (len(names) + 2))
    for name, make_world, steps in problems:
        regrets = np.empty((arguments.seeds, len(classes) + 1))
        for row in range(arguments.seeds):
            seed = FIRST_SEED + row
            world = make_world(seed)
            regrets[row, 0] = world.single_arm_regrets(steps, seed).min()
            for column, spec in enumerate(classes):
                learner = spec().build(world.inputs + 1, world.arms, world.features)
                regrets[row, column + 1] = world.run(learner, steps, seed).mean()
        means = regrets.mean(0)
        errors = 1.96 * regrets.std(0, ddof=1) / np.sqrt(arguments.seeds)
        cells = [f"{m:.3f} ±{e:.3f}" for m, e in zip(means, errors, strict=True)]
        best = 1 + int(means[1:].argmin())
        if arguments.markdown:
            cells[best] = f"**{cells[best]}**"
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
