"""The contenders of `choice_overhead.py`: each decides and learns on one problem, timed per call.

A contender's `play` holds its own loop, so that nothing but the library's call lies between the
two looks at the clock. What a library asks of its user besides (building an example, drawing an
arm from probabilities) is not timed: every such doubt is decided in favour of the peer.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter_ns as now
from typing import Any

import numpy as np

import acumen
from acumen import _native

ARMS, FIELDS = 10, 16
NAMES = [f"f{i}" for i in range(FIELDS)]


@dataclass
class Problem:
    """Linear rewards with noise, in advance for every arm.

    Attributes:
        rows: float64[rounds, 16] contexts.
        expected: float64[rounds, 10] mean rewards.
        rewards: rounds lists of 10 rewards.
    """

    rows: np.ndarray
    expected: np.ndarray
    rewards: list[list[float]]

    @classmethod
    def make(cls, rounds: int, seed: int) -> Problem:
        """Contexts are standard normal; the best arm is about 0.15 above the average one."""
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(rounds, FIELDS))
        expected = 0.5 + rows @ rng.normal(scale=0.1 / np.sqrt(FIELDS), size=(FIELDS, ARMS))
        rewards = expected + rng.normal(scale=0.1, size=expected.shape)
        return cls(rows, expected, rewards.tolist())

    def regret(self, arms: list[int]) -> float:
        """Mean regret over the last half of the rounds, as a share of that of a random arm."""
        late = np.arange(len(arms) // 2, len(arms))
        best = self.expected[late].max(axis=1)
        lost = best - self.expected[late, np.asarray(arms)[late]]
        return float(lost.mean() / (best - self.expected[late].mean(axis=1)).mean())


@dataclass
class Contender:
    """Plays rounds of the problem and keeps the nanoseconds of every call."""

    name: str
    problem: Problem
    choose_ns: list[int] = field(default_factory=list)
    feedback_ns: list[int] = field(default_factory=list)
    arms: list[int] = field(default_factory=list)

    def play(self, start: int, stop: int) -> None:
        """Rounds start … stop - 1."""
        raise NotImplementedError


class Timer(Contender):
    """Two looks at the clock with nothing between: part of every other figure here."""

    def play(self, start: int, stop: int) -> None:
        """Times nothing."""
        for _ in range(start, stop):
            t0 = now()
            t1 = now()
            self.choose_ns.append(t1 - t0)


@dataclass
class Floor(Contender):
    """A native function called with the row: no interface from Python can cost less."""

    function: Callable[[Any], object] = _native._floor_empty

    def play(self, start: int, stop: int) -> None:
        """Calls the function."""
        function = self.function
        for i in range(start, stop):
            row = self.problem.rows[i]
            t0 = now()
            function(row)
            t1 = now()
            self.choose_ns.append(t1 - t0)


class FloorKeywords(Contender):
    """The same with sixteen keywords: CPython hands more than fifteen over in a dict."""

    def play(self, start: int, stop: int) -> None:
        """Calls a function that takes them, and does nothing."""
        function = _native._floor_keywords
        for i in range(start, stop):
            a, b, c, d, e, f, g, h, i2, j, k, m, n, o, p, q = self.problem.rows[i].tolist()
            t0 = now()
            # fmt: off
            function(f0=a, f1=b, f2=c, f3=d, f4=e, f5=f, f6=g, f7=h,
                     f8=i2, f9=j, f10=k, f11=m, f12=n, f13=o, f14=p, f15=q)
            # fmt: on
            t1 = now()
            self.choose_ns.append(t1 - t0)


@dataclass
class Acumen(Contender):
    """`choose_row` and `Decision.feedback`."""

    learner: Any = None
    as_tuple: bool = False

    def __post_init__(self) -> None:
        self.choice = acumen.Choice(
            self.name,
            arms=list(range(ARMS)),
            context=dict.fromkeys(NAMES, float),
            default=0,
            metric=acumen.maximize("reward"),
            learner=self.learner,
            seed=1,
        )

    def play(self, start: int, stop: int) -> None:
        """Rows come as a NumPy array or as a tuple."""
        choose, rows = self.choice.choose_row, self.problem.rows
        for i in range(start, stop):
            row = tuple(rows[i].tolist()) if self.as_tuple else rows[i]
            t0 = now()
            decision = choose(row)
            t1 = now()
            arm = decision.index
            reward = self.problem.rewards[i][arm]
            t2 = now()
            decision.feedback(reward)
            t3 = now()
            self.choose_ns.append(t1 - t0)
            self.feedback_ns.append(t3 - t2)
            self.arms.append(arm)


class AcumenLate(Acumen):
    """What came of a block's choices is told when all of them have been made."""

    def play(self, start: int, stop: int) -> None:
        """No context is left from its own choice, as it is when feedback comes at once."""
        choose, rows = self.choice.choose_row, self.problem.rows
        made = []
        for i in range(start, stop):
            row = rows[i]
            t0 = now()
            decision = choose(row)
            t1 = now()
            made.append(decision)
            self.choose_ns.append(t1 - t0)
        for i, decision in zip(range(start, stop), made, strict=True):
            reward = self.problem.rewards[i][decision.index]
            t2 = now()
            decision.feedback(reward)
            t3 = now()
            self.feedback_ns.append(t3 - t2)
            self.arms.append(decision.index)


