"""The page of a tuning: the verdict, every pair behind it, the search, which flags matter.

One file that opens offline, light and dark, on a phone too, and needs no script.
"""

from __future__ import annotations

import itertools
import math
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path

from acumen.evaluation.page_parts import shared_style, text, tile
from acumen.evaluation.programs.sequential import estimate
from acumen.evaluation.programs.verdict import shown_interval
from acumen.evaluation.results import describe_machine, write_atomically
from acumen.flags.charts import Chart
from acumen.flags.importance import importances
from acumen.flags.subject import Subject
from acumen.flags.tuner import Tuned

_ROWS_MAX = 40
_POINTS_MAX = 5000
_HEADLINES = {
    "better": "Better",
    "no_difference": "No difference beyond the noise",
    "failed": "Failed",
}


def write_report(tuned: Tuned, subject: Subject, path: Path) -> None:
    """Writes the page, whole or not at all.

    Args:
        tuned: what was found.
        subject: what was tuned.
        path: of the page.

    Raises:
        OSError: it cannot be written.
    """
    assets = resources.files(__package__).joinpath("report_assets")
    verdict = tuned.verdict
    fields = {
        "title": text(f"Acumen tune: {_HEADLINES[verdict.kind]}"),
        "headline": text(_HEADLINES[verdict.kind]),
        "kind": verdict.kind,
        "words": text(verdict.words),
        "facts": text(f"{describe_machine()} · {tuned.seconds:.0f} s"),
        "command": text(tuned.shown),
        "use": "Use this" if verdict.kind == "better" else "Stay with this",
        "default": text(subject.shown(subject.space.default)),
        "notes": "\n".join(f'<p class="remark">{text(note)}</p>' for note in tuned.notes),
        "tiles": "\n".join(_tiles(tuned, subject)),
        "pairs": _pairs(tuned),
        "search": _search(tuned),
        "matter": _matter(tuned),
        "importance": _importance(tuned, subject),
        "failures": _failures(tuned),
        "trials": _trials(tuned, subject),
        "style": shared_style() + assets.joinpath("tuning.css").read_text("utf-8"),
    }
    template = string.Template(assets.joinpath("tuning.html").read_text("utf-8"))
    write_atomically(path, [template.substitute(fields)])


