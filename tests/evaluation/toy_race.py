"""A race small enough to reason about, with everything that can go wrong in one."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acumen.evaluation import (
    Ask,
    BrokenError,
    Contender,
    Measurement,
    Metric,
    Prepared,
    Workload,
    WorkloadError,
)

METRIC = Metric("loss", "minimize", "loss", "size")


def prepare(name: str, scratch: Path) -> Prepared:
    if name == "malformed":
        raise WorkloadError("ends in the middle")
    if name == "crash":
        os._exit(7)
    (scratch / "note").write_text(name)
    settings = () if name == "small" else (1.0, 2.0)
    return Prepared(str(scratch / "note"), settings, 1000, f"detail of {name}")


def measure(base: float, note: str, setting: float, seed: int) -> Measurement:
    assert Path(note).read_text()
    return Measurement(base / setting, 1000, 0.001)


def measure_random(base: float, note: str, setting: float, seed: int) -> Measurement:
    return Measurement(base / setting + 0.01 * (seed % 3), 1000, 0.001 * (1 + seed))


def sweep(note: str, settings: tuple[float, ...], seed: int) -> list[Measurement]:
    with open(note, "a") as file:
        file.write(f" swept with {seed}")
    return [measure(0.7, note, setting, seed) for setting in settings]


def sweep_raises(note: str, settings: tuple[float, ...], seed: int) -> list[Measurement]:
    raise RuntimeError(f"stuck before {settings}")


def measure_broken(note: str, setting: float, seed: int) -> Measurement:
    if setting == 1.0:
        raise BrokenError("cannot be this small")
    return Measurement(0.9, 1000, 0.001)


def measure_raises(note: str, setting: float, seed: int) -> Measurement:
    raise RuntimeError("no\nluck")


def measure_dies(note: str, setting: float, seed: int) -> Measurement:
    os.abort()


def measure_sleeps(note: str, setting: float, seed: int) -> Measurement:
    time.sleep(60)
    return Measurement(0.0, 1, 1.0)


@dataclass(frozen=True)
class ToyRace:
    names: tuple[str, ...] = ("alpha",)
    extra: tuple[Contender, ...] = ()
    domain: str = "toy"
    summary: str = "which toy"
    metric: Metric = METRIC

    def workloads(self, ask: Ask) -> Sequence[Workload]:
        return [Workload(name, functools.partial(prepare, name)) for name in self.names]

    def contenders(self, ask: Ask) -> Sequence[Contender]:
        return [
            _contender("learner", "learned", functools.partial(measure_random, 0.5), repeats=3),
            _contender("today", "heuristic", functools.partial(measure, 1.0), default=True),
            _contender("other", "heuristic", functools.partial(measure, 0.8)),
            *self.extra,
        ]

    def bound(self, ask: Ask) -> Contender | None:
        return _contender("oracle", "bound", functools.partial(measure, 0.2))

    def notes(self, ask: Ask) -> Sequence[str]:
        return []


def _contender(name: str, kind: Any, call: Any, **more: Any) -> Contender:
    return Contender(name=name, kind=kind, measure=call, **more)


def trouble(name: str, call: Any) -> Contender:
    return _contender(name, "heuristic", call)
