"""A choice's view as JSON values: what the page draws. Numbers are rounded, nothing is NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.core.comparison import Comparison
from acumen.core.journal_format import FATES, JournalInfo
from acumen.watch.happenings import Happening, goal_of
from acumen.watch.series import GROUP, SPANS
from acumen.watch.view import ARMS_MAX, SIDES, ChoiceView

ARMS_SHOWN = 8
STREAMS_SHOWN = 40
LIVE_S = 30.0
SILENT_S = 240.0
ON_THE_WAY_S = 1.5
RANGES = {span.name: span for span in SPANS}
Z_95 = 1.959964

Numbers = NDArray[np.float64]


def summary(view: ChoiceView, now_s: float) -> dict[str, Any]:
    """One choice in a list of them: name, mode, traffic of the last minutes, verdict."""
    starts, columns = view.series.read("5m", end_of(view, now_s))
    found = columns["decisions"]
    end_s = end_of(view, now_s)
    lately = found[(starts > end_s - 11) & (starts <= end_s - 1)]
    return {
        "name": view.name,
        "mode": mode_of(view),
        "decisions": view.decisions,
        "rate": float(lately.sum() / 10) if now_s - view.newest_s < LIVE_S else 0.0,
        "spark": [int(n) for n in found.reshape(-1, 10).sum(axis=1)],
        "verdict": view.comparison.verdict if view.decisions else "",
        "newest": view.newest_s,
        "live": now_s - view.newest_s < LIVE_S,
        "alarms": sum(h.kind == "drift" for h in view.happenings),
    }


def details(view: ChoiceView, span: str, now_s: float) -> dict[str, Any]:
    """One choice, whole, over one of `RANGES`."""
    width, end_s = RANGES[span].width_s, end_of(view, now_s)
    starts, columns = view.series.read(span, end_s)
    # The newest bucket is not over yet; those after it are only there to fill a group.
    seconds = np.clip(end_s - starts, 1, width)
    seconds = np.where(starts <= end_s - 1, seconds, np.nan)
    sums = {name: _grouped(values) for name, values in columns.items()}
    counts = {name: c for name, c in columns.items() if c.ndim == 1}
    objective = view.objective
    return {
        **summary(view, now_s),
        "range": span,
        "width": width,
        "start": int(starts[0]),
        "end": min(int(starts[-1]) + width, int(end_s)),
        "group": GROUP,
        "goal": goal_of(objective) if objective else "",
        "default": _default_of(view),
        "learner": _learner_of(view.info),
        "model_version": next((s.model_version for s in reversed(view.streams.values())), 0),
        "totals": {
            "events": view.events,
            "feedback": view.feedback,
            "timeouts": view.timeouts,
            "dropped": view.dropped,
            "reasons": _counted(_native.REASONS, view.reasons),
            "fates": _counted(FATES, view.fates),
        },
        "comparison": comparison_values(view.comparison),
        "traffic": {
            "decisions": _rounded(counts["decisions"] / seconds),
            "feedback": _rounded(counts["feedback"] / seconds),
        },
        "difference": _curve(counts),
        "rewards": {side: _means(sums, side) for side in SIDES},
        "propensity": _rounded(_divided(sums["propensity"], sums["decisions"])),
        "propensities": [int(n) for n in columns["propensities"].sum(axis=0)],
        "reasons": _shares(_native.REASONS, sums["reasons"]),
        **_arms(view, sums["arms"], sums["decisions"]),
        "happenings": [_told(h) for h in reversed(view.happenings)],
        "streams": [
            {
                "name": s.name,
                "first": s.first_s,
                "last": s.last_s,
                "events": s.events,
                "decisions": s.decisions,
                "dropped": s.dropped,
                "model_version": s.model_version,
                "mode": s.mode.lstrip("~"),
            }
            for s in sorted(view.streams.values(), key=lambda s: -s.last_s)[:STREAMS_SHOWN]
        ],
        "stream_count": view.stream_count,
        "crowded": view.crowded,
    }


def end_of(view: ChoiceView, now_s: float) -> float:
    """Up to when everything is here: now, less what is on its way to the disk and from there.

    Of a choice that has fallen silent the time of its last event.
    """
    silent = now_s - view.newest_s > SILENT_S
    return view.newest_s + 1 if silent else now_s - ON_THE_WAY_S


def _grouped(values: Numbers) -> Numbers:
    """Sums of `GROUP` buckets each."""
    summed: Numbers = values.reshape(-1, GROUP, *values.shape[1:]).sum(axis=1)
    return summed


def mode_of(view: ChoiceView) -> str:
    """The mode of the process heard of last."""
    return next((s.mode.lstrip("~") for s in reversed(view.streams.values()) if s.mode), "")


def comparison_values(c: Comparison) -> dict[str, Any]:
    """What `Choice.comparison()` says."""
    return {
        "difference": finite(c.difference),
        "low": finite(c.low),
        "high": finite(c.high),
        "confidence": c.confidence,
        "verdict": c.verdict,
        "loss_z": finite(c.loss_z),
        "learned": {"decisions": c.learned_decisions, "lost": c.learned_lost,
                    "mean": finite(c.learned_mean)},
        "default": {"decisions": c.default_decisions, "lost": c.default_lost,
                    "mean": finite(c.default_mean)},
    }  # fmt: skip


def finite(value: float) -> float | None:
    """JSON knows no infinities."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _rounded(values: Numbers) -> list[float | None]:
    return [finite(v) for v in values.tolist()]


