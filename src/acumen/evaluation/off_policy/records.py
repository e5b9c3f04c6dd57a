"""Reads a log from records: the columns of `Choice.records()` and of a journal's decisions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acumen.core.context import Schema
from acumen.core.objective import Objective, Term
from acumen.evaluation.off_policy.log import ROUNDING, DecisionLog, LogError, categories

if TYPE_CHECKING:
    import pyarrow as pa

# A coin decided between the learned policy and the default, or within the learned policy.
DRAWN = ("learned", "holdback", "control")
_NEEDED = ("id", "arm", "propensity")


def read_records(
    records: pa.Table | pa.RecordBatchReader,
    objective: Objective | None = None,
    *,
    arms: int | None = None,
    timeout_reward: float | None = None,
) -> DecisionLog:
    """A log from decisions joined with their feedback.

    Only decisions in which a coin took part count: reason `learned`, `holdback` or `control`. In
    all others (`off`, `shadow`, `killed`, `bad_context` …) the default was certain, so that they
    say nothing of any other arm; they are counted in `excluded`. Of rows with one id, the first
    that has a reward counts.

    Args:
        records: columns `id`, `arm`, `propensity`, `metric.NAME` for each metric that the
            objective needs; also `reason`, `state`, `default_arm` and `context.NAME`, where they
            are there. The table's metadata may spell out the context's types (`schema`), as
            `Choice.records()` has it; without it, texts are categories and all else is a number.
        objective: makes rewards of the raw metrics; it need not be the one that was learned for.
            None: the one that the table's metadata names, as a journal's does.
        arms: how many arms there are; None: as many as the metadata or the largest index tells.
        timeout_reward: reward of decisions that timed out; None: they have none.

    Raises:
        LogError: a column is missing or of an unusable type, or a value is impossible.
    """
    import pyarrow as pa

    table = records.read_all() if isinstance(records, pa.RecordBatchReader) else records
    names = table.column_names
    said = _said(table)
    objective = objective or _objective(said)
    metrics = [f"metric.{name}" for name in objective.metrics if f"metric.{name}" in names]
    missing = [name for name in _NEEDED if name not in names]
    if missing or not metrics:
        wanted = missing or [f"metric.{name}" for name in objective.metrics]
        raise LogError(f"no column {wanted[0]!r}; there are {', '.join(names)}")
    drawn, excluded = _drawn(table)
    table = table.filter(pa.array(drawn))
    columns = {name.removeprefix("metric."): _numbers(table, name) for name in metrics}
    reward = objective.rewards(columns)
    if timeout_reward is not None and "state" in names:
        reward[_texts(table, "state") == "timed_out"] = timeout_reward
    context, schema, levels = _context(table)
    arm = _indices(table, "arm")
    labels = tuple(str(label) for label in said.get("arms", ())) if not said.get("features") else ()
    propensity = _numbers(table, "propensity")
    propensity = np.where((propensity > 1) & (propensity <= 1 + ROUNDING), 1.0, propensity)
    log = DecisionLog(
        arm=arm,
        propensity=propensity,
        reward=reward,
        arms=arms or max(len(labels), int(arm.max(initial=0)) + 1),
        context=context,
        schema=schema,
        levels=levels,
        id=_ids(table),
        default=_indices(table, "default_arm") if "default_arm" in names else None,
        labels=labels,
        excluded=excluded,
    )
    return log.without_duplicates()


def _drawn(table: pa.Table) -> tuple[NDArray[np.bool_], dict[str, int]]:
    if "reason" not in table.column_names:
        return np.ones(len(table), dtype=np.bool_), {}
    reason = _texts(table, "reason")
    drawn = np.isin(reason, DRAWN)
    others, counts = np.unique(reason[~drawn], return_counts=True)
    return drawn, {str(name): int(count) for name, count in zip(others, counts, strict=True)}


def _texts(table: pa.Table, name: str) -> NDArray[np.str_]:
    import pyarrow as pa

    try:
        column = table[name].cast(pa.string())
    except pa.ArrowException as error:
        raise LogError(f"column {name!r} is no text: {error}") from None
    return np.asarray(column.fill_null("").to_pylist(), dtype=np.str_)


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        values = table[name].cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException as error:
        raise LogError(f"column {name!r} holds no numbers: {error}") from None
    return np.array(values, np.float64)


def _indices(table: pa.Table, name: str) -> NDArray[np.int64]:
    values = _numbers(table, name)
    if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        raise LogError(f"column {name!r} must hold indices")
    return values.astype(np.int64)


def _ids(table: pa.Table) -> NDArray[np.uint64]:
    import pyarrow as pa

    try:
        column = table["id"].cast(pa.uint64())
        if column.null_count:
            raise LogError("column 'id' must hold decision ids, and lacks some")
        return np.asarray(column.to_numpy(), np.uint64)
    except pa.ArrowException as error:
        raise LogError(f"column 'id' must hold decision ids: {error}") from None


def _said(table: pa.Table) -> dict[str, Any]:
    """What a journal's table says of its choice; nothing where that makes no sense."""
    try:
        said = json.loads((table.schema.metadata or {}).get(b"acumen", b"{}"))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _objective(said: dict[str, Any]) -> Objective:
    try:
        return Objective(tuple(Term(**term) for term in said["objective"]))
    except (KeyError, TypeError, ValueError):
        raise LogError("the records name no objective: say what is to be made better") from None


def _context(
    table: pa.Table,
) -> tuple[NDArray[np.float64], Schema, dict[str, tuple[str, ...]]]:
    names = [n.removeprefix("context.") for n in table.column_names if n.startswith("context.")]
    declared = _declared(table, names)
    types: dict[str, object] = {}
    levels: dict[str, tuple[str, ...]] = {}
    columns = np.empty((len(table), len(names)))
    for i, name in enumerate(names):
        columns[:, i], texts = _column(table, f"context.{name}")
        if texts is not None:
            levels[name] = texts
        types[name] = float | None if texts is None else categories(len(texts))
    # Codes of a schema's own are what they are; texts are known by this log alone.
    known = declared is not None and not levels
    try:
        return columns, declared if known and declared else Schema(types), levels
    except ValueError as error:
        raise LogError(str(error)) from None


def _column(table: pa.Table, name: str) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    """A column as numbers; texts as their places among the texts, and these."""
    import pyarrow as pa

    kind = table.schema.field(name).type
    dictionary = pa.types.is_dictionary(kind)
    if not (dictionary or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return _numbers(table, name), None
    texts = table[name].cast(pa.string())
    known = [text for text in texts.unique().to_pylist() if text is not None]
    place = {text: float(i) for i, text in enumerate(sorted(known))}
    codes = [np.nan if text is None else place[text] for text in texts.to_pylist()]
    return np.asarray(codes, np.float64), tuple(sorted(known))


def _declared(table: pa.Table, names: Sequence[str]) -> Schema | None:
    spelled = (table.schema.metadata or {}).get(b"schema")
    if spelled is None:
        return None
    try:
        schema = Schema.parse(spelled.decode())
    except (ValueError, UnicodeDecodeError):
        return None
    return schema if schema.names == tuple(names) else None
