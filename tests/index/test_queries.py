"""Queries that look like the keys and are not: other types, nulls, borrowed memory."""

from __future__ import annotations

import bisect
import datetime
import pickle
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acumen.index import IndexFileError, RangeIndex
from acumen.index.candidates import LINEAR


@given(st.lists(st.decimals(-30, 30, places=1) | st.fractions(-30, 30), min_size=1, max_size=20))
def test_exact_numbers_of_python_among_integers(queries: list[Any]) -> None:
    keys = np.repeat(np.arange(-20, 20, 3), 2)
    index = RangeIndex(keys)
    for side in ("left", "right"):
        ranks = [sum(k < q or (side == "right" and k == q) for k in keys.tolist()) for q in queries]
        assert index.searchsorted(np.array(queries, object), side).tolist() == ranks
    inside = [query in keys.tolist() for query in queries]
    assert index.contains(np.array(queries, object)).tolist() == inside


def test_decimals_of_many_digits() -> None:
    index = RangeIndex([0, 1, 2])
    queries = [Decimal("1e40"), Decimal("-1e40"), Decimal("inf"), Decimal("nan")]
    assert index.searchsorted(queries).tolist() == [3, 0, 3, 3]


@pytest.mark.parametrize("side", ["left", "right"])
def test_out_may_be_the_queries(side: Any) -> None:
    keys = np.append(np.arange(0, 9000, 3), 2**63 - 1)
    index = RangeIndex(keys)
    expected = np.searchsorted(keys, keys, side)
    queries = keys.copy()
    assert (index.searchsorted(queries, side, queries) == expected).all()
    queries = keys.copy()
    assert (index.get(queries, queries) == np.arange(len(keys))).all()
    memory = np.append(keys, 0)
    assert (index.searchsorted(memory[:-1], side, memory[1:]) == expected).all()
    first = np.array([1, 1, 2, 2])
    pairs = RangeIndex((first.copy(), np.array([1, 2, 1, 2])))
    assert pairs.get((first, [1, 2, 1, 2]), first).tolist() == [0, 1, 2, 3]


def test_nan_in_a_pair_is_no_key() -> None:
    index = RangeIndex(([1, 1, 2], [0.0, 1.0, 2.0]))
    assert index.searchsorted((1, np.nan)) == index.searchsorted((1, np.nan), "right") == 2
    assert index.get(([1, 1], [np.nan, 1.0])).tolist() == [-1, 1]
    assert (1, np.nan) not in index


def test_a_tuple_is_a_column_unless_keys_are_pairs() -> None:
    index = RangeIndex([0, 3, 6])
    two: Any = (3, 4)
    assert index.searchsorted(two).tolist() == [1, 2]
    assert index.searchsorted((3, 4, 6)).tolist() == [1, 2, 2]
    with pytest.raises(ValueError, match="one key"):
        (3, 4) in index  # noqa: B015


def test_what_numpy_would_round() -> None:
    top = 2**53
    index = RangeIndex([top, top + 1, top + 2])
    assert index.searchsorted([top + 1, 0.5]).tolist() == [1, 0]
    if np.finfo(np.longdouble).nmant > 60:
        assert index.get(np.array([top], np.longdouble) + 1).tolist() == [1]
    unsigned = RangeIndex(np.array([2**63, 2**63 + 1], np.uint64))
    assert unsigned.searchsorted([2**63 + 1, -1]).tolist() == [1, 0]
    with pytest.raises(TypeError):
        RangeIndex([-1, 2**63, 2**63 + 1])


def test_nulls_among_queries_and_keys() -> None:
    index = RangeIndex([2**53, 2**53 + 1])
    polars = pytest.importorskip("polars")
    for queries in (pa.array([2**53 + 1, None]), polars.Series([2**53 + 1, None])):
        with pytest.raises(ValueError, match="null"):
            index.searchsorted(queries)
    pandas = pytest.importorskip("pandas")
    for make in (pandas.Index, pandas.array, pandas.Series):
        with pytest.raises(ValueError, match="null"):
            index.searchsorted(make([2**53 + 1, None], dtype="Int64"))
    with pytest.raises(ValueError, match="masked"):
        RangeIndex(np.ma.array([1, 2, 3], mask=[False, True, False]))
    assert None not in RangeIndex(np.array(["2020-01-01"], "M8[D]"))


