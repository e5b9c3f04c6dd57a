"""Acumen's own search, as the race runs it: what a user of `Search` gets, nothing set."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from acumen.core import minimize
from acumen.evaluation import Contender
from acumen.flags.measuring import measure_search
from acumen.learners.search import (
    Portfolio,
    RegularizedEvolution,
    Search,
    SearchLearner,
    Setting,
    Space,
    SurrogateSearch,
    Trial,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A search of Acumen.

    Attributes:
        name: in the rows.
        learner: who suggests; None: the default.
        control: share of evaluations for plain random search.
        about: one line for people.
    """

    name: str
    learner: SearchLearner | None
    control: float
    about: str

    def make(self, space: Space, budget: int, seed: int) -> AcumenTuner:
        """A search in memory."""
        metric, control = minimize("cost"), self.control
        return AcumenTuner(
            Search(space, metric, learner=self.learner, budget=budget, control=control, seed=seed)
        )


CONTROL = 0.1  # the default of `Search`, which a test compares
DEFAULT = Member("acumen", None, CONTROL, "learned: the default search, random control included")
# They run when they are asked for by name.
MEMBERS = (
    Member("portfolio", Portfolio(), 0.0, "learned: the default without the random control"),
    Member("surrogate", SurrogateSearch(), 0.0, "learned: its Gaussian process alone"),
    Member("evolution", RegularizedEvolution(), 0.0, "learned: regularised evolution alone"),
)


class AcumenTuner:
    """A `Search`, as the race asks it."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._trial: Trial | None = None

    def ask(self) -> Setting:
        """The next trial's setting."""
        self._trial = self._search.ask()
        return self._trial.setting

    def tell(self, value: float | None) -> None:
        """What came of it."""
        assert self._trial is not None
        if value is None:
            self._search.fail(self._trial, "failed")
        else:
            self._search.tell(self._trial, cost=value)

    def best(self) -> Setting:
        """What the search believes in most."""
        best = self._search.best
        return dict(self._search.space.default) if best is None else best.setting


def learned_contenders(repeats: int, only: Sequence[str]) -> list[Contender]:
    """The default search, and its members where they are asked for."""
    members = [DEFAULT, *(member for member in MEMBERS if member.name in only)]
    return [
        Contender(
            name=member.name,
            kind="learned",
            measure=functools.partial(measure_search, member.make),
            cost=500.0,
            repeats=repeats,
            about=member.about,
        )
        for member in members
    ]
