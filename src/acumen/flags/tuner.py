"""Tunes a subject: search, choose among the best, drop what does not matter, confirm afresh.

Only the last phase decides what is said. Whatever luck the search had, the confirmation knows
nothing of it: it measures the winner anew beside the default, once, with a test that errs at most
once in a hundred tunings however often it looks (`acumen.evaluation.programs.sequential`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from acumen.core import minimize
from acumen.evaluation.programs.pairs import (
    ERROR,
    Comparison,
    RunFailedError,
    compare,
    noise,
)
from acumen.evaluation.programs.verdict import Verdict, failed, judge
from acumen.flags.importance import importances
from acumen.flags.minimising import Minimised, Stakes, differing, minimise
from acumen.flags.side_by_side import SideBySide
from acumen.flags.state import State
from acumen.flags.subject import Subject, TuneError
from acumen.flags.trying import Trying
from acumen.learners.search import (
    BudgetSpentError,
    Search,
    SearchFileError,
    SearchLearner,
    Setting,
    Trial,
)
from acumen.learners.search.parallel import drive

Phase = Literal["default", "search", "choosing", "minimising", "confirming"]
# Pairs of the default and itself before the search, and the share of the time for them.
_CONTROL_PAIRS, _CONTROL_SHARE = 5, 0.1
# How many are run side by side before one is chosen, and how often.
_FINALISTS, _TURNS = 4, 6
# What the search may use of the time; the rest is for choosing, minimising and confirming.
_SEARCH_SHARE, _CHOOSE_SHARE = 0.5, 0.08
# Rounds that a confirmation needs at least to be certain of anything; each runs three times.
_ROUNDS_NEEDED = 12
_ATTEMPTS = 3
# The share of ERROR that the first comparison of a tuning may use up; the k-th has 1 / k³ of that.
# Together they stay below ERROR, however often a winner fails or a tuning is taken up again.
_FIRST_SHARE = 0.83


@dataclass(frozen=True)
class Budget:
    """How much may be spent: seconds of wall time for everything, or trials of the search."""

    seconds: float = math.inf
    trials: int | None = None

    def __post_init__(self) -> None:
        if self.trials is None and not math.isfinite(self.seconds):
            raise TuneError("a budget is needed: seconds or trials")
        if not self.seconds > 0 or (self.trials is not None and self.trials < 1):
            raise TuneError("a budget must be above 0")


@dataclass
class Progress:
    """Where a tuning is.

    Attributes:
        phase: what it is doing.
        trials: settings that were tried.
        failures: how many of them failed.
        best: by how much the best one seems to be better, a ratio; not confirmed.
        comparison: of the confirmation.
    """

    phase: Phase = "default"
    trials: int = 0
    failures: int = 0
    best: float | None = None
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Tuned:
    """What a tuning has found.

    Attributes:
        verdict: what may be said.
        setting: the setting to use: the winner if the verdict is ``better``, else the default.
        shown: how to put it to use: the command line, for example.
        flags_that_matter: those of the winner, in words; none unless it is better.
        effects: what the winner loses without a flag, a ratio, by flag; from minimising.
        best_unconfirmed: the search's best setting, however lucky it was.
        trials: all that was tried.
        notes: what the user should know.
        interrupted: whether it was cut short.
        control: log ratios of the default to itself from before the search.
        seconds: that it took, earlier parts included.
    """

    verdict: Verdict
    setting: Setting
    shown: str
    flags_that_matter: tuple[str, ...] = ()
    effects: dict[str, float] = field(default_factory=dict)
    best_unconfirmed: str | None = None
    trials: Sequence[Trial] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    control: tuple[float, ...] = ()
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.verdict.as_dict(),
            "command": self.shown,
            "flags_that_matter": list(self.flags_that_matter),
            "setting": self.setting,
            "effects": self.effects,
            "best_unconfirmed": self.best_unconfirmed,
            "trials": len(self.trials),
            "failures": sum(trial.state == "failed" for trial in self.trials),
            "notes": list(self.notes),
            "interrupted": self.interrupted,
            "seconds": self.seconds,
        }


class Tuner:
    """Tunes one subject within a budget.

    Args:
        subject: what is tuned.
        budget: how much may be spent.
        learner: who searches; None: the default of `Search`.
        repeat: runs of each setting that is tried; None: one, and up to five of promising ones.
        file: keeps the search, so that it goes on there after an interruption.
        seed: of everything drawn; None: another one each time.
        side_by_side: where the search tries several settings at once; None: one after the other.
            All else runs alone in any case.
        told: is called often, with where things are.
    """

    def __init__(
        self,
        subject: Subject,
        budget: Budget,
        *,
        learner: SearchLearner | None = None,
        repeat: int | None = None,
        file: Path | None = None,
        seed: int | None = None,
        side_by_side: SideBySide | None = None,
        told: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._subject, self._budget, self._told = subject, budget, told
        self._trying, self._side_by_side = Trying(subject, repeat), side_by_side
        try:
            self._search = Search(
                subject.space, minimize("cost", log=True),
                learner=learner, budget=budget.trials, file=file, seed=seed,
            )  # fmt: skip
        except SearchFileError as error:
            raise TuneError(str(error)) from None
        try:
            self._state = State(file, subject.fingerprint)
        except TuneError:
            self._search.close()
            raise
        self._rng = np.random.default_rng(seed)
        self._progress = Progress()
        self._control: list[float] = []
        self._comparison = Comparison()
        self._minimised: Minimised | None = None
        self._compared: Setting | None = None
        self._notes: list[str] = []
        self._sign = -1.0 if subject.maximize else 1.0
        self._one_run = 0.0
        self._began = 0.0

    def run(self) -> Tuned:
        """Does all of it. Ctrl-C ends the search and goes on to the verdict; a second one stops.

        Raises:
            TuneError: something is wrong with what was asked, not with the default.
        """
        # What earlier parts have spent is spent.
        self._began = time.monotonic() - self._state.spent
        interrupted = False
        try:
            self._begin()
        except TuneError as error:
            return self._end(failed(str(error)), None, False)
        except KeyboardInterrupt:
            return self._end(failed("stopped before the default was measured"), None, True)
        try:
            self._look_around()
        except KeyboardInterrupt:
            interrupted = True
            self._note("the search was stopped early")
        except TuneError as error:
            return self._end(failed(str(error)), None, False)
        winner = None
        try:
            winner = self._decide(quick=interrupted)
        except KeyboardInterrupt:
            interrupted = True
            self._note("the confirmation was stopped early")
            winner = self._compared
        except TuneError as error:
            return self._end(failed(str(error)), None, interrupted)
        return self._end(None, winner, interrupted)

    # ---- the default -----------------------------------------------------------------------------

    def _begin(self) -> None:
        self._tell("default")
        self._notes += self._subject.prepare()
        values: list[float] = []
        began = time.monotonic()
        # Long programs cannot be run often.
        while len(values) < 2 * _CONTROL_PAIRS:
            values.append(self._trying.default())
            self._one_run = (time.monotonic() - began) / len(values)
            spent = time.monotonic() - self._began
            if len(values) % 2 == 0 and spent > _CONTROL_SHARE * self._budget.seconds:
                break
        self._trying.exact = len(set(values)) == 1
        self._control = [
            math.log(a) - math.log(b) for a, b in zip(values[::2], values[1::2], strict=False)
        ]
        self._trying.spread = noise(self._control)
        needed = self._one_run * 3 * _ROUNDS_NEEDED
        if needed > 0.5 * self._budget.seconds:
            self._note(
                f"a run takes {self._one_run:.3g} s: within this budget there is hardly time to be "
                f"certain of anything; {6 * needed:.0f} s would be better"
            )

    # ---- the search ------------------------------------------------------------------------------

    def _look_around(self) -> None:
        now = time.monotonic()
        share = _SEARCH_SHARE * self._budget.seconds
        # Where runs are long, most of the time is needed to be certain.
        needed = 1.5 * self._one_run * 3 * _ROUNDS_NEEDED
        left = self._began + self._budget.seconds - now
        until = now + max(min(share, left - needed), 0.25 * left)
        self._tell("search")
        if self._side_by_side is not None:
            self._note_disturbance()
            with self._side_by_side.pool(self._trying) as pool:
                drive(self._search, pool, until=until, told=self._tried)
            return
        while time.monotonic() < until:
            try:
                trial = self._search.ask()
            except BudgetSpentError:
                break
            try:
                self._try(trial)
            except BaseException:
                self._search.give_back(trial)
                raise
            self._tried()

    def _tried(self) -> None:
        self._state.save_spent(time.monotonic() - self._began)
        self._tell("search")

    def _note_disturbance(self) -> None:
        if not self._trying.exact:
            self._note(
                f"the {self._subject.metric} varies from run to run: if it depends on what else"
                " runs, trials side by side disturb each other, and the search sees less; the"
                " verdict is of runs that were alone"
            )

    def _try(self, trial: Trial) -> None:
        try:
            metrics = self._trying.measure(trial.setting)
        except RunFailedError as failure:
            self._search.fail(trial, str(failure))
        else:
            self._search.tell(trial, **metrics)

    # ---- the decision ----------------------------------------------------------------------------

    def _decide(self, quick: bool) -> Setting | None:
        """Chooses, minimises and confirms; the setting that was compared in the end."""
        finalists = self._finalists()
        left = max(self._until(1.0) - time.monotonic(), 0.0)
        if quick:
            # Somebody waits: there is a minute for a verdict, or what is left.
            left = min(left, max(60.0, 3 * _ROUNDS_NEEDED * self._one_run))
        whole = left
        for _ in range(_ATTEMPTS):
            if not finalists:
                return None
            now = time.monotonic()
            share = _CHOOSE_SHARE / (1 - _SEARCH_SHARE) * whole
            winner, gain = self._choose(finalists, now + share)
            if winner is None:
                return None
            self._tell("minimising")
            until = time.monotonic() + self._minimising_seconds(gain, now + left, quick)
            weights = importances(self._subject, self._search.trials)
            self._minimised = minimise(
                self._subject,
                winner,
                Stakes(gain, noise(self._control), until),
                self._rng,
                [one.unit for one in reversed(weights)],
            )
            setting = self._minimised.setting
            if not self._minimised.units:
                self._note("of the best setting no flag made a difference when it was run again")
                setting, self._minimised = winner, None
            elif not self._minimised.complete:
                self._note("there was no time to try every flag of the winner by itself")
            self._confirm(setting, now + left)
            if self._comparison.outcome != "failed":
                return setting
            # It failed when it was run again: such a one is no winner.
            self._note(f"{self._subject.shown(setting)} failed: {self._comparison.problem}")
            key = self._subject.space.key(winner)
            finalists = [one for one in finalists if self._subject.space.key(one) != key]
            left = max(self._until(1.0) - time.monotonic(), 0.0)
        return None

    def _minimising_seconds(self, gain: float, deadline: float, quick: bool) -> float:
        """How long minimising may take, so that there is time to be certain of the rest."""
        left = max(deadline - time.monotonic(), 0.0)
        if quick:
            return 0.1 * left
        # About so many rounds the test needs for a gain of that many standard deviations.
        size = max(gain, 1e-3) / max(noise(self._control), 1e-9)
        rounds = _ROUNDS_NEEDED + 12 / size**2
        return max(0.3 * left, left - 1.5 * rounds * 3 * self._one_run)

    def _until(self, share: float) -> float:
        """When a share of the budget is spent; a budget of trials has an end of time, too."""
        seconds = self._budget.seconds
        if math.isinf(seconds):
            spent = time.monotonic() - self._began
            seconds = spent + max(60.0, spent, 200 * self._one_run)
        return self._began + share * seconds

    def _finalists(self) -> list[Setting]:
        """The settings that seem best, best first; none of them says what the default says."""
        space = self._subject.space
        values: dict[str, list[float]] = {}
        settings: dict[str, Setting] = {}
        for trial in self._search.trials:
            key = space.key(trial.setting)
            if trial.state == "failed":
                values.setdefault(key, []).append(math.inf)
            elif trial.state == "done" and trial.value is not None:
                values.setdefault(key, []).append(trial.value)
                if differing(self._subject, trial.setting):
                    settings[key] = trial.setting
        ordered = sorted(
            settings.keys() & values.keys(), key=lambda key: float(np.mean(values[key]))
        )
        return [settings[key] for key in ordered if np.isfinite(values[key]).all()][:_FINALISTS]

    def _choose(self, finalists: list[Setting], until: float) -> tuple[Setting | None, float]:
        """Runs the finalists and the default side by side; the best, and its apparent gain."""
        self._tell("choosing")
        logs: list[list[float]] = [[] for _ in finalists]
        alive = set(range(len(finalists)))
        for turn in range(1 if self._trying.exact else _TURNS):
            if turn >= 2 and time.monotonic() >= until:
                break
            default = self._trying.default()
            for one in self._rng.permutation(sorted(alive)):
                try:
                    value = self._subject.measure(finalists[one], hurry=True).value
                except RunFailedError as failure:
                    alive.discard(int(one))
                    self._note(f"{self._subject.shown(finalists[one])} failed: {failure}")
                    continue
                logs[one].append(self._sign * (math.log(default) - math.log(value)))
            if len(alive) > 2 and turn >= 2:
                # Half of them will not be it.
                ranked = sorted(alive, key=lambda one: -median(logs[one]))
                alive = set(ranked[: (len(ranked) + 1) // 2])
        if not alive:
            return None, 0.0
        first = max(alive, key=lambda one: median(logs[one]))
        return finalists[first], median(logs[first])

    def _confirm(self, setting: Setting, until: float) -> None:
        self._comparison, self._compared = Comparison(), setting
        self._progress.comparison = self._comparison
        error = _FIRST_SHARE * ERROR / self._state.count_confirmation() ** 3
        self._tell("confirming")
        subject = self._subject
        compare(
            lambda: subject.measure(subject.space.default).value,
            # One that has begun to hang must not take the time of everything with it.
            lambda: subject.measure(setting, hurry=True).value,
            maximize=subject.maximize, rng=self._rng, deadline=until, error=error,
            told=lambda found: self._tell("confirming"), into=self._comparison,
        )  # fmt: skip

    # ---- what is said ----------------------------------------------------------------------------

    def _end(self, verdict: Verdict | None, winner: Setting | None, interrupted: bool) -> Tuned:
        subject = self._subject
        spent = time.monotonic() - self._began
        with suppress(TuneError):  # a disk that is full by now takes no verdict with it
            self._state.save_spent(spent)
        self._state.close()
        units = differing(subject, winner) if winner else []
        matter = tuple(subject.flag(unit, winner) for unit in units) if winner else ()
        if verdict is None and winner is None and not self._comparison.pairs:
            verdict = Verdict("no_difference", self._nothing(interrupted))
        if verdict is None:
            verdict = judge(self._comparison, subject.metric, subject.maximize, matter)
        better = verdict.kind == "better" and winner is not None
        setting = winner if better and winner is not None else subject.space.default
        trials = self._search.trials
        self._search.close()
        finalists = self._best_of(trials)
        effects = self._minimised.effects if self._minimised and better else {}
        return Tuned(
            verdict,
            setting,
            subject.shown(setting),
            matter if better else (),
            {unit: effects[unit] for unit in units if unit in effects} if better else {},
            subject.shown(finalists) if finalists else None,
            trials,
            tuple(self._notes),
            interrupted,
            tuple(self._control),
            spent,
        )

    def _nothing(self, interrupted: bool) -> str:
        words = "no setting is better than the default beyond the noise"
        default = self._subject.space.default
        done = [trial for trial in self._search.trials if trial.setting != default]
        if not done:
            return f"{words}: none was tried"
        if all(trial.state == "failed" for trial in done):
            return f"{words}: every one that was tried failed (the last: {done[-1].reason})"
        if interrupted:
            return f"{words}: it was stopped before one was confirmed"
        return f"{words}: none was left that ran without failing"

    def _best_of(self, trials: Sequence[Trial]) -> Setting | None:
        done = [trial for trial in trials if trial.value is not None]
        return min(done, key=lambda trial: trial.value or 0.0).setting if done else None

    def _note(self, line: str) -> None:
        if line not in self._notes:
            self._notes.append(line)

    def _tell(self, phase: Phase) -> None:
        self._progress.phase = phase
        if phase == "search":
            trials = self._search.trials
            self._progress.trials = sum(trial.state in ("done", "failed") for trial in trials)
            self._progress.failures = sum(trial.state == "failed" for trial in trials)
            values = [trial.value for trial in trials if trial.value is not None]
            self._trying.best = -min(values) if values else 0.0
            self._progress.best = math.exp(self._trying.best) if values else None
        self._told(self._progress)
