"""Which flags the search's measurements hang on, each by itself.

For every flag the trials are grouped by what they say about it; its importance is the share of the
variance of log costs that lies between the groups (omega squared, Hays 1963, which unlike the plain
share does not reward many groups). It is computed from single, lucky and unlucky measurements, and
flags that only matter together are missed: a picture of the search, not a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acumen.flags.subject import Subject
from acumen.learners.search import Setting, Trial

# A numeric flag is cut into so many groups.
_BINS = 4
_TRIALS_MIN = 8


@dataclass(frozen=True, slots=True)
class Importance:
    """What one flag does to the cost.

    Attributes:
        unit: its name.
        share: of the variance, in [0, 1].
        best: what the group with the least cost says about it.
        ratio: median cost of all other trials over that of this group.
        count: trials in that group.
    """

    unit: str
    share: float
    best: str
    ratio: float
    count: int


def importances(subject: Subject, trials: Sequence[Trial]) -> list[Importance]:
    """Every flag's importance, largest first; none before there are eight successful trials."""
    done = [trial for trial in trials if trial.value is not None]
    if len(done) < _TRIALS_MIN:
        return []
    # Costs are logarithms already.
    costs = np.array([trial.value for trial in done])
    found = []
    for unit, names in subject.units.items():
        labels = _groups(subject, unit, names, [trial.setting for trial in done])
        groups = {label: costs[[i for i, one in enumerate(labels) if one == label]]
                  for label in dict.fromkeys(labels)}  # fmt: skip
        if len(groups) < 2:
            continue
        best = min(groups, key=lambda label: (float(np.median(groups[label])), label))
        others = costs[[i for i, one in enumerate(labels) if one != best]]
        ratio = math.exp(float(np.median(others) - np.median(groups[best])))
        found.append(Importance(unit, _omega(groups, costs), best, ratio, len(groups[best])))
    return sorted(found, key=lambda one: (-one.share, one.unit))


def _groups(
    subject: Subject, unit: str, names: Sequence[str], settings: Sequence[Setting]
) -> list[str]:
    texts = [subject.flag(unit, setting) for setting in settings]
    if len(set(texts)) <= 2 * _BINS:
        return texts
    values = np.array([
        next((float(setting[name]) for name in names[::-1]
              if isinstance(setting.get(name), int | float)
              and not isinstance(setting.get(name), bool)), math.nan)
        for setting in settings
    ])  # fmt: skip
    known = np.isfinite(values)
    if known.sum() < _BINS:
        return texts
    cuts = np.unique(np.quantile(values[known], np.linspace(0, 1, _BINS + 1)))
    bins = np.clip(np.searchsorted(cuts, values, side="right") - 1, 0, max(len(cuts) - 2, 0))
    return [
        f"{unit} {cuts[b]:.6g} … {cuts[min(b + 1, len(cuts) - 1)]:.6g}" if ok else text
        for b, ok, text in zip(bins, known, texts, strict=True)
    ]


def _omega(groups: Mapping[str, np.ndarray], costs: np.ndarray) -> float:
    total = float(((costs - costs.mean()) ** 2).sum())
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups.values())
    freedom = len(costs) - len(groups)
    if total <= 0 or freedom < 1:
        return 0.0
    error = within / freedom
    return min(max((total - within - (len(groups) - 1) * error) / (total + error), 0.0), 1.0)
