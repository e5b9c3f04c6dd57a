"""A race's result as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from acumen.evaluation.race import Metric, Row, shown_setting
from acumen.evaluation.results import Result
from acumen.evaluation.statistics import Cell, Summary, Verdict, cells_of, summarize

# Stands where there is no number: an en dash.
NOTHING = "\u2013"
_STYLES: dict[Verdict | None, str] = {"won": "green", "tied": "yellow", "lost": "red", None: "dim"}


def tables(result: Result, default: str | None, width: int) -> Iterator[RenderableType]:
    """Cell by cell, then contender by contender, then the sum in a few lines.

    `width` is the terminal's, in characters; below 120 some columns are left out.
    """
    metric = result.metric
    cells = cells_of(result.rows, metric.goal, default, result.judged, result.control)
    if not cells:
        return
    summary = summarize(cells, metric.goal)
    yield _cell_table(result, cells, default, wide=width >= 120)
    yield _standings_table(metric, summary)
    yield from _summary_lines(summary)


def _cell_table(result: Result, cells: Sequence[Cell], default: str | None, *, wide: bool) -> Table:
    metric = result.metric
    table = Table(
        title=f"{metric.label} by {metric.setting}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    learned = next((cell.learned.contender for cell in cells if cell.learned), "learned")
    bound = next((cell.bound.contender for cell in cells if cell.bound), "bound")
    names = ["workload", "setting", learned, "best heuristic"]
    names += [default or "default", bound, "residual", "of best"] if wide else ["residual"]
    if metric.price is not None:
        names.append(metric.price_label)
    for name in [*names, "against best"]:
        left = name in ("workload", "best heuristic")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "workload")
    previous = None
    for cell in cells:
        columns: list[str | Text] = [
            Text(cell.workload if cell.workload != previous else ""),
            shown_setting(cell.setting),
            Text(_value(cell.learned, metric.digits, interval=wide), style="bold"),
            f"{_value(cell.best, metric.digits)} {cell.best.contender}" if cell.best else NOTHING,
        ]
        if wide:
            columns += [_value(row, metric.digits) for row in (cell.default, cell.bound)]
        columns.append(_residual(cell.residual(cell.learned)))
        if wide:
            columns.append(_residual(cell.residual(cell.best)))
        if metric.price is not None:
            columns.append(_residual(cell.learned.price if cell.learned else None))
        table.add_row(*columns, _verdict(cell))
        previous = cell.workload
    return table


def _standings_table(metric: Metric, summary: Summary) -> Table:
    table = Table(
        title="mean residual (0: the bound, 1: the default)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("contender")
    table.add_column("kind")
    table.add_column("mean residual", justify="right")
    table.add_column("cells", justify="right")
    table.add_column("best in", justify="right")
    if metric.medians:
        table.add_column("median rank", justify="right")
    if metric.price is not None:
        table.add_column("times the bound", justify="right")
        table.add_column(metric.price_label, justify="right")
    for standing in summary.standings:
        if standing.kind == "bound":
            continue
        priced = [] if metric.price is None else [standing.times_bound, standing.price]
        ranked = [] if standing.rank is None or not metric.medians else [f"{standing.rank:g}"]
        table.add_row(
            standing.contender,
            standing.kind,
            _residual(standing.mean_residual),
            str(standing.cells),
            str(standing.best_in),
            *ranked,
            *map(_residual, priced),
            style="bold" if standing.kind == "learned" else "",
        )
    return table


def _summary_lines(summary: Summary) -> Iterator[Text]:
    if not summary.cells:
        yield Text("No cell was run by both the learned contender and a heuristic.", style="dim")
        return
    line = Text(f"{summary.cells} cells against the best heuristic of each: ")
    for number, verdict in ((summary.won, "won"), (summary.tied, "tied"), (summary.lost, "lost")):
        line.append(f"{number} {verdict}  ", style=_STYLES[verdict])  # type: ignore[index]
    yield line
    if summary.mean_residual is not None and summary.mean_residual_best is not None:
        yield Text(
            f"mean residual {summary.mean_residual:.3f}"
            f" (best heuristic of each cell, with hindsight: {summary.mean_residual_best:.3f};"
            f" {summary.residual_cells} cells)"
        )
    if summary.within_one_percent is not None and summary.worst is not None:
        worst = summary.worst
        yield Text(
            f"at most 1 % behind the best heuristic in {summary.within_one_percent:.1%} of cells;"
            f" worst {worst.excess:+.1%} on {worst.workload} at {shown_setting(worst.setting)}"
        )
    if summary.noise is not None and summary.noise_max is not None:
        yield Text(
            f"noise: the same contender twice (A/A) differs by {summary.noise:.1%} in the median"
            f" cell, by {summary.noise_max:.1%} at most"
        )


def _verdict(cell: Cell) -> Text:
    if cell.verdict is None or cell.excess is None:
        return Text(NOTHING, style="dim")
    return Text(f"{cell.verdict} {cell.excess:+.1%}", style=_STYLES[cell.verdict])


def _value(row: Row | None, digits: int, *, interval: bool = False) -> str:
    if row is None:
        return NOTHING
    half = (row.high - row.low) / 2
    spread = f" ±{half:.{digits}f}" if interval and half >= 0.5 * 10**-digits else ""
    return f"{row.value:.{digits}f}{spread}"


def _residual(residual: float | None) -> str:
    return NOTHING if residual is None else f"{residual:.3f}"