def test_times_of_finer_and_coarser_units() -> None:
    keys = np.array(["2180-01-01T00:00:00.000002"], "M8[us]")
    index = RangeIndex(keys)
    nanoseconds = keys.astype("M8[ns]") + np.array([-1, 0, 1])
    assert index.searchsorted(nanoseconds).tolist() == [0, 0, 1]
    assert index.searchsorted(nanoseconds, "right").tolist() == [0, 1, 1]
    assert index.contains(nanoseconds).tolist() == [False, True, False]
    narrow = RangeIndex(np.array([0, 1], "M8[ns]"))  # which end in 2262
    for unit in ("D", "M", "Y"):
        beyond = np.array(["9999-01-01", "1969-01-01", "-9999-01-01"], f"M8[{unit}]")
        assert narrow.searchsorted(beyond).tolist() == [2, 0, 0]
    months = RangeIndex(np.array(["2020-01", "2020-02"], "M8[M]"))
    assert months.searchsorted(np.array(["2020-01-01", "2020-01-02"], "M8[D]")).tolist() == [0, 1]


UNITS = {"D": 86400 * 10**9, "s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}


@given(
    st.sampled_from("mM"),
    st.sampled_from([*UNITS]),
    st.sampled_from([*UNITS]),
    st.lists(st.integers(-5, 5) | st.integers(-(2**63) + 1, 2**63 - 1), max_size=20),
    st.lists(st.integers(-(10**7), 10**7) | st.integers(-(2**63) + 1, 2**63 - 1), max_size=20),
)
def test_times_are_compared_exactly(
    kind: str, of_keys: str, of_queries: str, keys: list[int], queries: list[int]
) -> None:
    keys.sort()
    index = RangeIndex(np.array(keys, "i8").view(f"{kind}8[{of_keys}]"))
    asked = np.array(queries, "i8").view(f"{kind}8[{of_queries}]")
    held = [key * UNITS[of_keys] for key in keys]
    sought = [query * UNITS[of_queries] for query in queries]
    left = [bisect.bisect_left(held, query) for query in sought]
    right = [bisect.bisect_right(held, query) for query in sought]
    assert index.searchsorted(asked).tolist() == left
    assert index.searchsorted(asked, "right").tolist() == right
    assert index.contains(asked).tolist() == [query in held for query in sought]


def test_times_of_python() -> None:
    index = RangeIndex(np.array(["2020-01-01", "2020-01-02"], "M8[D]"))
    noon = datetime.datetime(2020, 1, 1, 12)
    assert index.searchsorted([noon, datetime.date(2020, 1, 2)]).tolist() == [1, 1]
    assert noon not in index
    east = datetime.timezone(datetime.timedelta(hours=12))
    assert noon.replace(tzinfo=east) in index
    pandas = pytest.importorskip("pandas")
    moment = pandas.Timestamp("2020-01-01") + pandas.Timedelta(1, "ns")
    assert index.searchsorted([moment]).tolist() == [1]
    with pytest.raises(TypeError):
        index.searchsorted([object()])


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.time64("us"), pa.timestamp("ns", "UTC")])
def test_arrows_times_find_themselves(kind: Any) -> None:
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    keys = pa.array([0, 5, 9], width).cast(kind)
    assert RangeIndex(keys).get(keys).tolist() == [0, 1, 2]


def test_columns_of_odd_kinds() -> None:
    assert RangeIndex(pa.array([b"", b""], pa.binary(0))).get([b""]).tolist() == [0]
    longer = pa.py_buffer(np.arange(3).tobytes() + b"x")
    column = pa.Array.from_buffers(pa.int64(), 3, [None, longer])
    assert RangeIndex(column).get([2]).tolist() == [2]
    polars = pytest.importorskip("polars")
    categories = polars.Series(["a", "b"], dtype=polars.Categorical)
    assert RangeIndex(categories).get(categories).tolist() == [0, 1]
    with pytest.raises(TypeError, match="interval"):
        RangeIndex(pa.array([(1, 2, 3)], pa.month_day_nano_interval()))


def test_a_slice_of_texts_is_pickled_alone() -> None:
    texts = pa.array([f"{k:06d}" for k in range(20_000)])
    pickled = pickle.dumps(RangeIndex(texts.slice(100, 10)))
    assert len(pickled) < 5000
    assert pickle.loads(pickled).get(["000104", "000099"]).tolist() == [4, -1]


@pytest.mark.parametrize("facts", [[1], None, "x", {"error_low": 2**70}])
def test_facts_of_a_file_that_make_no_sense(facts: Any) -> None:
    keys = np.arange(1000) ** 2
    meta, arrays = RangeIndex(keys, structure="linear cells")._search.state()
    with pytest.raises(IndexFileError):
        RangeIndex._restored(keys, {**meta, "facts": facts}, arrays)


