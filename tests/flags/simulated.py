"""A subject whose runs are drawn: what is true about it is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from acumen.evaluation.programs.pairs import RunFailedError
from acumen.flags import Measured
from acumen.learners.search import Flag, Integer, Setting, Space

Noise = Callable[[int, np.random.Generator], float]


def heavy(run: int, rng: np.random.Generator) -> float:
    """Now and then a run takes many times as long."""
    return float(math.log(1 + rng.pareto(1.2)))


def drifting(run: int, rng: np.random.Generator) -> float:
    """A machine that gets slower, in waves, with bursts."""
    return 0.002 * run + 0.3 * math.sin(run / 40) + 0.1 * float(rng.standard_t(2))


def even(run: int, rng: np.random.Generator) -> float:
    return 0.02 * float(rng.standard_normal())


class Simulated:
    """Twelve flags and a number; those of `effects` change the log of the time by so much.

    `broken` flags make a run fail; each run moves the simulated machine on.
    """

    metric = "time"
    maximize = False

    def __init__(
        self,
        noise: Noise,
        seed: int,
        effects: Mapping[str, float] | None = None,
        broken: str | None = None,
    ) -> None:
        self.space = Space({**{f"f{i}": Flag() for i in range(12)}, "n": Integer(1, 9, default=5)})
        self.units = {name: (name,) for name in self.space.parameters}
        self.fingerprint = "simulated"
        self.runs = 0
        self._noise, self._effects, self._broken = noise, effects or {}, broken
        self._rng = np.random.default_rng(seed)

    def prepare(self) -> list[str]:
        return ["simulated"]

    def measure(self, setting: Setting, hurry: bool = False) -> Measured:
        self.runs += 1
        if self._broken is not None and setting[self._broken]:
            raise RunFailedError("crashed with SIGSEGV")
        log = self._noise(self.runs, self._rng)
        log += sum(effect for name, effect in self._effects.items() if setting[name])
        return Measured(0.1 * math.exp(log))

    def shown(self, setting: Setting) -> str:
        return " ".join(["prog", *(f"{k}={v}" for k, v in setting.items() if v)])

    def flag(self, unit: str, setting: Setting) -> str:
        return f"{unit}={setting[unit]}"
