"""From a journal's events to decisions with what came of them, and back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from acumen import _native
from acumen.core.array_file import make_folder
from acumen.core.journal_format import (
    FATES,
    FIXED,
    KIND_CODES,
    KINDS,
    JournalError,
    JournalInfo,
    batch_checksum,
    schema_of,
)
from acumen.core.journal_sealing import merging
from acumen.core.journal_segments import folder_of, new_stream, replica_of, segments_in

if TYPE_CHECKING:
    from acumen.core.journal import EventBatch, Journal

INFO_KEY = b"acumen"
_FIRST = ("id", "model_version", "arm", "propensity", "reason", "state")
_OTHERS = ("suggested", "default_arm", "learned_share", "usable", "episode", "step", "replica")
_STATES = ("waiting", "done", "timed_out")


def info_metadata(info: JournalInfo) -> dict[bytes, bytes]:
    """What a table of decisions says of itself, so that `append` knows whose they are."""
    return {
        b"schema": info.schema.encode(),
        b"choice": info.choice.encode(),
        INFO_KEY: info.to_json(),
    }


def decisions_of(batches: Iterable[EventBatch]) -> pa.Table:
    """All decisions, joined with their feedback; see `Journal.decisions`."""
    tables = []
    info = None
    for batch in batches:
        info = batch.info
        keep = pc.less_equal(batch.rows.column("kind").indices, KIND_CODES["timeout"])
        rows = batch.rows.filter(keep)
        if rows.num_rows:
            stream = pa.array([info.stream] * rows.num_rows, pa.utf8())
            table = pa.Table.from_batches([rows.replace_schema_metadata(None)])
            tables.append(table.append_column("stream", stream))
    if info is None:
        raise JournalError("the journal has no events")
    if not tables:
        empty = schema_of(info).remove_metadata().empty_table()
        tables = [empty.append_column("stream", pa.array([], pa.utf8()))]
    events = pa.concat_tables(tables, promote_options="default").combine_chunks()
    return _joined(events).replace_schema_metadata(info_metadata(info))


def _codes(column: Any, labels: tuple[str, ...]) -> NDArray[np.int64]:
    """Indices into `labels`, -1 for null."""
    found = pc.index_in(column.cast(pa.utf8()), value_set=pa.array(labels))
    codes: NDArray[np.int64] = found.fill_null(-1).to_numpy().astype(np.int64)
    return codes


def _joined(events: pa.Table) -> pa.Table:
    kinds = _codes(events["kind"], KINDS)
    fates = _codes(events["fate"], FATES)
    whose = _whose(events, kinds, fates)
    made, told, late = (kinds == KIND_CODES[k] for k in ("decision", "feedback", "timeout"))
    decisions, heard = events.filter(pa.array(made)), events.filter(pa.array(told))
    place = _first_heard(fates[told], whose[told], whose[made])
    heard = heard.take(pa.array(np.maximum(place, 0), mask=place < 0))
    timed_out = np.isin(whose[made], whose[late])
    state = np.where(place >= 0, 1, np.where(timed_out, 2, 0)).astype(np.int8)
    columns = {name: decisions[name] for name in _FIRST if name != "state"}
    columns["state"] = pa.DictionaryArray.from_arrays(state, list(_STATES))
    for name in decisions.column_names:
        if name.startswith(("context.", "feature.")):
            columns[name] = decisions[name]
        elif name.startswith("metric."):
            columns[name] = heard[name]
    columns["time"] = decisions["time"]
    columns["feedback_time"] = heard["time"]
    columns |= {name: decisions[name] for name in (*_OTHERS, "stream")}
    return pa.table(columns)


def _whose(
    events: pa.Table, kinds: NDArray[np.int64], fates: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A number for every decision, and for what is said of it; -1 for what is nobody's.

    A process speaks of its own decision, or else of that of the only stream that has the id: in
    a large fleet two may, and nobody can say whose it is.
    """
    ids, at = np.unique(events["id"].to_numpy(), return_inverse=True)
    names = pc.unique(events["stream"])
    stream = pc.index_in(events["stream"], value_set=names).to_numpy()
    pairs = at * len(names) + stream
    made = np.unique(pairs[kinds == KIND_CODES["decision"]])
    theirs = made // max(len(names), 1)
    makers = np.bincount(theirs, minlength=len(ids))[at]
    only = np.zeros(len(ids), np.int64)
    only[theirs] = made
    own = np.isin(pairs, made) & ((fates != FATES.index("unknown")) | (makers == 1))
    return np.where(own, pairs, np.where(makers == 1, only[at], -1))


