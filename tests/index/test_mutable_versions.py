"""MutableRangeIndex: snapshots, threads, forks, memory, references, files."""

from __future__ import annotations

import gc
import itertools
import os
import pickle
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acumen.index import IndexFileError, MutableRangeIndex, RangeIndex
from acumen.index.storage import save_arrays


def test_snapshots_stay_while_another_thread_writes() -> None:
    """All values of one write are alike; a reader that saw half of one would see two."""
    count = 20_000
    keys = np.arange(count)
    index = MutableRangeIndex(keys, np.zeros(count, np.int64))
    wrong: list[Any] = []
    turns, done = [0, 0, 0], threading.Event()

    def read(reader: int) -> None:
        kept = []
        while not done.is_set() or not turns[reader]:
            kept = [*kept[-3:], (index.snapshot(), None)]
            for place, (snapshot, seen) in enumerate(kept):
                _, values = snapshot.arrays()
                now = (len(values), values.min(), values.max(), int(values.sum()))
                if now[0] != count or now[1] != now[2] or seen not in (None, now):
                    wrong.append((now, seen))
                kept[place] = (snapshot, now)
            if not index.contains(keys).all() or (index.get(keys) < 0).any():
                wrong.append("a key is missing from the index itself")
            turns[reader] += 1

    readers = [threading.Thread(target=read, args=(k,)) for k in range(3)]
    for reader in readers:
        reader.start()
    for value in range(1, 40):
        index.insert(keys[::-1], np.full(count, value))
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert min(turns) > 0
    assert index._map.validate()


