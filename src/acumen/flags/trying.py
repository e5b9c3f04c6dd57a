"""Measures what a search tries: beside the default, and what promises something several times."""

from __future__ import annotations

import copy
import math
from collections import deque
from statistics import median

from acumen.evaluation.programs.pairs import RunFailedError
from acumen.flags.minimising import differing
from acumen.flags.subject import Subject, TuneError
from acumen.learners.search import Setting

_REPEAT_MAX = 5


class Trying:
    """Measures one setting after the other, and remembers what the default took lately.

    Args:
        subject: whose settings.
        repeat: runs of each setting; None: one, and up to five of promising ones.

    Attributes:
        exact: whether the metric is the same in every run, as the size of a file mostly is.
        spread: deviation of the logarithm of a run, as far as it is known.
        best: by how much the best setting so far seems to be better, a log ratio.
    """

    def __init__(self, subject: Subject, repeat: int | None) -> None:
        self.subject, self._repeat = subject, repeat
        self.exact, self.spread, self.best = False, 0.0, 0.0
        self._sign = -1.0 if subject.maximize else 1.0
        self._recent: deque[float] = deque(maxlen=3)
        self._since = 0

    def of(self, subject: Subject) -> Trying:
        """The same for a subject in another place, where the default may take longer."""
        other = copy.copy(self)
        other.subject, other._recent, other._since = subject, deque(maxlen=3), 0
        if self.exact:
            other._recent.extend(self._recent)
        return other

    def default(self) -> float:
        """Runs the default.

        Raises:
            TuneError: it failed.
        """
        try:
            value = self.subject.measure(self.subject.space.default).value
        except RunFailedError as failure:
            raise TuneError(f"the default failed: {failure}") from None
        self._recent.append(value)
        self._since = 0
        return value

    def measure(self, setting: Setting) -> dict[str, float]:
        """Cost of a setting over the default's, and beside it the metrics of its last run.

        Raises:
            RunFailedError: the setting failed.
            TuneError: the default did.
        """
        logs: list[float] = []
        metrics: dict[str, float] = {}
        # The default has been run already, and is run all the time.
        once = self.exact or not differing(self.subject, setting)
        while len(logs) < (self._repeat or (1 if once else _REPEAT_MAX)):
            # The default is run beside whatever is looked at twice, else now and then: what it
            # took a minute ago says little.
            if not self._recent or ((logs or self._since >= 3) and not self.exact):
                self.default()
            beside = self._recent[-1] if logs else median(self._recent)
            measured = self.subject.measure(setting, hurry=True)
            self._since += 1
            metrics = dict(measured.metrics)
            logs.append(self._sign * (math.log(beside) - math.log(measured.value)))
            # Only who could be the best is worth more than one look.
            unsure = self.spread / math.sqrt(len(logs))
            if self._repeat is None and median(logs) < self.best - 2 * unsure:
                break
        self.best = max(self.best, median(logs))
        # The names of metrics may be anything; what is minimised is called cost.
        return {f"{name}_": value for name, value in metrics.items()} | {
            "cost": math.exp(-median(logs))
        }