class AcumenKeywords(Acumen):
    """`choose` and `feedback` as they are written in a program: every value by its name."""

    def play(self, start: int, stop: int) -> None:
        """Sixteen keywords a call."""
        choose, rows = self.choice.choose, self.problem.rows
        for i in range(start, stop):
            a, b, c, d, e, f, g, h, i2, j, k, m, n, o, p, q = rows[i].tolist()
            t0 = now()
            # fmt: off
            decision = choose(f0=a, f1=b, f2=c, f3=d, f4=e, f5=f, f6=g, f7=h,
                              f8=i2, f9=j, f10=k, f11=m, f12=n, f13=o, f14=p, f15=q)
            # fmt: on
            t1 = now()
            arm = decision.index
            reward = self.problem.rewards[i][arm]
            t2 = now()
            decision.feedback(reward=reward)
            t3 = now()
            self.choose_ns.append(t1 - t0)
            self.feedback_ns.append(t3 - t2)
            self.arms.append(arm)


def _vw_lines(row: np.ndarray, label: tuple[int, float, float] | None = None) -> list[str]:
    """A multi-line example: the shared context, then one line an arm; label: arm, cost, p."""
    lines = ["shared |s " + " ".join(f"{n}:{v:.6g}" for n, v in zip(NAMES, row, strict=True))]
    for arm in range(ARMS):
        mine = label is not None and label[0] == arm
        lines.append((f"0:{label[1]}:{label[2]} " if label and mine else "") + f"|a arm{arm}")
    return lines


@dataclass
class VowpalWabbit(Contender):
    """cb_explore_adf, with the products of context and arm (-q sa) that the problem needs.

    With `parsed`, examples are parsed before and freed after what is timed.
    """

    exploration: str = "--squarecb"
    parsed: bool = True

    def __post_init__(self) -> None:
        package = importlib.import_module("vowpalwabbit")
        self.workspace = package.Workspace(f"--cb_explore_adf {self.exploration} -q sa --quiet")
        self.random = random.Random(1)

    def play(self, start: int, stop: int) -> None:
        """Predicts, draws an arm (not timed), learns its cost with its probability."""
        workspace = self.workspace
        for i in range(start, stop):
            example = self._prepared(_vw_lines(self.problem.rows[i]))
            t0 = now()
            probabilities = workspace.predict(example)
            t1 = now()
            self._finished(example)
            arm = self.random.choices(range(ARMS), probabilities)[0]
            cost = -self.problem.rewards[i][arm]
            lines = _vw_lines(self.problem.rows[i], (arm, cost, probabilities[arm]))
            example = self._prepared(lines)
            t2 = now()
            workspace.learn(example)
            t3 = now()
            self._finished(example)
            self.choose_ns.append(t1 - t0)
            self.feedback_ns.append(t3 - t2)
            self.arms.append(arm)

    def _prepared(self, lines: list[str]) -> Any:
        return self.workspace.parse(lines) if self.parsed else "\n".join(lines)

    def _finished(self, example: Any) -> None:
        if self.parsed:
            self.workspace.finish_example(example)


@dataclass
class MABWiser(Contender):
    """`predict` and `partial_fit` of a parametric policy."""

    policy: str = "LinUCB"

    def __post_init__(self) -> None:
        package = importlib.import_module("mabwiser.mab")
        policy = getattr(package.LearningPolicy, self.policy)(alpha=1.0)
        self.bandit = package.MAB(list(range(ARMS)), policy, seed=1)
        # It has to be fitted once before it predicts.
        self.bandit.fit([0], [0.5], np.zeros((1, FIELDS)))

    def play(self, start: int, stop: int) -> None:
        """One row at a time, as a decision inside a program comes."""
        for i in range(start, stop):
            row = self.problem.rows[i : i + 1]
            t0 = now()
            arm = self.bandit.predict(row)
            t1 = now()
            decisions, rewards = [arm], [self.problem.rewards[i][arm]]
            t2 = now()
            self.bandit.partial_fit(decisions, rewards, row)
            t3 = now()
            self.choose_ns.append(t1 - t0)
            self.feedback_ns.append(t3 - t2)
            self.arms.append(arm)


def contenders(problem: Problem) -> tuple[list[Contender], list[str]]:
    """Everyone who is installed, and a line about everyone who is not."""
    lineup: list[Contender] = [
        Timer("timer", problem),
        Floor("floor: empty native call", problem, function=_native._floor_empty),
        Floor("floor: native call that reads the row", problem, function=_native._floor_row),
        FloorKeywords("floor: empty native call, keywords", problem),
        Acumen("acumen LinUCB again (A/A)", problem, learner=acumen.learners.LinUCB()),
    ]
    measured = ("LinUCB", "SquareCB", "LinearThompson")
    for name in acumen.learners.__all__:
        learner = getattr(acumen.learners, name)()
        lineup.append(Acumen(f"acumen {name}", problem, learner=learner))
        if name in measured:
            lineup.append(Acumen(f"acumen {name} tuple", problem, learner=learner, as_tuple=True))
            lineup.append(AcumenKeywords(f"acumen {name} keywords", problem, learner=learner))
            lineup.append(AcumenLate(f"acumen {name} late", problem, learner=learner))
    missing = []
    try:
        for exploration in ("--epsilon 0.1", "--squarecb"):
            label = f"vowpalwabbit {exploration.split()[0].strip('-')}"
            lineup.append(VowpalWabbit(f"{label} pre-parsed", problem, exploration=exploration))
            lineup.append(
                VowpalWabbit(f"{label} strings", problem, exploration=exploration, parsed=False)
            )
    except ImportError as error:
        missing.append(f"vowpalwabbit is left out: {error}")
    try:
        lineup.append(MABWiser("mabwiser LinUCB", problem))
        lineup.append(MABWiser("mabwiser LinTS", problem, policy="LinTS"))
    except ImportError as error:
        missing.append(f"mabwiser is left out: {error}")
    return lineup, missing
