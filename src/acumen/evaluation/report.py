"""One self-contained page that shows a race: opens offline, light and dark, on a phone too.

Tables and figures are written here, so that they can be read without JavaScript; the plots are
drawn in the page (`report_assets/page.js`) by plotly, which goes into the page whole.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from acumen.evaluation.page_parts import embedded, shared_style, text, tile
from acumen.evaluation.race import Metric, RaceError, Row, shown_setting
from acumen.evaluation.results import Result, write_atomically
from acumen.evaluation.statistics import (
    TIE_MARGIN,
    Cell,
    Summary,
    Verdict,
    cells_of,
    summarize,
)

# Stands where there is no number: an en dash.
NOTHING = "\u2013"
_SIGNS: dict[Verdict, str] = {"won": "▲", "tied": "=", "lost": "▼"}


@dataclass(frozen=True, slots=True)
class Page:
    """What a report shows.

    Attributes:
        result: the rows; there may be none.
        summary: what is chosen in this race, one line.
        default: name of today's heuristic, or None.
        details: a line for each workload, by its name.
        abouts: a line for each contender, by its name.
        remarks: lines about what failed or was left out, shown at the top.
    """

    result: Result
    summary: str = ""
    default: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    abouts: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()


def check_plotly() -> None:
    """Makes sure that a report can be written.

    Raises:
        RaceError: plotly is not installed.
    """
    try:
        import plotly.offline  # noqa: F401
    except ImportError:
        raise RaceError("--html needs plotly: pip install 'acumen[race]'") from None


def write_report(page: Page, path: Path) -> None:
    """Writes the page, whole or not at all; about 5 MB, most of it plotly.

    Raises:
        RaceError: plotly is not installed.
        OSError: the file cannot be written.
    """
    check_plotly()
    from plotly.offline import get_plotlyjs

    assets = resources.files(__package__).joinpath("report_assets")
    result = page.result
    metric = result.metric
    cells = cells_of(result.rows, metric.goal, page.default, result.judged, result.control)
    summary = summarize(cells, metric.goal)
    learned = result.judged or next(
        (row.contender for row in result.rows if row.kind == "learned"), "learned"
    )
    fields = {
        "title": text(f"Acumen race: {result.domain}"),
        "domain": text(result.domain),
        "summary": text(page.summary),
        "facts": text(f"{result.machine} · seed {result.seed} · {len(result.rows)} rows"),
        "remarks": "\n".join(f'<p class="remark">{text(line)}</p>' for line in page.remarks),
        "tiles": "\n".join(_tiles(metric, summary, learned)),
        "default": text(page.default or "the default"),
        "learned": text(learned),
        "label": text(metric.label[:1].upper() + metric.label[1:]),
        "setting": text(metric.setting),
        "direction": "Less is better." if metric.goal == "minimize" else "More is better.",
        "price": text(metric.price_label or "price"),
        "cell_table": _cell_table(metric, cells, learned, page.default),
        "matrix": _matrix(metric, cells),
        "reading": _reading(page, result),
        "data": _data(page, cells, summary, learned),
        "style": shared_style() + assets.joinpath("page.css").read_text("utf-8"),
        "script": assets.joinpath("page.js").read_text("utf-8"),
        "plotly": get_plotlyjs(),
    }
    template = string.Template(assets.joinpath("page.html").read_text("utf-8"))
    write_atomically(path, [template.substitute(fields)])


def _tiles(metric: Metric, summary: Summary, learned: str) -> Iterator[str]:
    if not summary.cells:
        yield tile("Cells", "0", "no cell was run by both sides")
        return
    tally = "".join(
        f'<i class="{verdict}" style="flex-grow:{number}"></i>'
        for verdict, number in (
            ("won", summary.won),
            ("tied", summary.tied),
            ("lost", summary.lost),
        )
        if number
    )
    yield (
        '<div class="tile"><div class="name">Against the best heuristic of each cell</div>'
        f'<div class="number">{summary.won} <small>of {summary.cells} won</small></div>'
        f'<div class="tally">{tally}</div><div class="note">'
        f'<b class="won-text">▲ {summary.won} won</b> · '
        f'<b class="tied-text">= {summary.tied} tied</b> · '
        f'<b class="lost-text">▼ {summary.lost} lost</b></div></div>'
    )
    if summary.mean_residual is not None:
        yield tile(
            "Mean residual",
            f"{summary.mean_residual:.3f}",
            f"of the gap is left, over {summary.residual_cells} cells; best heuristic of each"
            f" cell, with hindsight: {_number(summary.mean_residual_best, 3)}",
        )
    if summary.within_one_percent is not None:
        yield tile(
            "At most 1 % behind the best",
            f"{summary.within_one_percent:.1%}",
            f"of {summary.cells} cells",
        )
    worst = summary.worst
    if worst is not None and worst.excess is not None and worst.best is not None:
        yield tile(
            "Worst cell",
            f'<span class="{worst.verdict}-text">{worst.excess:+.1%}</span>',
            f"{text(worst.workload)} at {shown_setting(worst.setting)},"
            f" against {text(worst.best.contender)}",
        )
    price = {s.contender: s.price for s in summary.standings}.get(learned)
    bound = next((s for s in summary.standings if s.kind == "bound"), None)
    if price is not None:
        note = "" if bound is None else f"mean of all cells; the bound: {_number(bound.price, 3)}"
        yield tile(text(metric.price_label.capitalize()), f"{price:.3f}", note)
    if summary.noise is not None:
        yield tile(
            "Noise (A/A)",
            f"{summary.noise:.1%}",
            f"the same contender twice, median cell; at most {_percent(summary.noise_max)}",
        )


def _cell_table(metric: Metric, cells: Sequence[Cell], learned: str, default: str | None) -> str:
    heads = ["workload", "setting", learned, "± 95 %", "best heuristic", "", default or "default"]
    heads += ["bound", "residual", "of best", "against best", "M/s"]
    heads += [] if metric.price is None else [metric.price_label, "of best"]
    head = "".join(f"<th{_right(i)}>{text(name)}</th>" for i, name in enumerate(heads))
    body = "".join(_line(metric, cell) for cell in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _right(column: int) -> str:
    return "" if column in (0, 5) else ' class="n"'


def _line(metric: Metric, cell: Cell) -> str:
    mine, best, digits = cell.learned, cell.best, metric.digits
    verdict = ""
    if cell.verdict is not None and cell.excess is not None:
        verdict = f'<b class="{cell.verdict}-text">{_SIGNS[cell.verdict]} {cell.excess:+.1%}</b>'
    columns = [
        text(cell.workload),
        shown_setting(cell.setting),
        f"<b>{_value(mine, digits)}</b>",
        _number((mine.high - mine.low) / 2 if mine else None, digits),
        _value(best, digits),
        text(best.contender if best else ""),
        _value(cell.default, digits),
        _value(cell.bound, digits),
        _number(cell.residual(mine), 3),
        _number(cell.residual(best), 3),
        verdict,
        f"{mine.throughput / 1e6:.2f}" if mine else NOTHING,
    ]
    if metric.price is not None:
        columns += [_number(row.price if row else None, 3) for row in (mine, best)]
    body = "".join(f"<td{_right(i)}>{column}</td>" for i, column in enumerate(columns))
    return f'<tr class="{cell.verdict or ""}">{body}</tr>'


def _matrix(metric: Metric, cells: Sequence[Cell]) -> str:
    names = list(dict.fromkeys(name for cell in cells for name in cell.rows))
    order = {"learned": 0, "heuristic": 1, "bound": 2}
    kinds = {name: row.kind for cell in cells for name, row in cell.rows.items()}
    names.sort(key=lambda name: order[kinds[name]])
    heads = "".join(f'<th class="n">{text(name)}</th>' for name in names)
    lines, digits = [], metric.digits
    for cell in cells:
        columns = "".join(
            f'<td class="{_emphasis(cell, name)}">{_value(cell.rows.get(name), digits)}</td>'
            for name in names
        )
        place = f'<td>{text(cell.workload)}</td><td class="n">{shown_setting(cell.setting)}</td>'
        lines.append(f"<tr>{place}{columns}</tr>")
    head = f'<tr><th>workload</th><th class="n">setting</th>{heads}</tr>'
    return f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"


def _emphasis(cell: Cell, name: str) -> str:
    if cell.learned is not None and name == cell.learned.contender:
        return "n mine"
    return "n top" if cell.best is not None and name == cell.best.contender else "n"


def _reading(page: Page, result: Result) -> str:
    metric = result.metric
    lines = [
        "A cell is one workload at one setting. The residual is (value - bound) / (default -"
        " bound): the share of what could be gained that is left. Cells without a gap have none.",
        "Values are medians of runs in turns, everybody in the same process; ± is half of the"
        " median's 95 % interval."
        if metric.timed
        else "Values are means; ± is half of a 95 % interval over runs with several seeds, 0 where"
        " nothing is random.",
        f"A cell is won or lost when the 95 % intervals are apart and the values differ by more"
        f" than {TIE_MARGIN:.1%}, and by more than the same contender twice (A/A) where that is"
        " measured; tied otherwise. The best heuristic is chosen in every cell with hindsight,"
        " which nobody can do beforehand.",
        f"M/s: millions of {metric.operation} per second of processor time on one core,"
        " measured while nothing else of this race was running.",
    ]
    paragraphs = "".join(f"<p>{text(line)}</p>" for line in lines)
    items = "".join(
        f"<li><b>{text(name)}</b>: {text(about)}</li>" for name, about in page.abouts.items()
    )
    return f"{paragraphs}<ul>{items}</ul>"


def _data(page: Page, cells: Sequence[Cell], summary: Summary, learned: str) -> str:
    """The page's data."""
    by_workload: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        by_workload.setdefault(cell.workload, []).extend(
            {
                "setting": row.setting,
                "contender": row.contender,
                "kind": row.kind,
                "value": row.value,
                "low": row.low,
                "high": row.high,
            }
            for row in cell.rows.values()
        )
    data = {
        "learned": learned,
        "default": page.default or "default",
        "goal": page.result.metric.goal,
        "label": page.result.metric.label,
        "setting_label": page.result.metric.setting,
        "timed": page.result.metric.timed,
        "control": page.result.control,
        "price_label": page.result.metric.price_label,
        "cells": [_cell_data(cell) for cell in cells],
        "standings": [
            {
                "contender": s.contender,
                "kind": s.kind,
                "mean_residual": s.mean_residual,
                "cells": s.cells,
                "best_in": s.best_in,
                "rank": s.rank if page.result.metric.medians else None,
                "times_bound": s.times_bound,
                "price": s.price,
            }
            for s in summary.standings
        ],
        "workloads": [
            {"name": name, "detail": page.details.get(name, ""), "rows": rows}
            # Those with most settings first: they make curves.
            for name, rows in sorted(
                by_workload.items(), key=lambda item: -len({r["setting"] for r in item[1]})
            )
        ],
    }
    return embedded(data)


def _cell_data(cell: Cell) -> dict[str, Any]:
    return {
        "workload": cell.workload,
        "setting": cell.setting,
        "value": cell.learned.value if cell.learned else None,
        "best": cell.best.contender if cell.best else None,
        "best_value": cell.best.value if cell.best else None,
        "residual": cell.residual(cell.learned),
        "best_residual": cell.residual(cell.best),
        "excess": cell.excess,
        "verdict": cell.verdict,
    }


def _value(row: Row | None, digits: int) -> str:
    return _number(row.value if row else None, digits)


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"
