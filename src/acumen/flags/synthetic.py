"""Fast objectives, drawn from a seed, whose optimum is known: the usual families of the field.

Each is `cost(setting) = exp(room * g(setting) / g(default))` with g >= 0, and 0 at the optimum:
the default costs `exp(room)` times as much as the best. What makes them hard is in g.

    pairs      24 flags, of which 7 matter, alone and in pairs; a run deviates by 1 %
    landscape  NK: what a flag is worth depends on three others (Kauffman, 1993)
    traps      blocks of four flags, where each step but the last leads away (Deb & Goldberg, 1993)
    valley     six real numbers, a rotated ellipsoid of condition 1,000
    banana     five real numbers, Rosenbrock's curved valley
    ripples    five real numbers, Rastrigin's many valleys
    mixed      categories, whole and real numbers; a category moves the others' optimum
    branches   conditional: each of four methods has parameters of its own
    tiles      whole numbers on logarithmic scales: multiples, a cliff where the product is too
               large; a run deviates by 2 %
    crashes    a mixed space of which about a third fails, the optimum near the edge
    noisy      pairs among 12 flags, and two numbers; a run deviates by 8 %, one in twenty is slow
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.learners.search import Categorical, Flag, Integer, Real, Setting, Space, When

Floats = NDArray[np.float64]
Hardness = Callable[[Setting], float | None]
# What the default costs more than the best: drawn between these factors.
ROOM = (1.3, 4.0)
COST_MAX = math.exp(6.0)
DRAWS_MAX = 200
SLOW_RUNS = (1.5, 3.0)  # how much slower a slow run is


@dataclass(frozen=True, slots=True)
class Synthetic:
    """An objective of a family.

    Attributes:
        space: what may be set.
        hardness: g, 0 at the optimum; None where the program would crash.
        scale: what g is multiplied with.
        deviation: of the logarithm of a measurement.
        slow: probability of a slow run.
    """

    space: Space
    hardness: Hardness
    scale: float
    deviation: float = 0.0
    slow: float = 0.0

    @property
    def best(self) -> float:
        """The optimum costs 1."""
        return 1.0

    def true(self, setting: Setting) -> float:
        """Its cost without noise; infinite where it crashes."""
        found = self.hardness(setting)
        return math.inf if found is None else min(math.exp(self.scale * found), COST_MAX)

    def measure(self, setting: Setting, rng: np.random.Generator) -> float | None:
        """Its cost with noise; None where it crashes."""
        cost = self.true(setting)
        if not math.isfinite(cost):
            return None
        cost *= math.exp(self.deviation * rng.standard_normal())
        return cost * rng.uniform(*SLOW_RUNS) if rng.random() < self.slow else cost


def draw(family: str, seed: int) -> Synthetic:
    """An objective of a family, the same for the same seed.

    Draws are repeated until the default is as defaults are: of random settings that work better
    than a quarter, and worse than one in fifty.
    """
    make, deviation, slow = FAMILIES[family]
    rng = np.random.default_rng([seed, list(FAMILIES).index(family), 0xF1A6])
    for _ in range(DRAWS_MAX):
        space, hardness = make(rng)
        default = hardness(space.default)
        drawn = [hardness(space.sample(rng)) for _ in range(100)]
        values = [value for value in drawn if value is not None]
        if default is None or len(values) < 50:
            continue
        better = sum(value < default for value in values) / len(values)
        if default > 1e-6 and 0.02 <= better <= 0.75:
            room = math.log(rng.uniform(*ROOM))
            return Synthetic(space, hardness, room / default, deviation, slow)
    raise RuntimeError(f"{DRAWS_MAX} draws of {family!r} had no default as defaults are")


Made = tuple[Space, Hardness]


def pairs(rng: np.random.Generator, flags: int = 24, matter: int = 7) -> Made:
    """Flags, few of which matter, alone and in pairs."""
    names = [f"f{k}" for k in range(flags)]
    which = rng.choice(flags, matter, replace=False)
    alone, together = rng.normal(0.3, 1.0, matter), np.triu(rng.normal(0, 0.8, (matter,) * 2), 1)
    together *= rng.random((matter, matter)) < 0.5

    def total(bits: Floats) -> Floats:
        found: Floats = bits @ alone + np.einsum("ni,ij,nj->n", bits, together, bits)
        return found

    least = float(total(_all_bits(matter)).min())

    def hardness(setting: Setting) -> float:
        bits = np.array([[float(setting[names[k]]) for k in which]])
        return float(total(bits)[0]) - least

    return Space({name: Flag() for name in names}), hardness


def landscape(rng: np.random.Generator, flags: int = 14, others: int = 3) -> Made:
    """An NK landscape; its optimum is found by looking at every setting."""
    links = np.array(
        [
            [k, *rng.choice([i for i in range(flags) if i != k], others, replace=False)]
            for k in range(flags)
        ]
    )
    tables = rng.random((flags, 2 ** (others + 1)))
    powers = 2 ** np.arange(others + 1)

    def total(bits: Floats) -> Floats:
        codes = bits.astype(int)[:, links] @ powers
        found: Floats = tables[np.arange(flags), codes].mean(axis=1)
        return found

    least = float(total(_all_bits(flags)).min())
    names = [f"f{k}" for k in range(flags)]

    def hardness(setting: Setting) -> float:
        return float(total(np.array([[float(setting[name]) for name in names]]))[0]) - least

    return Space({name: Flag() for name in names}), hardness


def traps(rng: np.random.Generator, blocks: int = 5, size: int = 4) -> Made:
    """Blocks that deceive: fewer right flags cost less, until all of them are right."""
    names = [f"f{k}" for k in range(blocks * size)]
    target, weight = rng.random(blocks * size) < 0.5, rng.uniform(0.5, 1.5, blocks)

    def hardness(setting: Setting) -> float:
        right = np.array([setting[name] == aim for name, aim in zip(names, target, strict=True)])
        right = right.reshape(blocks, size).sum(axis=1)
        return float(weight @ np.where(right == size, 0.0, (right + 1.0) / size))

    return Space({name: Flag() for name in names}), hardness


def valley(rng: np.random.Generator, count: int = 6) -> Made:
    """A rotated ellipsoid."""
    turn = np.linalg.qr(rng.standard_normal((count, count)))[0]
    shape, aim = turn * np.logspace(0, 1.5, count), _aims(rng, count)
    return _reals(rng, count), lambda s: float(np.sqrt((((_row(s) - aim) @ shape) ** 2).sum()))


def banana(rng: np.random.Generator, count: int = 5) -> Made:
    """Rosenbrock's function, its optimum moved."""
    aim = _aims(rng, count)

    def hardness(setting: Setting) -> float:
        x = 1.0 + 3.0 * (_row(setting) - aim)
        return math.log1p(float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()))

    return _reals(rng, count), hardness