def test_writers_of_large_batches_wait_for_one_another() -> None:
    index = MutableRangeIndex()
    parts = [np.arange(k, 80_000, 4) for k in range(4)]

    def write(part: np.ndarray[Any, Any]) -> None:
        for piece in np.array_split(part, 4):
            index.insert(piece, piece)
            index[-1 - int(piece[0])] = 7  # waits for whoever writes
            assert index.get(piece).tolist() == piece.tolist()

    writers = [threading.Thread(target=write, args=(part,)) for part in parts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert index._map.validate()
    keys, values = index.arrays(0)
    assert keys.tolist() == values.tolist() == list(range(80_000))
    assert len(index) == 80_000 + 16


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_goes_on_with_its_own() -> None:
    index = MutableRangeIndex(range(5000))
    snapshot = index.snapshot()
    child = os.fork()
    if not child:
        index.insert(range(10_000), [1] * 10_000)
        del index[0]
        fine = len(index) == 9999 and len(snapshot) == 5000 and index[9999] == 1
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(index) == 5000


def most(index: MutableRangeIndex) -> float:
    return 25 * len(index) + 24_000


@pytest.mark.parametrize("dtype", ["i8", "f8", "i4"])
def test_memory_is_bounded(dtype: str) -> None:
    random = np.random.default_rng(1)
    keys = random.permutation(60_000).astype(dtype)
    index = MutableRangeIndex(dtype=dtype)
    for key in keys.tolist():
        index[key] = 1
    assert index.nbytes <= most(index)
    for key in keys[:59_000].tolist():
        del index[key]
    assert index.nbytes <= most(index)
    index.insert(keys, np.zeros(len(keys)).astype(int))
    assert index.nbytes <= 1.2 * 16 * len(index)
    index.delete(keys[1000:])
    assert index.nbytes <= most(index)
    appended = MutableRangeIndex(dtype=dtype)
    for start in range(0, 60_000, 300):
        appended.append(np.arange(start, start + 300), np.arange(300))
    assert appended.nbytes <= 1.1 * 16 * len(appended)
    index.clear()
    assert index.nbytes < 1000


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.skipif("ACUMEN_SANITIZED" in os.environ, reason="sanitizers keep what is freed")
def test_old_versions_are_freed_with_their_last_snapshot() -> None:
    keys = np.arange(300_000)
    index = MutableRangeIndex(keys, keys)
    kept = [index.snapshot()]
    before = resident()
    for value in range(30):  # each replaces every leaf: 30 versions would be 160 MB
        index.insert(keys, keys + value)
        kept = [index.snapshot()]
    assert resident() - before < 60e6
    assert kept[0] == index
    # A snapshot itself costs nothing, and one write a path of nodes.
    many = [index.snapshot() for _ in range(1000)]
    index[5] = 0
    assert resident() - before < 60e6
    assert many[0][5] == 34
    assert index[5] == 0


class Thing:
    """Something that can be watched dying."""


def test_references_of_objects() -> None:
    things = [Thing() for _ in range(3000)]
    watched = [weakref.ref(thing) for thing in things]
    index = MutableRangeIndex(range(3000), things)
    assert index.value_dtype.kind == "O"
    counts = [sys.getrefcount(thing) for thing in things[:5]]
    snapshot = index.snapshot()
    for key in range(0, 3000, 2):
        index[key] = None
    index.delete(range(1, 3000, 4))
    assert [sys.getrefcount(thing) for thing in things[:5]] >= counts
    things.clear()
    assert all(ref() is not None for ref in watched)
    del snapshot
    assert [k for k, ref in enumerate(watched) if ref() is not None] == list(range(3, 3000, 4))
    index.insert(range(3000), [0] * 3000)
    assert all(ref() is None for ref in watched)


@pytest.mark.parametrize("large", [False, True])
def test_cycles_are_collected(large: bool) -> None:
    index = MutableRangeIndex(value_dtype=object)
    thing = Thing()
    thing.index = index  # type: ignore[attr-defined]
    index[1] = thing
    if large:
        index.insert(range(2, 6000), [index] * 5998)
    watched = weakref.ref(thing)
    del thing, index
    gc.collect()
    assert watched() is None


def test_what_a_dying_value_does_to_the_index() -> None:
    index = MutableRangeIndex(value_dtype=object)

    fresh = itertools.count(1000)

    class Writes:
        def __del__(self) -> None:
            index[next(fresh)] = None

    for key in range(50):
        index[key] = Writes()
    for key in range(0, 50, 2):
        del index[key]
    index.update(dict.fromkeys(range(50), 0))
    assert index._map.validate()
    assert len(index) == 50 + 50


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8", "u8", "f4", "f8", "M8[ns]", "m8[D]"])
@pytest.mark.parametrize("value_dtype", ["i8", "f8"])
def test_files(dtype: str, value_dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "some.index"
    keys = np.arange(200).astype(np.int64 if dtype[0] in "mM" else dtype).view(dtype)
    index = MutableRangeIndex(keys, (np.arange(200) / 4).astype(value_dtype))
    index.save(path)
    loaded = MutableRangeIndex.load(path)
    assert loaded == index
    assert (loaded.dtype, loaded.value_dtype) == (index.dtype, index.value_dtype)
    loaded.pop(keys[0].item() if dtype[0] not in "mM" else keys[0])
    index.snapshot().save(path)
    assert MutableRangeIndex.load(path) == index
    MutableRangeIndex(dtype=dtype).save(path)
    assert len(MutableRangeIndex.load(path)) == 0


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "some.index"
    MutableRangeIndex(range(100)).save(path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:40], b"", whole.replace(b"int64", b"int65")):
        path.write_bytes(damaged)
        with pytest.raises(IndexFileError):
            MutableRangeIndex.load(path)
    RangeIndex(np.arange(10)).save(path)
    with pytest.raises(IndexFileError, match="holds 'range index'"):
        MutableRangeIndex.load(path)
    ones = np.ones(3, np.int64)
    for dtype, keys, values in [
        ("<i8", ones, ones),  # do not ascend
        ("<i8", np.arange(4), ones),
        ("<f8", np.arange(3), ones),
        ("<f8", np.array([0, 1, np.nan]), ones),
        ("|O", np.arange(3), ones),
        ("nonsense", np.arange(3), ones),
        ("<i8", np.arange(3), ones.astype(np.uint8)),
        ("<M8[us]", np.array([-(2**63), 1, 2]), ones),
    ]:
        meta = {"dtype": dtype, "values": str(values.dtype)}
        save_arrays(path, "mutable range index", meta, {"keys": keys, "values": values})
        with pytest.raises(IndexFileError):
            MutableRangeIndex.load(path)


def test_objects_are_pickled_and_not_saved(tmp_path: Path) -> None:
    index = MutableRangeIndex({1: "a", 2: [3]})
    with pytest.raises(TypeError, match="positions"):
        index.save(tmp_path / "some.index")
    assert pickle.loads(pickle.dumps(index)) == index == {1: "a", 2: [3]}
    assert not list(tmp_path.iterdir())


def test_other_libraries_columns() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    keys, values = [30, 10, 20], [1.0, 2.0, 3.0]
    for library in (pandas, polars):
        index = MutableRangeIndex(library.Series(keys), library.Series(values))
        assert index == {10: 2.0, 20: 3.0, 30: 1.0}
        assert index.get(library.Series([20, 11]), 0).tolist() == [3.0, 0.0]
        assert index.searchsorted(library.Series([20, 11])).tolist() == [1, 1]
        assert index.delete(library.Series([20, 11])) == 1
    times = pandas.Series(pandas.date_range("2024-01-01", periods=3))
    index = MutableRangeIndex(times)
    assert index[pandas.Timestamp("2024-01-02")] == 1
    assert list(index.irange(pandas.Timestamp("2024-01-02"), reverse=True)) == [
        np.datetime64("2024-01-03", "ns"),
        np.datetime64("2024-01-02", "ns"),
    ]


def test_threads_share_a_batch() -> None:
    rng = np.random.default_rng(5)
    keys = rng.permutation(np.arange(0, 2_000_000, 4))
    index = MutableRangeIndex(keys, keys * 3)
    queries = rng.integers(-5, 2_000_005, 100_001)
    for side in ("left", "right"):
        alone = index.searchsorted(queries, side)
        np.testing.assert_array_equal(index.searchsorted(queries, side, threads=3), alone)
        np.testing.assert_array_equal(np.searchsorted(np.sort(keys), queries, side), alone)
    inside = (queries % 4 == 0) & (queries >= 0) & (queries < 2_000_000)
    np.testing.assert_array_equal(index.contains(queries, threads=3), inside)
    found = index.get(queries, -7, threads=3)
    np.testing.assert_array_equal(found, np.where(inside, queries * 3, -7))
    np.testing.assert_array_equal(index.snapshot().get(queries, default=-7, threads=2), found)
    for ask in (index.searchsorted, index.contains, index.get):
        with pytest.raises(ValueError, match="threads"):
            ask(queries, threads=0)
    with pytest.raises(TypeError):
        index.get(5, None, 2)