def _first_heard(
    fates: NDArray[np.int64], theirs: NDArray[np.int64], ids: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For every decision the row of the feedback that counts, -1 where there is none.

    Args:
        fates: of each feedback.
        theirs: whose it is, -1 for nobody's.
        ids: of the decisions.
    """
    # What was accepted goes before what came too late; repeated and bad feedback never counts.
    rank = np.where(theirs >= 0, np.array([0, 0, -1, 1, -1, -1])[fates], -1)
    rows = np.flatnonzero(rank >= 0)
    theirs = theirs[rows]
    order = np.lexsort((rows, rank[rows], theirs))
    rows, theirs = rows[order], theirs[order]
    if len(rows) == 0:
        return np.full(len(ids), -1)
    at = np.searchsorted(theirs, ids)
    at = np.minimum(at, len(theirs) - 1)
    return np.where(theirs[at] == ids, rows[at], -1)


def append_records(
    journal: Journal, records: pa.Table | pa.RecordBatch, info: JournalInfo | None
) -> str:
    """Writes decisions that were made elsewhere as one sealed stream; see `Journal.append`."""
    table = records if isinstance(records, pa.Table) else pa.Table.from_batches([records])
    info = info or _said_info(table)
    folder = folder_of(journal.path, info.choice)
    info = replace(info, stream=new_stream({s.stream for s in segments_in(folder)}), segment=0)
    needed = ["arm", "propensity", *(f"context.{f}" for f in info.fields)]
    needed += [f"metric.{m}" for m in info.metrics]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise JournalError(f"the records have no column {missing[0]!r}")
    batch = _events_of(table, info, replica_of(info.stream))
    last = batch.num_rows
    make_folder(folder)
    for _ in merging([iter([(1, last, batch)])], info, folder, None):
        pass
    return info.stream


def _said_info(table: pa.Table) -> JournalInfo:
    text = (table.schema.metadata or {}).get(INFO_KEY)
    if text is None:
        raise JournalError("the records do not say whose they are: name their choice")
    return JournalInfo.from_json(text)


def _events_of(table: pa.Table, info: JournalInfo, replica: int) -> pa.RecordBatch:
    n = table.num_rows
    given = table.column_names
    first = (replica << 40) + 1 + (int.from_bytes(os.urandom(5)) >> 1)  # as processes begin
    ids = np.uint64(first) + np.arange(n, dtype=np.uint64)
    defaults: dict[str, Any] = {
        "id": pa.array(ids),
        "model_version": pa.array(np.zeros(n, np.uint64)),
        "learned_share": pa.array(np.zeros(n, np.float32)),
        "reason": pa.array(["shadow"] * n, pa.utf8()),
        "usable": pa.array(np.ones(n, bool)),
        "time": pa.array(np.full(n, time.time_ns() // 1000), pa.timestamp("us", "UTC")),
    }
    columns = {name: table[name] if name in given else defaults[name] for name in defaults}
    for name in ("arm", "suggested", "default_arm", "propensity", "episode", "step"):
        if name in given:
            columns[name] = table[name]
    for name in given:
        if name.startswith(("context.", "feature.")):
            columns[name] = table[name]
    decisions = _with_kind(pa.table(columns), "decision")
    metrics = {f"metric.{m}": table[f"metric.{m}"] for m in info.metrics}
    when = table["feedback_time"] if "feedback_time" in given else columns["time"]
    when = pc.coalesce(when, columns["time"])
    fates = pa.array(["recorded"] * n, pa.utf8())
    heard = _with_kind(
        pa.table({"id": columns["id"], "time": when, "fate": fates, **metrics}), "feedback"
    )
    known = _heard(table, info)
    rows = np.concatenate([np.arange(n), np.flatnonzero(known)])
    events = pa.concat_tables(
        [decisions, heard.filter(pa.array(known))], promote_options="default"
    ).take(np.argsort(rows, kind="stable"))
    start = pa.table({"kind": ["start"], "time": events["time"].slice(0, 1), "text": ["{}"]})
    if n:
        events = pa.concat_tables([start, events], promote_options="default")
    else:
        events = pa.table({"kind": ["start"], "text": ["{}"]})
    return _cast(events, info, replica)


def _with_kind(table: pa.Table, kind: str) -> pa.Table:
    return table.append_column("kind", pa.array([kind] * table.num_rows, pa.utf8()))


def _heard(table: pa.Table, info: JournalInfo) -> NDArray[np.bool_]:
    """Which rows have feedback: those that say so, or else those with any metric."""
    if "state" in table.column_names:
        done: NDArray[np.bool_] = pc.equal(table["state"].cast(pa.utf8()), "done").to_numpy()
        return done
    known = np.zeros(table.num_rows, bool)
    for metric in info.metrics:
        values = table[f"metric.{metric}"].cast(pa.float64()).fill_null(np.nan).to_numpy()
        known |= np.isfinite(values)
    return known


def _cast(events: pa.Table, info: JournalInfo, replica: int) -> pa.RecordBatch:
    schema = schema_of(info)
    n = events.num_rows
    always = {
        "sequence": pa.array(np.arange(1, n + 1, dtype=np.uint64)),
        "replica": pa.array(np.full(n, replica, np.uint32)),
    }
    labels = {"kind": KINDS, "reason": _native.REASONS, "fate": FATES}
    arrays = []
    for field in schema:
        if field.name in always:
            arrays.append(always[field.name])
        elif field.name not in events.column_names:
            arrays.append(_nothing(field, labels, n))
        elif field.name in labels:
            codes = _codes(events[field.name], labels[field.name])
            indices = pa.array(codes.astype(np.int8), mask=codes < 0)
            arrays.append(pa.DictionaryArray.from_arrays(indices, list(labels[field.name])))
        else:
            array = events[field.name].combine_chunks().cast(field.type)
            if pa.types.is_floating(field.type):
                array = pc.if_else(pc.is_nan(array), None, array)
            arrays.append(array)
    batch = pa.RecordBatch.from_arrays([_plain(a) for a in arrays], schema=schema)
    batch_checksum(batch, 1, n)  # whatever has no bytes to be checked fails here, not in the file
    return batch


def _nothing(field: Any, labels: dict[str, tuple[str, ...]], n: int) -> Any:
    if field.name in labels:
        return pa.DictionaryArray.from_arrays(pa.nulls(n, pa.int8()), list(labels[field.name]))
    return pa.nulls(n, field.type)


def _plain(array: Any) -> Any:
    """One contiguous array without an offset."""
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return pa.concat_arrays(chunks)


assert {name for name, _ in FIXED} >= {*_FIRST, *_OTHERS} - {"state"}