def _divided(sums: Numbers, counts: Numbers) -> Numbers:
    out = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=out, where=counts > 0)
    return out


def _means(counts: dict[str, Numbers], side: str) -> dict[str, list[float | None]]:
    """Mean reward a bucket; with 20 and more, the normal interval of that mean."""
    n, total = counts[f"{side}_count"], counts[f"{side}_sum"]
    mean = _divided(total, n)
    variance = np.maximum(_divided(counts[f"{side}_squares"], n) - mean * mean, 0)
    half = Z_95 * np.sqrt(_divided(variance, n))
    half[n < 20] = np.nan
    return {
        "mean": _rounded(mean),
        "low": _rounded(mean - half),
        "high": _rounded(mean + half),
        "count": [int(v) for v in n],
    }


def _curve(counts: dict[str, Numbers]) -> dict[str, list[float | None]]:
    looked = counts["looks"] > 0
    return {
        name: _rounded(np.where(looked, counts[name], np.nan))
        for name in ("difference", "low", "high")
    }


def _shares(names: tuple[str, ...], values: Numbers) -> dict[str, list[int]]:
    return {
        name: [int(v) for v in values[:, i]] for i, name in enumerate(names) if values[:, i].any()
    }


def _counted(names: tuple[str, ...], values: NDArray[np.int64]) -> dict[str, int]:
    return {name: int(values[i]) for i, name in enumerate(names) if values[i]}


def _arms(view: ChoiceView, values: Numbers, decisions: Numbers) -> dict[str, Any]:
    """The arms taken most, as shares over time and in total; the others together."""
    info = view.info
    many = view.arm_decisions.copy()
    many[ARMS_MAX] = 0
    shown = sorted(np.argsort(-many, kind="stable")[:ARMS_SHOWN].tolist())
    shown = [i for i in shown if many[i] > 0]
    others = decisions - values[:, shown].sum(axis=1)
    rows = [_arm(view, i, arm_name(info, i)) for i in shown]
    shares = [[int(v) for v in values[:, i]] for i in shown]
    if others.any():
        rest = int(view.decisions - many[shown].sum())
        rows.append(
            {"name": "others", "others": True, "decisions": rest, "feedback": 0, "mean": None}
        )
        shares.append([int(v) for v in others])
    return {"arms": rows, "arm_counts": shares}


def _arm(view: ChoiceView, index: int, name: str) -> dict[str, Any]:
    heard = view.arm_feedback[index]
    return {
        "name": name,
        "decisions": int(view.arm_decisions[index]),
        "feedback": int(heard),
        "mean": finite(view.arm_reward[index] / heard) if heard else None,
    }


def arm_name(info: JournalInfo | None, index: int) -> str:
    """An arm as its owner wrote it; of candidates their place in the call."""
    if info is None or info.features or index >= len(info.arms):
        return f"candidate {index}" if info and info.features else f"arm {index}"
    name = info.arms[index]
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] == "'" else name


def _default_of(view: ChoiceView) -> str:
    known = view.defaults - {-1}
    if len(known) != 1:
        return "a heuristic" if known else ""
    return arm_name(view.info, next(iter(known)))


def _learner_of(info: JournalInfo | None) -> str:
    return str(info.settings.get("learner", ""))[:200] if info else ""


def _told(h: Happening) -> dict[str, Any]:
    return {"kind": h.kind, "time": h.time_s, "stream": h.stream, "title": h.title,
            "who": h.who, "why": h.why}  # fmt: skip
