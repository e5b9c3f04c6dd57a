"""What is told one by one: switches of mode with who and why, alarms, notes, gaps, restarts.

Texts in a journal are whatever somebody has put there: they are read as JSON where they are JSON,
cut to a length, and never trusted further than that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from acumen.core.forgetting import is_forgetting
from acumen.core.objective import Objective

TEXT_MAX = 500
REPEAT_S = 2
MODES = ("off", "shadow", "canary", "on")
_WHO = ("who", "by", "actor", "source")
_WHY = ("why", "reason", "because", "message", "text")


@dataclass(frozen=True)
class Happening:
    """One line of the page's list.

    Attributes:
        kind: the event's: ``mode``, ``note``, ``gap`` …; a note that speaks of drift is ``drift``,
            an ``objective`` event that gives lessons up is ``forget``.
        time_s: seconds since 1970.
        stream: whose.
        title: what has happened, in few words.
        who: who did it, if it says so.
        why: why, or the words of a note.
        mode: the mode switched to.
        objective: what is learned for from now on.
    """

    kind: str
    time_s: float
    stream: str
    title: str
    who: str = ""
    why: str = ""
    mode: str = ""
    objective: Objective | None = None

    def repeats(self, before: Happening) -> bool:
        """Whether it says again what was said just now, and who did it besides."""
        same = (self.kind, self.title, self.stream) == (before.kind, before.title, before.stream)
        soon = abs(self.time_s - before.time_s) <= REPEAT_S
        return same and soon and self.kind == "mode" and not (before.who or before.why)


def describe(kind: str, text: str, number: int, time_s: float, stream: str) -> Happening:
    """What an event says; anything at all may stand in its text."""
    said = _parse(text)
    values = said if isinstance(said, dict) else {}
    who, why = _first(values, _WHO), _first(values, _WHY)
    if kind == "mode":
        mode, title = _mode(values)
        return Happening(kind, time_s, stream, title, who, why, mode)
    if kind == "objective" and is_forgetting(said):
        return _forgetting(said, Happening("forget", time_s, stream, "lessons forgotten"))
    if kind == "objective":
        objective = _objective(said)
        title = "objective changed" if objective else "objective changed, and makes no sense"
        return Happening(kind, time_s, stream, title, who, why or _terms(objective),
                         objective=objective)  # fmt: skip
    if kind == "gap":
        title = f"{number:,} events dropped"
        return Happening(kind, time_s, stream, title, why="the ring in memory was full")
    if kind == "note":
        return _note(text, values, Happening(kind, time_s, stream, "note"))
    positions = values.get("positions")
    many = len(positions) if isinstance(positions, dict) else 0
    titles = {"start": "process started", "load": "model loaded", "replay": "journal replayed"}
    why = f"with what was learned from {many} stream{'s' * (many != 1)}" if many else ""
    return Happening(kind, time_s, stream, titles.get(kind, kind), why=why)


def _note(text: str, values: dict[str, Any], plain: Happening) -> Happening:
    kind = str(values.get("kind") or "note")
    if len(values) == 1 and isinstance(inner := next(iter(values.values())), dict):
        # {"drift": {"reason": …}}: what it is, and then what it says.
        kind, values = next(iter(values)), inner
    names = " ".join(str(values.get(key, "")) for key in ("event", "type", "detector"))
    drift = "drift" in (f"{kind} {names}" if values else text[:TEXT_MAX]).lower()
    done = values.get("reaction")
    title = kind if not drift else f"drift: {done}" if isinstance(done, str) else "drift alarm"
    words = _first(values, _WHY) or (_flat(values) if values else text)
    return Happening("drift" if drift else "note", plain.time_s, plain.stream, _cut(title, 60),
                     _first(values, _WHO), _cut(words))  # fmt: skip


def _forgetting(said: dict[str, Any], plain: Happening) -> Happening:
    values = next(iter(said.values()))
    keep = values.get("keep") if isinstance(values, dict) else None
    kept = f"the latest {keep:,} decisions teach anew" if isinstance(keep, int) and keep else ""
    why = _first(values, _WHY) if isinstance(values, dict) else ""
    return replace(plain, why=_cut("; ".join(filter(None, (kept, why)))))


def _mode(values: dict[str, Any]) -> tuple[str, str]:
    mode = str(values.get("mode", ""))
    if values.get("killed") is True:
        return "killed", f"killed (was {mode})" if mode in MODES else "killed"
    if mode not in MODES:
        return "", "mode switched"
    share = values.get("canary")
    if mode == "canary" and isinstance(share, int | float) and 0 <= share <= 1:
        return mode, f"canary {share:.3g}"
    return mode, mode


def _objective(said: Any) -> Objective | None:
    try:
        return Objective.from_description(said)
    except (ValueError, TypeError, AttributeError):
        return None


def _terms(objective: Objective | None) -> str:
    return "" if objective is None else _cut(goal_of(objective))


def goal_of(objective: Objective) -> str:
    """An objective in words."""
    words = []
    for term in objective.terms:
        if term.weight:
            verb = "minimize" if term.weight < 0 else "maximize"
            factor = "" if abs(term.weight) == 1 else f"{abs(term.weight):.3g} · "
            words.append(f"{verb} {factor}{'log ' if term.log else ''}{term.metric}")
        if term.penalty:
            limits = [f"≤ {term.upper:.4g}"] if term.upper < float("inf") else []
            limits += [f"≥ {term.lower:.4g}"] if term.lower > float("-inf") else []
            words.append(f"{term.metric} {' and '.join(limits)}")
    return ", ".join(words)


def _parse(text: str) -> Any:
    try:
        return json.loads(text) if text[:1] in "{[" and text else None
    except (ValueError, RecursionError):
        return None


def _first(values: dict[str, Any], keys: tuple[str, ...]) -> str:
    return next((_cut(str(values[k])) for k in keys if isinstance(values.get(k), str | int)), "")


def _flat(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in list(values.items())[:20])


def _cut(text: str, most: int = TEXT_MAX) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
