"""What is tuned, as the tuner sees it: something with settings that can be run and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from acumen.evaluation.programs.pairs import RunFailedError
from acumen.learners.search import Setting, Space


class TuneError(Exception):
    """A tuning cannot begin, or cannot go on, and why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One successful run.

    Attributes:
        value: of the metric that is to be better; above 0.
        metrics: everything that was measured.

    Raises:
        RunFailedError: the value is not above 0, or not finite.
    """

    value: float
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value > 0):
            raise RunFailedError(f"measured {self.value:g}: only what is above 0 can be compared")


class Subject(Protocol):
    """A program, a function, or anything else with settings.

    Attributes:
        space: what may be set.
        units: what is kept or dropped together when a winner is minimised: parameters by flag.
        metric: name of what is to be better.
        maximize: whether more is better.
        fingerprint: tells one subject from another, for files that belong to one of them.
    """

    space: Space
    metric: str
    maximize: bool
    fingerprint: str

    @property
    def units(self) -> Mapping[str, Sequence[str]]:
        """Parameters by flag; see above."""
        ...

    def prepare(self) -> Sequence[str]:
        """Runs the default until it is known what right results are; notes for the user.

        Raises:
            TuneError: the default does not work.
        """
        ...

    def measure(self, setting: Setting, hurry: bool = False) -> Measured:
        """Runs once.

        Args:
            setting: a valid one.
            hurry: give up on what is far slower than the default.

        Raises:
            RunFailedError: it crashed, hung, broke a limit, or its result was wrong.
        """
        ...

    def shown(self, setting: Setting) -> str:
        """How a setting is put to use: a command line, for example."""
        ...

    def flag(self, unit: str, setting: Setting) -> str:
        """What a setting says about one unit, in a few words."""
        ...
