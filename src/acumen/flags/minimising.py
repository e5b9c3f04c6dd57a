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
    """Units in which a setting is not as by default."""
    default = subject.space.default
    return [
        unit
        for unit, names in subject.units.items()
        if any(setting.get(name) != default.get(name) for name in names)
    ]


def without(subject: Subject, setting: Setting, units: Sequence[str]) -> Setting | None:
    """The setting with some units as by default; None: constraints do not allow that."""
    gone = {name for unit in units for name in subject.units[unit]}
    try:
        return subject.space.complete({k: v for k, v in setting.items() if k not in gone})
    except ValueError:
        return None


def minimise(
    subject: Subject,
    winner: Setting,
    gain: float,
    deadline: float,
    rng: np.random.Generator,
    told: Callable[[Minimised], None] = lambda found: None,
) -> Minimised:
    """Gives up every flag of a winner that does not matter.

    Args:
        subject: whose flags.
        winner: a setting.
        gain: what it is believed to gain on the default, as a log ratio.
        deadline: when to stop at the latest, in seconds of `time.monotonic`.
        rng: draws orders.
        told: is called after each comparison.
    """
    found = Minimised(dict(winner), differing(subject, winner))
    groups = [found.units] if found.units else []
    while groups:
        group = groups.pop(0)
        # What was dropped since may have taken others with it.
        group = [unit for unit in group if unit in found.units]
        if not group:
            continue
        if time.monotonic() >= deadline:
            found.complete = False
            return found
        rest = without(subject, found.setting, group)
        # The winner without all of its flags is the default: that is what it is compared with
        # in the end, and surely what it beat so far.
        everything = len(group) == len(found.units) and len(group) > 1
        loss = math.inf if rest is None or everything else _loss(
            subject, winner, rest, gain, deadline, rng
        )  # fmt: skip
        if rest is not None and loss <= 0:
            found.setting, found.units = rest, differing(subject, rest)
            found.dropped += group
        elif len(group) > 1:
            middle = len(group) // 2
            groups = [group[:middle], group[middle:], *groups]
        if len(group) == 1 and math.isfinite(loss):
            found.effects[group[0]] = math.exp(loss + _LOSS_SHARE * max(gain, 0.0))
        told(found)
    return found


def _loss(
    subject: Subject,
    winner: Setting,
    rest: Setting,
    gain: float,
    deadline: float,
    rng: np.random.Generator,
) -> float:
    """By how much more than what is allowed the rest is worse, a log ratio; infinite: it fails."""
    sign = -1.0 if subject.maximize else 1.0
    allowed = _LOSS_SHARE * max(gain, 0.0)
    losses: list[float] = []
    while True:
        values = [0.0, 0.0]
        try:
            for side in rng.permutation(2):
                values[side] = subject.measure((winner, rest)[side]).value
        except RunFailedError:
            return math.inf
        losses.append(sign * (math.log(values[1]) - math.log(values[0])))
        n = len(losses)
        error = 1.25 * noise(losses) / math.sqrt(n)
        middle = float(np.median(losses))
        if n >= _ROUNDS_MIN:
            # What cannot be told from nothing counts as nothing, but never half of the gain.
            slack = allowed + min(error, max(gain, 0.0) / 2)
            clear = abs(middle - slack) > 2 * error
            if clear or n >= _ROUNDS_MAX or time.monotonic() >= deadline:
                return middle - slack