def ripples(rng: np.random.Generator, count: int = 5) -> Made:
    """Rastrigin's function, its optimum moved."""
    aim = _aims(rng, count)

    def hardness(setting: Setting) -> float:
        x = 5.0 * (_row(setting) - aim)
        return float((x * x + 4.0 * (1.0 - np.cos(2 * np.pi * x))).sum())

    return _reals(rng, count), hardness


def mixed(rng: np.random.Generator) -> Made:
    """Three categories whose combination counts, and numbers whose optimum the first one moves."""
    sizes = (5, 4, 3)
    table = rng.gamma(1.0, 0.5, sizes)
    table -= table.min()
    aims, weight = rng.uniform(0.05, 0.95, (sizes[0], 5)), rng.uniform(0.5, 3.0, 5)
    space = Space(
        {
            **{f"c{k}": Categorical([f"v{i}" for i in range(n)]) for k, n in enumerate(sizes)},
            "n0": Integer(1, 40, default=4),
            "n1": Integer(1, 1024, log=True, default=8),
            "x0": Real(0, 1, default=0.2),
            "x1": Real(1e-4, 1, log=True),
            "x2": Real(-5, 5, default=4.0),
        }
    )
    numbers = ("n0", "n1", "x0", "x1", "x2")

    def hardness(setting: Setting) -> float:
        code = tuple(int(setting[f"c{k}"][1:]) for k in range(3))
        place = _places(space, setting, numbers)
        snapped = _places(space, _nearest(space, numbers, aims[code[0]]), numbers)
        return float(table[code] + weight @ (place - snapped) ** 2)

    return space, hardness


def branches(rng: np.random.Generator) -> Made:
    """Four methods with three parameters each; the best one is not good as it stands."""
    methods, per = 4, 3
    names = [[f"m{m}_{k}" for k in range(per)] for m in range(methods)]
    parameters: dict[str, Any] = {"method": Categorical([f"m{m}" for m in range(methods)])}
    conditions = {}
    for m, group in enumerate(names):
        kinds = (Integer(1, 64, default=8), Real(1e-3, 1, log=True), Real(0, 1))
        for name, kind in zip(group, kinds, strict=True):
            parameters[name], conditions[name] = kind, When("method", f"m{m}")
    space = Space(parameters, conditions)
    base = np.sort(rng.uniform(0.0, 0.6, methods))
    base[0] = 0.0
    rng.shuffle(base)
    aims = np.array([_aims(rng, per) for _ in range(methods)])
    weight = rng.uniform(1.0, 8.0, (methods, per))

    def hardness(setting: Setting) -> float:
        m = int(setting["method"][1:])
        snapped = _places(space, _nearest(space, names[m], aims[m]), names[m])
        return float(base[m] + weight[m] @ (_places(space, setting, names[m]) - snapped) ** 2)

    return space, hardness