def test_probes_are_the_most_that_there_are() -> None:
    """From a line that is wrong by so many keys, doubling steps and bisection take this many."""
    index = RangeIndex(np.full(3000, 7), structure=LINEAR)
    error = index._search.state()[0]["facts"]["error_high"]
    assert error == 3000
    steps = int(np.log2(error - 16)) - 1  # one line to the end of the next, and from there
    assert index.chosen.candidates[0].probes >= 4 + 1 + 2 * steps + 1


def test_contains_takes_a_byte_a_query() -> None:
    index = RangeIndex([1, 5, 9])
    assert index.contains(np.array([5.0, 5.5, 9.0, np.nan])).tolist() == [True, False, True, False]
    assert index.contains([5, 6], threads=2).tolist() == [True, False]
    assert index.contains(5).tolist() == [True]


def test_refused_with_a_reason() -> None:
    index = RangeIndex([1, 2])
    for limit in (-1, float("nan")):
        with pytest.raises(ValueError, match="bytes_per_key_max"):
            RangeIndex([1, 2], bytes_per_key_max=limit)
    fixed = np.zeros(2, np.int64)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        index.searchsorted([1, 2], out=fixed)
    wrong: Any = [0, 0]
    with pytest.raises(ValueError, match="out must be"):
        index.searchsorted([1, 2], out=wrong)
    assert index.searchsorted([Fraction(3, 2)]).tolist() == [1]


def test_columns_at_odd_addresses() -> None:
    keys = np.arange(50, dtype=np.int64) * 3
    odd = np.frombuffer(b"x" + keys.tobytes(), np.uint8)[1:].view(np.int64)
    assert not odd.flags.aligned
    assert (RangeIndex(odd).get(keys) == np.arange(50)).all()
    texts = pa.array(["a", "b", "c"], pa.large_string())
    _, offsets, data = texts.buffers()
    moved = pa.py_buffer(b"x" + offsets.to_pybytes()).slice(1)
    odd_texts = pa.Array.from_buffers(pa.large_string(), 3, [None, moved, data])
    assert RangeIndex(odd_texts).get(["b", "d"]).tolist() == [1, -1]


def test_offsets_that_change_lead_nowhere_else() -> None:
    offsets = np.arange(101, dtype=np.int64)
    data = pa.py_buffer(b"".join(bytes([97 + k // 4]) for k in range(100)))
    texts = pa.Array.from_buffers(pa.large_string(), 100, [None, pa.py_buffer(offsets), data])
    index = RangeIndex(texts)
    assert index.get("b") == 4
    offsets += 1 << 40
    index.searchsorted(["a", "b", "zz"])
    offsets -= 1 << 41
    index.searchsorted(["a", "b", "zz"])


def test_single_numbers_of_numpy_and_sides() -> None:
    index = RangeIndex(np.array([2, 3, 3, 5]))
    assert index.searchsorted(np.int64(3)) == index.searchsorted(np.uint8(3), "left") == 1
    assert index.searchsorted(3, side="right") == index.searchsorted(np.int32(3), "right") == 3
    assert index.get(np.int16(5)) == 3
    assert np.uint64(3) in index
    assert np.int64(4) not in index
    with pytest.raises(ValueError, match="side"):
        index.searchsorted(3, side="up")
    assert index.searchsorted(np.array(3)) == 1
    assert index.searchsorted([3]).tolist() == [1]


@pytest.mark.parametrize("kind", ["uint64", "int64", "uint32", "int32", "int16", "uint8"])
def test_single_integers_at_every_edge_of_their_digits(kind: str) -> None:
    lowest, highest = (getattr(np.iinfo(kind), end) for end in ("min", "max"))
    powers = [2**bits for bits in (0, 7, 8, 15, 16, 30, 31, 32, 59, 60, 61, 63, 64, 65, 90, 200)]
    near = {sign * (p + more) for p in powers for sign in (1, -1) for more in (-1, 0, 1)}
    inside = sorted(k for k in near if lowest <= k <= highest)
    keys = np.sort(np.concatenate([np.array(inside, kind), np.arange(100).astype(kind)]))
    for structure in (None, LINEAR, "tree", "search"):
        if structure in (LINEAR, "tree") and keys.itemsize < 4:
            continue
        index = RangeIndex(keys, structure=structure)
        for query in near:
            left = bisect.bisect_left(keys.tolist(), query)
            assert index.searchsorted(query) == left
            assert index.searchsorted(query, side="right") == bisect.bisect_right(
                keys.tolist(), query
            )
            assert index.get(query) == (left if query in inside else -1)
            assert (query in index) == (query in inside)


def test_a_saved_index_has_the_mode_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    RangeIndex([1, 2]).save(tmp_path / "index")
    assert (tmp_path / "index").stat().st_mode == (tmp_path / "other").stat().st_mode
