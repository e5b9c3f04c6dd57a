"""Drops from a winner every flag that does not matter.

Groups of flags are put back to the default and the rest is run beside the whole winner: where that
loses nothing, the group is gone; where it does, each half of it is tried by itself (the idea of
delta debugging: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).
Of many flags a few matter, and those are found in few comparisons.

What is decided here is only what to confirm: nothing measured here is quoted as a gain.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from acumen.evaluation.programs.pairs import RunFailedError, noise
from acumen.flags.subject import Subject
from acumen.learners.search import Setting

# Of the gain (as a logarithm) this share may be lost by all that is dropped.
_LOSS_SHARE = 0.1
# A flag without which less than this share is lost is looked at a second time.
_SMALL_SHARE = 0.35
_ROUNDS_MIN, _ROUNDS_MAX = 4, 16


@dataclass
class Minimised:
    """What is left of a winner.

    Attributes:
        setting: it.
        units: flags in which it differs from the default.
        dropped: flags that were given up.
        effects: what the winner loses, as a ratio, without a flag of it; of those that were
            tried by themselves.
        complete: whether all was tried before time was over.
    """

    setting: Setting
    units: list[str]
    dropped: list[str] = field(default_factory=list)
    effects: dict[str, float] = field(default_factory=dict)
    complete: bool = True


def differing(subject: Subject, setting: Setting) -> list[str]:
    """Units in which a setting says something else than the default."""
    default = subject.space.default
    return [
        unit for unit in subject.units if subject.flag(unit, setting) != subject.flag(unit, default)
    ]


def without(subject: Subject, setting: Setting, units: Sequence[str]) -> Setting | None:
    """The setting with some units as by default; None: constraints do not allow that."""
    gone = {name for unit in units for name in subject.units[unit]}
    try:
        return subject.space.complete({k: v for k, v in setting.items() if k not in gone})
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Stakes:
    """What a winner is believed to gain, and how well that can be seen.

    Attributes:
        gain: on the default, a log ratio.
        spread: of log ratios of the default to itself; 0: what is measured never varies.
        deadline: when to stop at the latest, in seconds of `time.monotonic`.
    """

    gain: float
    spread: float
    deadline: float

    @property
    def allowed(self) -> float:
        """What all that is dropped may lose, a log ratio."""
        return _LOSS_SHARE * max(self.gain, 0.0)


def minimise(
    subject: Subject,
    winner: Setting,
    stakes: Stakes,
    rng: np.random.Generator,
    least_first: Sequence[str] = (),
    told: Callable[[Minimised], None] = lambda found: None,
) -> Minimised:
    """Gives up every flag of a winner that does not matter.

    Args:
        subject: whose flags.
        winner: a setting.
        stakes: what may be lost, and until when.
        rng: draws orders.
        least_first: units, those that seem to matter least in front: they are tried together.
        told: is called after each comparison.
    """
    found = Minimised(dict(winner), differing(subject, winner))
    place = {unit: number for number, unit in enumerate(least_first)}
    everything = sorted(found.units, key=lambda unit: place.get(unit, -1))
    # All of them at once would be the default: that is what the winner has beaten.
    groups = _halves(everything) if len(everything) > 1 else [everything] if everything else []
    again: set[str] = set()
    while groups or (groups := _doubtful(found, stakes, again)):
        # What was dropped since may have taken others with it.
        group = [unit for unit in groups.pop(0) if unit in found.units]
        if not group:
            continue
        if time.monotonic() >= stakes.deadline:
            found.complete = False
            return found
        rest = without(subject, found.setting, group)
        loss = math.inf if rest is None else _loss(subject, winner, rest, stakes, rng)
        if rest is not None and loss <= 0:
            found.setting, found.units = rest, differing(subject, rest)
            found.dropped += group
        elif len(group) > 1:
            groups = [*_halves(group), *groups]
        if len(group) == 1 and math.isfinite(loss):
            found.effects[group[0]] = math.exp(loss + stakes.allowed)
        told(found)
    return found


def _doubtful(found: Minimised, stakes: Stakes, again: set[str]) -> list[list[str]]:
    """Flags that were kept for a small loss, each by itself: noise looks like that, too."""
    small = math.exp(_SMALL_SHARE * max(stakes.gain, 0.0))
    doubtful = [
        unit
        for unit in found.units
        if unit not in again and found.effects.get(unit, math.inf) < small
    ]
    again.update(doubtful)
    return [[unit] for unit in doubtful] if stakes.spread > 0 else []


def _halves(group: list[str]) -> list[list[str]]:
    return [group[: len(group) // 2], group[len(group) // 2 :]]


def _loss(
    subject: Subject, winner: Setting, rest: Setting, stakes: Stakes, rng: np.random.Generator
) -> float:
    """By how much more than what is allowed the rest is worse, a log ratio; infinite: it fails."""
    sign = -1.0 if subject.maximize else 1.0
    losses: list[float] = []
    while True:
        values = [0.0, 0.0]
        try:
            for side in rng.permutation(2):
                values[side] = subject.measure((winner, rest)[side], hurry=True).value
        except RunFailedError:
            return math.inf
        losses.append(sign * (math.log(values[1]) - math.log(values[0])))
        n = len(losses)
        middle = float(np.median(losses))
        # Few values may agree by chance: what the default showed of the noise counts as well.
        spread = max(noise(losses), stakes.spread) if n < 2 * _ROUNDS_MIN else noise(losses)
        error = 1.25 * spread / math.sqrt(n)
        # What cannot be told from nothing counts as nothing, but never much of the gain.
        slack = stakes.allowed + min(error, max(stakes.gain, 0.0) / 4)
        clear = abs(middle - slack) > (2 if n >= _ROUNDS_MIN else 4) * error
        if clear or n >= _ROUNDS_MAX or time.monotonic() >= stakes.deadline:
            return middle - slack