def tiles(rng: np.random.Generator, count: int = 5) -> Made:
    """Tile sizes: multiples of eight, and a cliff where three of them no longer fit."""
    aim, weight = rng.integers(3, 8, count), rng.uniform(0.3, 1.0, count)
    fits = float(2 ** aim[:3].sum())
    names = [f"t{k}" for k in range(count)]

    def hardness(setting: Setting) -> float:
        sizes = np.array([setting[name] for name in names], float)
        found = float(weight @ np.abs(np.log2(sizes) - aim)) / 2
        found += 0.4 * float((sizes % 8 != 0).mean())
        return found + (1.0 if sizes[:3].prod() > fits else 0.0)

    return Space({name: Integer(1, 512, log=True, default=32) for name in names}), hardness


def crashes(rng: np.random.Generator) -> Made:
    """Numbers beyond either of two planes crash, and so do two flags together."""
    names = ("n0", "n1", "x0", "x1")
    space = Space(
        {
            **{f"f{k}": Flag() for k in range(6)},
            "n0": Integer(1, 32),
            "n1": Integer(0, 100),
            "x0": Real(0, 1),
            "x1": Real(0, 1),
        }
    )
    setting = _nearest(space, names, _aims(rng, 4))
    aim, start = _places(space, setting, names), _places(space, space.default, names)
    planes = rng.standard_normal((2, 4))
    planes *= np.where((start - aim) @ planes.T > 0, -1.0, 1.0)[:, None]
    target = rng.random(6) < 0.5
    one, two = rng.choice(6, 2, replace=False)
    target[two] = not target[one]
    flags, weight = rng.uniform(0.1, 0.5, 6), rng.uniform(0.5, 4.0, 4)

    def hardness(setting: Setting) -> float | None:
        place = _places(space, setting, names)
        bits = np.array([setting[f"f{k}"] for k in range(6)])
        if (bits[one] and bits[two]) or ((place - aim) @ planes.T > 0.02).any():
            return None
        return float(flags @ (bits != target) + weight @ (place - aim) ** 2)

    return space, hardness


def noisy(rng: np.random.Generator) -> Made:
    """Pairs among flags, and two numbers."""
    flags, inner = pairs(rng, 12, 6)
    aim = _aims(rng, 2)
    numbers = {"x0": Real(0, 1), "x1": Real(0, 1)}

    def hardness(setting: Setting) -> float | None:
        apart = np.array([setting["x0"], setting["x1"]]) - aim
        found = inner(setting)
        return None if found is None else found + 4.0 * float(apart @ apart)

    return Space({**flags.parameters, **numbers}), hardness


# How each is drawn, how far a run deviates, how likely it is slow.
FAMILIES: dict[str, tuple[Callable[[np.random.Generator], Made], float, float]] = {
    "pairs": (pairs, 0.01, 0.0),
    "landscape": (landscape, 0.0, 0.0),
    "traps": (traps, 0.0, 0.0),
    "valley": (valley, 0.0, 0.0),
    "banana": (banana, 0.0, 0.0),
    "ripples": (ripples, 0.0, 0.0),
    "mixed": (mixed, 0.0, 0.0),
    "branches": (branches, 0.0, 0.0),
    "tiles": (tiles, 0.02, 0.0),
    "crashes": (crashes, 0.0, 0.0),
    "noisy": (noisy, 0.08, 0.05),
}


def _all_bits(count: int) -> Floats:
    found: Floats = (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(np.float64)
    return found


def _aims(rng: np.random.Generator, count: int) -> Floats:
    """Places of an optimum: inside, and not where the default is, in the middle."""
    sides: Floats = rng.choice([-1.0, 1.0], count)
    return 0.5 + rng.uniform(0.15, 0.42, count) * sides


def _reals(rng: np.random.Generator, count: int) -> Space:
    """Real numbers; the default is not in the middle, which would be better than most places."""
    starts = rng.uniform(0.02, 0.98, count).round(3).tolist()
    return Space({f"x{k}": Real(0.0, 1.0, default=start) for k, start in enumerate(starts)})


def _row(setting: Setting) -> Floats:
    return np.fromiter(setting.values(), np.float64, len(setting))


def _places(space: Space, setting: Setting, names: Any) -> Floats:
    """Where values stand in their ranges, in [0, 1]."""
    return np.array([space.parameters[name].genes(setting[name])[0] for name in names])


def _nearest(space: Space, names: Any, places: Floats) -> Setting:
    """Values that stand nearest to places: an optimum must be reachable."""
    pairs = zip(names, places, strict=True)
    return {name: space.parameters[name].value([float(place)]) for name, place in pairs}