def _tiles(tuned: Tuned, subject: Subject) -> Iterator[str]:
    verdict = tuned.verdict
    goal = "more" if subject.maximize else "less"
    if verdict.ratio is not None:
        note = f"{shown_interval(verdict.comparison.estimate)}, {goal} {subject.metric} is better"
        yield tile("Default against winner", f"{verdict.ratio:.3f}×", text(note))
        values = list(zip(*verdict.comparison.values, strict=True))
        middle = [sorted(side)[len(side) // 2] for side in values]
        note = f"{subject.metric}, medians of {verdict.n} fresh pairs"
        yield tile("From, to", f"{_short(middle[0])} → {_short(middle[1])}", text(note))
    if verdict.noise_floor is not None:
        note = "how far the default lies from itself by noise alone"
        yield tile("Noise floor", f"{verdict.noise_floor - 1:.2%}", note)
    failures = sum(trial.state == "failed" for trial in tuned.trials)
    size = subject.space.size()
    total = f"of {size:,.0f}" if size < 1e6 else f"of {size:.1e}" if math.isfinite(size) else "of ∞"
    yield tile("Settings tried", f"{len(tuned.trials)}", f"{total}; {failures} failed")


def _pairs(tuned: Tuned) -> str:
    found = tuned.verdict.comparison
    if not found.pairs:
        return "<p>No pair was run.</p>"
    n = len(found.pairs)
    ratios = [math.exp(one) for one in found.pairs]
    control = [math.exp(one) for one in found.control]
    # The interval as it was after each pair, where there was one.
    steps = sorted({round(1 + (n - 1) * i / 60) for i in range(61)})
    after = [(k - 1, estimate(found.pairs[:k])) for k in steps]
    band = [(k, e.low, e.high) for k, e in after if e.low > 0 and e.high < math.inf]
    chart = Chart(n, [*ratios, *control], "pair")
    chart.band(band, "band")
    chart.line([(k, e.ratio) for k, e in after], "median")
    chart.points(
        ((i, one, f"control {i + 1}: {one:.4f}") for i, one in enumerate(control)), "control"
    )
    chart.points(((i, one, f"pair {i + 1}: {one:.4f}") for i, one in enumerate(ratios)), "pair")
    return chart.svg("ratios of the fresh pairs")


def _search(tuned: Tuned) -> str:
    trials = tuned.trials[-_POINTS_MAX:]
    if not trials:
        return "<p>Nothing was tried.</p>"
    done = [(i, math.exp(-t.value), t) for i, t in enumerate(trials) if t.value is not None]
    # What is many times slower would press everything else together.
    chart = Chart(len(trials), [max(ratio, 0.4) for _, ratio, _ in done], "trial")
    for kind in ("control", "learned"):
        chart.points(
            (
                (i, ratio, f"trial {t.number + 1} ({t.learner}): {ratio:.4f}")
                for i, ratio, t in done
                if (t.learner == "control") == (kind == "control")
            ),
            kind,
        )
    best = itertools.accumulate((ratio for _, ratio, _ in done), max)
    chart.line([(i, high) for (i, _, _), high in zip(done, best, strict=True)], "best")
    chart.crosses(
        (
            (i, f"trial {t.number + 1} failed: {t.reason}")
            for i, t in enumerate(trials)
            if t.state == "failed"
        ),
        "failed",
    )
    return chart.svg("every trial of the search")


def _matter(tuned: Tuned) -> str:
    if not tuned.flags_that_matter:
        return "<p>None: the default is as good as anything that was found.</p>"
    lost = (
        list(tuned.effects.values()) if len(tuned.effects) == len(tuned.flags_that_matter) else []
    )
    rows = [
        (text(flag), f"{lost[i]:.3f}×" if lost else "")
        for i, flag in enumerate(tuned.flags_that_matter)
    ]
    return _table(("flag", "lost without it"), rows)


def _importance(tuned: Tuned, subject: Subject) -> str:
    found = importances(subject, tuned.trials)[:_ROWS_MAX]
    if not found:
        return "<p>Too few trials succeeded to say.</p>"
    rows = [
        (
            text(one.unit),
            f'<span class="bar" style="width:{100 * one.share:.1f}px"></span> {one.share:.1%}',
            text(one.best),
            f"{one.ratio:.3f}×",
            str(one.count),
        )
        for one in found
    ]
    return _table(("flag", "share of variance", "best with", "against others", "trials"), rows)


def _failures(tuned: Tuned) -> str:
    reasons = Counter(
        trial.reason or "failed" for trial in tuned.trials if trial.state == "failed"
    ).most_common(_ROWS_MAX)
    if not reasons:
        return "<p>None.</p>"
    return _table(("trials", "why"), [(str(count), text(reason)) for reason, count in reasons])


def _trials(tuned: Tuned, subject: Subject) -> str:
    done = sorted((t for t in tuned.trials if t.value is not None), key=lambda t: t.value or 0.0)
    rows = [
        (
            str(trial.number + 1),
            text(trial.learner),
            f"{math.exp(-(trial.value or 0.0)):.3f}×",
            f"<code>{text(subject.shown(trial.setting))}</code>",
        )
        for trial in done[:_ROWS_MAX]
    ]
    return _table(("trial", "suggested by", "seemed", "setting"), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{text(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{one}</td>" for one in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _short(value: float) -> str:
    """A number in four digits.

    >>> _short(0.123456), _short(1234567.0)
    ('0.1235', '1,234,567')
    """
    return f"{value:,.0f}" if value >= 1e4 else f"{value:.4g}"
