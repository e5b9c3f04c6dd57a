"""Which flags the search's measurements hang on.

A ridge regression explains the log costs of all trials by what each flag says, every flag's part
added to the others'; a flag's importance is the share of the variance that its part explains
(Pratt's measure: its covariance with what was measured). It comes from single, lucky and unlucky
measurements, and flags that only matter together are seen dimly: a picture, not a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acumen.flags.subject import Subject
from acumen.learners.search import Setting, Trial

Floats = NDArray[np.float64]

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
    labels = {
        unit: _groups(subject, unit, names, [trial.setting for trial in done])
        for unit, names in subject.units.items()
    }
    labels = {unit: texts for unit, texts in labels.items() if len(set(texts)) > 1}
    if not labels or costs.std() == 0:
        return []
    shares = _shares(list(labels.values()), costs)
    found = []
    for share, (unit, texts) in zip(shares, labels.items(), strict=True):
        groups = {text: costs[[one == text for one in texts]] for text in dict.fromkeys(texts)}
        best = min(groups, key=lambda text: (float(np.median(groups[text])), text))
        others = costs[[one != best for one in texts]]
        ratio = math.exp(float(np.median(others) - np.median(groups[best])))
        found.append(Importance(unit, share, best, ratio, len(groups[best])))
    return sorted(found, key=lambda one: (-one.share, one.unit))


def _shares(columns: Sequence[Sequence[str]], costs: Floats) -> list[float]:
    """The share of the variance that each column explains, beside all the others."""
    parts = []
    for texts in columns:
        values = list(dict.fromkeys(texts))
        part = np.array([[one == value for value in values] for one in texts], float)
        parts.append(part - part.mean(axis=0))
    design, target = np.concatenate(parts, axis=1), costs - costs.mean()
    weights = np.linalg.solve(design.T @ design + np.eye(design.shape[1]), design.T @ target)
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    total = float(target @ target)
    return [
        min(max(float((part @ own) @ target) / total, 0.0), 1.0)
        for part, own in zip(parts, np.split(weights, ends), strict=True)
    ]


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
