"""What users of other libraries expect of all indexes alike: equal keys, units, nulls, pickles."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from acumen.index import (
    IndexFileError,
    MembershipFilter,
    MutableRangeIndex,
    PointIndex,
    RangeIndex,
)

DAYS = np.array(["1969-12-30", "2020-01-01", "2022-03-04"], "datetime64[D]")


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us", "ns"])
def test_filters_find_times_of_any_unit(unit: str) -> None:
    keys = DAYS.astype(f"datetime64[{unit}]")
    filter_ = MembershipFilter(keys, 1e-9)
    for other in ("D", "s", "ms", "us", "ns"):
        same = keys.astype(f"datetime64[{other}]")
        assert filter_.contains(same).all()
        assert filter_.contains(pa.array(same)).all()
        assert all(key in filter_ for key in same)
    assert date(2020, 1, 1) in filter_
    assert datetime(2020, 1, 1, 1, tzinfo=UTC) not in filter_
    assert filter_.contains([datetime(2020, 1, 1, tzinfo=UTC), datetime(2022, 3, 4)]).all()
    assert not filter_.contains(keys.astype("datetime64[ns]") + np.timedelta64(1, "ns")).any()
    assert keys[1].view(np.int64) not in filter_
    assert keys[1] - keys[0] not in filter_
    assert np.datetime64("NaT", unit) not in filter_
    restored = pickle.loads(pickle.dumps(filter_))
    assert keys[2] in restored
    assert restored.contains(DAYS).all()


def test_filters_of_times_in_files_and_learned(tmp_path: Path) -> None:
    keys = np.arange(0, 40_000_000, 1000).astype("datetime64[s]")
    others = (np.arange(0, 40_000, dtype=np.int64) * 7919 + 10**10).astype("datetime64[s]")
    filter_ = MembershipFilter(keys, 0.01, others)
    assert filter_.explain().chosen != "binary fuse"
    filter_.save(tmp_path / "filter")
    loaded = MembershipFilter.load(tmp_path / "filter")
    for one in (filter_, loaded):
        assert one.contains(keys.astype("datetime64[ms]")).all()
        assert keys[77] in one
    with pytest.raises(TypeError, match="this filter holds datetime64"):
        filter_.contains(keys.view(np.int64))
    with pytest.raises(TypeError, match="negatives"):
        MembershipFilter(keys, 0.01, others.astype("datetime64[ms]"))


class Ticks:
    """A scorer of times: late ones."""

    nbytes = 0

    def __call__(self, batch: Any) -> Any:
        return np.asarray(batch, "datetime64[s]").astype(np.int64)


def test_filters_of_times_behind_a_scorer() -> None:
    keys = np.arange(10**9, 10**9 + 30_000).astype("datetime64[s]")
    others = np.arange(30_000).astype("datetime64[s]")
    filter_ = MembershipFilter(keys, 0.01, others, Ticks())
    assert filter_.explain().chosen != "binary fuse"
    assert filter_.contains(keys.astype("datetime64[ms]")).all()
    assert keys[5] in filter_
    assert datetime(2001, 9, 9, 1, 46, 41) in filter_
    assert others[5] not in filter_


def test_filters_of_spans() -> None:
    filter_ = MembershipFilter([timedelta(seconds=1), timedelta(days=-3)], 1e-9)
    assert timedelta(seconds=1) in filter_
    assert np.timedelta64(1000, "ms") in filter_
    assert filter_.contains(np.array([1, -259200], "timedelta64[s]")).all()
    assert np.timedelta64(1, "ms") not in filter_
    assert np.datetime64(1, "s") not in filter_
    for missing in (np.array(["NaT"], "datetime64[s]"), pa.array([None], pa.timestamp("s"))):
        with pytest.raises(ValueError, match="must not be"):
            MembershipFilter(missing)


def test_filters_find_numbers_that_equal_a_key() -> None:
    filter_ = MembershipFilter([3, 1, 2**53 + 1], 1e-9)
    equal: list[Any] = [3.0, np.float32(3), Decimal(3), Fraction(3), np.True_, True, np.uint8(3)]
    assert all(key in filter_ for key in equal)
    other: list[Any] = [3.5, float("nan"), float("inf"), 2.0**53, "3", b"3", None, 3j, [3]]
    assert not any(
        key in filter_ for key in [*other, np.timedelta64(3, "s"), np.datetime64(3, "s")]
    )


@pytest.mark.parametrize(("coarse", "fine"), [("W", "ps"), ("D", "25ps"), ("s", "as"), ("m", "as")])
def test_units_too_far_apart_for_numpy(coarse: str, fine: str) -> None:
    keys = np.array([-1, 0, 1], f"datetime64[{coarse}]")
    queries = np.array([-5, 0, 5], f"datetime64[{fine}]")
    for index in (RangeIndex(keys), MutableRangeIndex(keys)):
        assert index.searchsorted(queries).tolist() == [1, 1, 2]
        assert index.searchsorted(queries, "right").tolist() == [1, 2, 2]
        assert index.contains(queries).tolist() == [False, True, False]
        assert queries[1] in index
        assert queries[2] not in index
    assert PointIndex(keys).get_indexer(queries).tolist() == [-1, 1, -1]
    assert PointIndex(queries).get_indexer(keys).tolist() == [-1, 1, -1]
    assert MembershipFilter(keys, 1e-9).contains(queries).tolist() == [False, True, False]


def test_nulls_hidden_in_a_dictionary_or_in_runs() -> None:
    values = pa.array([1, None, 2**53 + 1])
    hidden = [
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), values),
        pc.run_end_encode(values),
    ]
    for queries in hidden:
        for index in (RangeIndex([1, 2**53 + 1]), MutableRangeIndex([1, 2**53 + 1])):
            with pytest.raises(ValueError, match="null"):
                index.searchsorted(queries)
        assert PointIndex([1, 2**53 + 1]).get_indexer(queries).tolist() == [0, -1, 1]


def test_runs() -> None:
    keys = pa.array([1, 3, 3, 3, 9])
    runs = pc.run_end_encode(keys)
    assert RangeIndex(runs[1:]).searchsorted([3, 9]).tolist() == [0, 3]
    assert RangeIndex(keys).get(runs[2:]).tolist() == [1, 1, 4]
    assert PointIndex(runs, duplicates="last").get_indexer(runs).tolist() == [0, 3, 3, 3, 4]
    assert MembershipFilter(runs).contains(runs).all()


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_a_pickle_of_a_slice_is_small(kind: pa.DataType) -> None:
    column = pa.array([f"{row:09d}" for row in range(20_000)]).cast(kind)
    part = column[500:510]
    for cls, ask in ((PointIndex, "get_indexer"), (RangeIndex, "get")):
        pickled = pickle.dumps(cls(part))
        assert len(pickled) < 4_000
        assert getattr(pickle.loads(pickled), ask)(column[499:511]).tolist() == [-1, *range(10), -1]


@pytest.mark.parametrize("duplicates", ["first", "last"])
def test_a_file_for_keys_whose_duplicates_lie_elsewhere(duplicates: Any, tmp_path: Path) -> None:
    many = np.random.default_rng(1).integers(0, 1 << 60, 3000)
    for keys, change in ((np.array([10, 10, 20, 37]), 20), (many, many[2])):
        keys[1] = keys[0]
        changed = keys.copy()
        changed[1] = change
        if duplicates == "last":
            keys, changed = keys[::-1].copy(), changed[::-1].copy()
        index = PointIndex(keys, duplicates=duplicates)
        index.save(tmp_path / "index")
        assert (PointIndex.load(tmp_path / "index", keys).get_indexer(keys) >= 0).all()
        with pytest.raises(IndexFileError, match="other keys"):
            PointIndex.load(tmp_path / "index", changed)


def test_one_key_is_what_it_is_in_a_batch() -> None:
    keys = np.array([b"a", b"ab"])
    for query in (b"ab", b"ab\0", b"a\0"):
        for index in (PointIndex(keys), RangeIndex(keys), MembershipFilter(keys, 1e-9)):
            batch: Any = index.get_indexer if isinstance(index, PointIndex) else index.contains
            found = batch([query])[0]
            assert (query in index) == (bool(found) if found.dtype == bool else found >= 0)


def test_views_are_sequences() -> None:
    sorted_dict = pytest.importorskip("sortedcontainers").SortedDict({3: "b", 1: "a", 5: "b"})
    index = MutableRangeIndex({3: "b", 1: "a", 5: "b"})
    elements: list[tuple[str, list[Any]]] = [
        ("keys", [1, 3.0, 4, "x"]),
        ("values", ["a", "b", "c"]),
        ("items", [(3, "b"), (3, "a"), 3]),
    ]
    for name, asked in elements:
        mine, theirs = getattr(index, name)(), getattr(sorted_dict, name)()
        assert isinstance(mine, Sequence)
        for one in asked:
            count = list(theirs).count(one)
            assert mine.count(one) == count
            if count:
                assert mine.index(one) == theirs.index(one)
                assert mine.index(one, -3) == mine.index(one, 0, 3) == theirs.index(one)
            with pytest.raises(ValueError, match="is not in"):
                mine.index(one, 3)


def test_a_dict_or_an_index() -> None:
    index = MutableRangeIndex({1: "a", 3: "b"})
    joined = {2: "x", 1: "y"} | index
    assert isinstance(joined, MutableRangeIndex)
    assert list(joined.items()) == [(1, "a"), (2, "x"), (3, "b")]
    assert list(index.items()) == [(1, "a"), (3, "b")]
    with pytest.raises(TypeError, match="unsupported"):
        [(1, 2)] | index


def test_a_default_that_the_values_cannot_hold() -> None:
    index = MutableRangeIndex([1, 2])
    assert index.get([1, 9], -7).tolist() == [0, -7]
    assert index.get([1, 9], 4.0).tolist() == [0, 4]
    with pytest.raises(ValueError, match="nothing is rounded"):
        index.get([1, 9], 0.5)
