"""Batches from the network that say anything at all: told, or harmless; the hub works on.

What damages bytes is in test_hub.py; here checksums are right, and what they vouch for is wrong.
"""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from forged import forge
from journaled import live, make

import acumen
from acumen.core import model_file
from acumen.core.journal import EventBatch
from acumen.core.journal_format import JournalError, JournalInfo
from acumen.core.trainer import Trainer
from acumen.core.twin import twin
from acumen.fleet.stream_table import folded
from acumen.fleet.wire import decode, encode, stream_of

pytest.importorskip("fsspec", reason="needs fsspec, for checkpoints: acumen[fleet]")
from acumen.fleet.hub import Hub

TRIALS = 150
STREAM = "0198c1d2a3b4-{:06x}"


def events(folder: Path, seed: int, rounds: int = 120) -> EventBatch:
    choice = make(folder, seed=seed)
    live(choice, rounds, seed=seed)
    assert choice.journal is not None
    assert choice.journal.close()
    (batch,) = acumen.Journal(folder).events("codec")
    return batch


def any_value(kind: pa.DataType, rng: random.Random) -> Any:
    if pa.types.is_floating(kind):
        return rng.choice([0.0, -1.0, 1e300, float("nan"), float("inf"), -float("inf"), 5e-324])
    if pa.types.is_string(kind):
        return rng.choice(["", "x", "{}", "[]", '{"terms": 5}', "[" * 5000, "\x00", "9" * 50])
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    limits = np.iinfo(kind.to_pandas_dtype())
    low, high = int(limits.min), int(limits.max)
    return rng.choice([low, high, 0, 1, 7, rng.randint(low, high)])


def altered_column(column: pa.Array, rng: random.Random) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        indices = column.indices.to_pylist()
        for _ in range(rng.choice([1, 5, 40])):
            indices[rng.randrange(len(indices))] = rng.choice(
                [None, *range(len(column.dictionary))]
            )
        indices = pa.array(indices, column.type.index_type)
        return pa.DictionaryArray.from_arrays(indices, column.dictionary)
    kind = pa.int64() if pa.types.is_timestamp(column.type) else column.type
    values = (column.cast(kind) if kind is not column.type else column).to_pylist()
    for _ in range(rng.choice([1, 5, 40])):
        values[rng.randrange(len(values))] = None if rng.random() < 0.2 else any_value(kind, rng)
    return pa.array(values, kind).cast(column.type)


def altered_info(info: JournalInfo, rng: random.Random) -> JournalInfo:
    said = json.loads(info.to_json())
    key = rng.choice([k for k in said if k not in ("fields", "metrics", "features", "kinds")])
    said[key] = rng.choice([None, 5, -1, "", "x", [], {}, [[]], ["x"], {"x": 1}, [{}], [5]])
    said["stream"] = info.stream
    return JournalInfo.from_json(json.dumps(said))


def forged(batch: EventBatch, number: int, rng: random.Random) -> bytes:
    """A batch of another stream with one to three things that nobody would say."""
    info = dataclasses.replace(batch.info, stream=STREAM.format(number))
    columns, names = list(batch.rows.columns), batch.rows.schema.names
    first, last = batch.first, batch.last
    for _ in range(rng.randint(1, 3)):
        how = rng.random()
        if how < 0.75:
            at = rng.randrange(len(columns))
            columns[at] = altered_column(columns[at], rng)
        elif how < 0.9:
            first, last = rng.choice(
                [(1, 1), (0, 5), (1, (1 << 62) - 1), (9, 3), (first, last + 9)]
            )
        else:
            info = altered_info(info, rng)
    return encode(EventBatch(info, first, last, pa.RecordBatch.from_arrays(columns, names=names)))


def test_a_hub_survives_any_batch(tmp_path: Path) -> None:
    whole = events(tmp_path / "m", 1)
    hub = Hub(str(tmp_path / "hub"), publish_seconds=0.1)
    refused = applied = 0
    for seed in range(TRIALS):
        rng = random.Random(seed)
        try:
            contents = forged(whole, seed, rng)
        except (JournalError, pa.ArrowException, OverflowError):
            continue  # such a thing cannot even be written
        try:
            decode(contents)
        except JournalError:
            refused += 1
        reply = hub.exchange([(contents, 0)], (1 << 62, 0), [STREAM.format(seed)])
        applied += STREAM.format(seed) in reply.taken and reply.taken[STREAM.format(seed)] > 0
        assert not hub.errors, (seed, hub.errors)
    assert refused > 10
    assert applied > TRIALS // 4
    hub.tend(force=True)
    # It has learned from what could have been so, and can say so.
    other = events(tmp_path / "n", 2)
    hub.exchange([(encode(other), 0)], (0, 0), [])
    hub.tend(force=True)
    reply = hub.exchange([], (0, 0), [other.info.stream])
    assert reply.taken[other.info.stream] == other.last
    assert reply.model is not None
    header, arrays = model_file.decode(reply.model)
    assert all(np.isfinite(a).all() for n, a in arrays.items() if a.dtype != np.uint64), header
    again = Hub(str(tmp_path / "hub"))
    assert again.trainer is not None, again.errors
    assert again.trainer.positions == hub.trainer.positions  # type: ignore[union-attr]


def test_a_hub_survives_any_checkpoint(tmp_path: Path) -> None:
    batch = events(tmp_path / "m", 1)
    choice = make()
    trainer = Trainer(twin(choice))
    assert trainer.take(batch) == "applied"
    whole = folded(trainer.publish((1, 1), whole=True))
    (tmp_path / "hub").mkdir()
    begun = 0
    for seed in range(20):
        path = tmp_path / "hub" / f"checkpoint-{2 + seed:08d}-0000000001.acumen"
        path.write_bytes(forge(whole.header, whole.arrays, random.Random(seed)))
        hub = Hub(str(tmp_path / "hub"))
        begun += hub.trainer is not None
        assert hub.stamp[0] == 3 + seed
        hub.exchange([(encode(batch), 0)], (0, 0), [])
        hub._checkpoints.newest()
    assert begun > 0


def test_whatever_bytes_come_a_stream_is_told_or_not(tmp_path: Path) -> None:
    contents = encode(events(tmp_path, 1, 30))
    rng = random.Random(2)
    for _ in range(300):
        data = bytearray(contents)
        for _ in range(rng.choice([1, 3, 9])):
            data[rng.randrange(min(len(data), 6000))] = rng.randrange(256)
        try:
            assert isinstance(stream_of(bytes(data)), str)
        except JournalError:
            continue
