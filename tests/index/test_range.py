"""RangeIndex against numpy.searchsorted, bisect and Python's own comparison of exact numbers."""

from __future__ import annotations

import bisect
import pickle
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acumen.index import IndexFileError, RangeIndex
from acumen.index.candidates import STRUCTURES

INTEGERS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]
FLOATS = ["f4", "f8"]


def values_of(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
    if dtype.kind == "f":
        return st.floats(width=8 * dtype.itemsize, allow_nan=False)  # type: ignore[arg-type]
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    near = st.integers(0, 300).map(lambda k: min(max(k - 100, low), high))
    ends = st.sampled_from([low, low + 1, high - 1, high])
    return st.integers(low, high) | near | ends


@st.composite
def columns(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    dtype = np.dtype(draw(st.sampled_from(INTEGERS + FLOATS)))
    values = draw(st.lists(values_of(dtype), max_size=80))
    times = draw(st.sampled_from([1, 1, 1, 30]))
    return np.sort(np.repeat(np.array(values, dtype), times))


def structures_for(keys: np.ndarray[Any, Any]) -> list[RangeIndex]:
    made = [RangeIndex(keys)]
    for name in STRUCTURES:
        try:
            made.append(RangeIndex(keys, structure=name))
        except ValueError as error:
            assert "cannot be built" in str(error)  # noqa: PT017
    return made


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_ranks_are_numpys(data: st.DataObject) -> None:
    keys = data.draw(columns())
    more = data.draw(st.lists(values_of(keys.dtype), max_size=40))
    queries = np.concatenate([keys, np.array(more, keys.dtype)])
    for index in structures_for(keys):
        for side in ("left", "right"):
            expected = np.searchsorted(keys, queries, side=side)
            assert (index.searchsorted(queries, side) == expected).all()
            assert (index.searchsorted(np.sort(queries), side) == np.sort(expected)).all()
        inside = np.isin(queries, keys)
        left = np.searchsorted(keys, queries)
        assert (index.contains(queries) == inside).all()
        assert (index.get(queries) == np.where(inside, left, -1)).all()
        for query, rank, found in zip(queries[:9].tolist(), left.tolist(), inside, strict=False):
            assert index.searchsorted(query) == rank
            assert (query in index) == found
            assert index.get(query) == (rank if found else -1)


def exactly(number: Any) -> Any:
    """A number that Python compares without rounding."""
    if isinstance(number, float) and (number != number or abs(number) == float("inf")):
        return number
    return Fraction(number)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_queries_of_other_types_are_exact(data: st.DataObject) -> None:
    keys = data.draw(columns())
    index = RangeIndex(keys)
    exact = [exactly(key) for key in keys.tolist()]
    other = np.dtype(data.draw(st.sampled_from([*INTEGERS, *FLOATS, "f2"])))
    values = st.floats(width=16) if other == np.float16 else values_of(other)
    queries = np.array(data.draw(st.lists(values, max_size=30)), other)
    wide = data.draw(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=5))
    for asked in (queries, np.array([*wide, 0.5], object)):
        plain = asked.tolist()
        numbers = [exactly(query) for query in plain]
        left = [len(keys) if q != q else bisect.bisect_left(exact, q) for q in numbers]
        right = [len(keys) if q != q else bisect.bisect_right(exact, q) for q in numbers]
        assert index.searchsorted(asked).tolist() == left
        assert index.searchsorted(asked, side="right").tolist() == right
        assert index.contains(asked).tolist() == [a < b for a, b in zip(left, right, strict=True)]
        for query, rank in zip(plain, left, strict=True):
            assert index.searchsorted(query) == rank


@given(
    st.lists(
        st.text(max_size=20) | st.sampled_from(["", "\0", "\0\0", "é", "a" * 30]), max_size=60
    ),
    st.lists(st.text(max_size=20), max_size=20),
    st.sampled_from(["", "https://www.", "\0"]),
)
@settings(max_examples=150, deadline=None)
def test_strings(texts: list[str], more: list[str], beginning: str) -> None:
    keys = sorted((beginning + text for text in texts), key=str.encode)
    encoded = [key.encode() for key in keys]
    queries = [*keys, *more, *(beginning + text for text in more)]
    for column in (pa.array(keys, pa.string()), pa.array(keys, pa.large_string()).slice(0)):
        index = RangeIndex(column)
        left = [bisect.bisect_left(encoded, query.encode()) for query in queries]
        right = [bisect.bisect_right(encoded, query.encode()) for query in queries]
        assert index.searchsorted(queries).tolist() == left
        assert index.searchsorted(pa.array(queries, pa.string()), side="right").tolist() == right
        assert index.contains(queries).tolist() == [query in keys for query in queries]
        for query in queries[:5]:
            assert index.get(query) == (keys.index(query) if query in keys else -1)


@given(st.lists(st.binary(max_size=6), max_size=60), st.lists(st.binary(max_size=9), max_size=20))
@settings(max_examples=100, deadline=None)
def test_fixed_width_bytes(values: list[bytes], more: list[bytes]) -> None:
    keys = np.sort(np.array([*values, b"xyz"], "S6"))
    queries = np.concatenate([keys.astype("S9"), np.array([*more, b""], "S9")])
    index = RangeIndex(keys)
    for side in ("left", "right"):
        expected = np.searchsorted(keys.astype("S9"), queries, side=side)
        assert (index.searchsorted(queries, side) == expected).all()


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(-3, 3)), max_size=80),
    st.lists(st.tuples(st.integers(-1, 6) | st.just(2**65), st.floats(-4, 4)), max_size=20),
)
@settings(max_examples=100, deadline=None)
def test_pairs(rows: list[tuple[int, float]], more: list[tuple[int, float]]) -> None:
    rows = sorted(rows)
    first = np.array([row[0] for row in rows], np.uint32)
    second = np.array([row[1] for row in rows], np.float64)
    index = RangeIndex((first, second))
    asked = [*rows, *more]
    queries = ([row[0] for row in asked], [row[1] for row in asked])
    left = [bisect.bisect_left(rows, row) for row in asked]
    right = [bisect.bisect_right(rows, row) for row in asked]
    assert index.searchsorted(queries).tolist() == left
    assert index.searchsorted(queries, side="right").tolist() == right
    found = [a if a < b else -1 for a, b in zip(left, right, strict=True)]
    assert index.get(queries).tolist() == found
    for row, place in zip(asked[:5], found, strict=False):
        assert index.get(row) == place
        assert (row in index) == (place >= 0)


@pytest.mark.parametrize("make", [np.array, pa.array, lambda x: pa.chunked_array([x[:3], x[3:]])])
def test_times(make: Any) -> None:
    days = np.array(["2001-01-01", "2001-01-02", "2001-01-02", "2024-02-29"], "M8[D]")
    index = RangeIndex(make(days))
    assert index.searchsorted(days).tolist() == [0, 1, 1, 3]
    noon = np.array(["2001-01-01T12", "2001-01-02T00", "1969-12-31T23"], "M8[h]")
    assert index.searchsorted(noon).tolist() == [1, 1, 0]
    assert index.searchsorted(noon, side="right").tolist() == [1, 3, 0]
    assert index.contains(noon).tolist() == [False, True, False]
    assert index.searchsorted(np.datetime64("2001-01-02")) == 1
    with pytest.raises(TypeError):
        index.searchsorted([1, 2])
    with pytest.raises(ValueError, match="NaT"):
        index.searchsorted(np.array(["NaT"], "M8[D]"))
    spans = RangeIndex(np.array([1, 5, 9], "m8[s]"))
    assert spans.searchsorted(np.array([1500, 5000], "m8[ms]")).tolist() == [1, 1]


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="below its predecessor is at 2"):
        RangeIndex([1, 5, 3])
    with pytest.raises(ValueError, match="NaN"):
        RangeIndex([1.0, np.nan])
    with pytest.raises(ValueError, match="null"):
        RangeIndex(pa.array([1, None]))
    with pytest.raises(ValueError, match="NaT"):
        RangeIndex(np.array(["NaT"], "M8[s]"))
    with pytest.raises(ValueError, match="not sorted"):
        RangeIndex(["b", "a"])
    with pytest.raises(ValueError, match="second column"):
        RangeIndex(([1, 1], [2, 1]))
    with pytest.raises(ValueError, match="dimension"):
        RangeIndex(np.zeros((2, 2)))
    for keys in (np.zeros(2, np.complex128), np.zeros(2, np.float16), [True, False], [1, "a"]):
        with pytest.raises(TypeError):
            RangeIndex(keys)
    with pytest.raises(ValueError, match="none of"):
        RangeIndex([1], structure="btree")
    index = RangeIndex([1, 2, 3])
    with pytest.raises(ValueError, match="side"):
        index.searchsorted([1], side="middle")
    with pytest.raises(TypeError):
        index.searchsorted(["a"])
    with pytest.raises(ValueError, match="out must be"):
        index.searchsorted([1, 2], out=np.zeros(3, np.int64))
    assert "a" not in index
    assert None not in index
    assert RangeIndex([]).searchsorted([1.0]).tolist() == [0]


def test_nothing_is_copied() -> None:
    keys = np.arange(0, 1000, 3)
    for column in (keys, pa.array(keys), memoryview(keys)):
        held = RangeIndex(column)._search.keys.values
        assert np.shares_memory(held, keys)
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for column in (pandas.Series(keys), pandas.Index(keys)):
        assert np.shares_memory(RangeIndex(column)._search.keys.values, np.asarray(column))
    series = polars.Series(keys)
    held = RangeIndex(series)._search.keys.values
    assert np.shares_memory(held, series.to_numpy(allow_copy=False))


def test_a_file_of_keys_is_not_read_into_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "keys.npy", np.arange(100_000) ** 2)
    keys = np.load(tmp_path / "keys.npy", mmap_mode="r")
    index = RangeIndex(keys)
    assert np.shares_memory(index._search.keys.values, keys)
    assert index.get([81, 82]).tolist() == [9, -1]


def skewed(n: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(3)
    return np.sort(np.exp(random.normal(0, 3, n)))


def test_out_and_threads() -> None:
    keys = skewed(50_000)
    index = RangeIndex(keys)
    queries = np.random.default_rng(1).permutation(np.concatenate([keys, keys + 1e-9]))
    expected = np.searchsorted(keys, queries)
    out = np.empty(len(queries), np.int64)
    assert index.searchsorted(queries, out=out, threads=3) is out
    assert (out == expected).all()
    assert (index.contains(queries, threads=2) == np.isin(queries, keys)).all()
    failures = []

    def look() -> None:
        for _ in range(5):
            if not (index.searchsorted(queries) == expected).all():
                failures.append(1)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_slices() -> None:
    index = RangeIndex([1, 3, 3, 5])
    assert index.range(3, 5) == slice(1, 3)
    assert index.range(3, 5, inclusive=True) == slice(1, 4)
    assert index.range(hi=3) == slice(0, 1)
    assert index.range(2) == slice(1, 4)
    assert index.range(5, 1) == slice(3, 3)
    assert RangeIndex(["a", "b", "d"]).range("b", "c") == slice(1, 2)
    assert RangeIndex(([1, 1, 2], [1, 5, 1])).range((1, 2), (2, 1)) == slice(1, 2)


def kinds_of_keys() -> list[Any]:
    texts = [f"https://example.org/{k:06d}" for k in range(0, 9000, 3)]
    first = np.sort(np.random.default_rng(1).integers(0, 900, 5000))
    return [
        skewed(20_000),
        np.arange(20_000, dtype=np.uint64) ** 2,
        np.repeat(np.arange(200, dtype=np.int16), 50),
        pa.array(texts),
        (first, np.arange(5000)),
    ]


@pytest.mark.parametrize("keys", kinds_of_keys(), ids=["f8", "u8", "i2", "str", "pairs"])
@pytest.mark.parametrize("structure", [None, "linear cells", "tree", "search"])
def test_save_load_and_pickle(tmp_path: Path, keys: Any, structure: str | None) -> None:
    try:
        index = RangeIndex(keys, structure=structure)
    except ValueError:
        pytest.skip("16-bit keys have no such structure")
    path = tmp_path / "index"
    index.save(path)
    queries = tuple(c[::7] for c in keys) if isinstance(keys, tuple) else keys[::7]
    for again in (RangeIndex.load(path, keys), pickle.loads(pickle.dumps(index))):
        assert again.chosen.structure == index.chosen.structure
        assert (again.searchsorted(queries) == index.searchsorted(queries)).all()
        assert (again.get(queries) == index.get(queries)).all()
        assert again.nbytes == index.nbytes
        assert len(again) == len(index)
    other = tuple(c[1:] for c in keys) if isinstance(keys, tuple) else keys[1:]
    with pytest.raises(IndexFileError, match="other keys"):
        RangeIndex.load(path, other)


def test_damaged_files(tmp_path: Path) -> None:
    keys = np.sort(np.random.default_rng(5).integers(0, 1 << 40, 3000))
    path = tmp_path / "index"
    RangeIndex(keys, structure="linear cells").save(path)
    whole = path.read_bytes()
    random = np.random.default_rng(7)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[random.integers(0, len(whole))] ^= 1 << int(random.integers(0, 8))
        path.write_bytes(damaged)
        with pytest.raises(IndexFileError):
            RangeIndex.load(path, keys)
    for length in [0, 7, 60, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(IndexFileError):
            RangeIndex.load(path, keys)
    changed = keys.copy()
    changed[1500] += 1
    path.write_bytes(whole)
    with pytest.raises(IndexFileError, match="other keys"):
        RangeIndex.load(path, np.sort(changed))


def test_forged_tables_are_refused_or_harmless() -> None:
    """The checksum is no secret: whoever makes it fit still gets no wrong answer, and no crash."""
    keys = np.sort(np.random.default_rng(5).integers(0, 1 << 40, 30_000))
    index = RangeIndex(keys, structure="linear cells")
    meta, arrays = index._search.state()
    expected = np.searchsorted(keys, keys)
    random = np.random.default_rng(11)
    taken = 0
    for _ in range(200):
        forged = {name: np.array(array) for name, array in arrays.items()}
        name = ["root", "cell"][int(random.integers(0, 2))]
        places = random.integers(0, len(forged[name]), int(random.integers(1, 50)))
        forged[name][places] = random.integers(0, 1 << 16, len(places)).astype(forged[name].dtype)
        try:
            again = RangeIndex._restored(keys, meta, forged)
        except IndexFileError:
            continue
        taken += 1
        assert (again.searchsorted(keys) == expected).all()
    assert taken > 50
    for broken in ({}, {"root": arrays["root"]}, {"root": arrays["cell"], "cell": arrays["cell"]}):
        with pytest.raises(IndexFileError):
            RangeIndex._restored(keys, meta, broken)


def test_the_fastest_is_chosen_and_says_why() -> None:
    keys = np.random.default_rng(1).integers(0, 1 << 62, 300_000)
    keys.sort()
    index = RangeIndex(keys)
    times = {one.structure: one.nanoseconds for one in index.chosen.candidates}
    assert index.chosen.structure != "search"
    assert times[index.chosen.structure] <= min(times.values()) * 1.05
    small = RangeIndex(keys, bytes_per_key_max=0.2)
    assert small.nbytes <= 0.2 * len(keys)
    assert RangeIndex(keys, bytes_per_key_max=0).chosen.structure == "search"
    text = index.explain()
    assert index.chosen.structure in text
    assert "bytes a key" in text
    days = RangeIndex(np.sort(np.random.default_rng(1).integers(0, 1000, 300_000).astype("M8[D]")))
    assert days.chosen.structure == "values"


def test_every_key_and_every_absent_neighbour() -> None:
    """And of as many keys as a benchmark has: benchmarks/index.py."""
    random = np.random.default_rng(1)
    keys = np.unique(random.integers(0, 1 << 50, 400_000).astype(np.uint64))
    positions = np.arange(len(keys))
    for structure in ("linear cells", "logarithmic cells", "tree"):
        index = RangeIndex(keys, structure=structure)
        assert (index.get(keys) == positions).all()
        assert (index.searchsorted(keys, side="right") == positions + 1).all()
        for step in (-1, 1):
            beside = keys + np.uint64(step % (1 << 64))
            assert (index.searchsorted(beside) == np.searchsorted(keys, beside)).all()


def test_huge_numbers_stay_apart() -> None:
    top = 2**64 - 1
    keys = np.array([0, 2**53, 2**53 + 1, 2**63, top - 1, top], np.uint64)
    index = RangeIndex(keys)
    assert [index.get(int(key)) for key in keys] == list(range(6))
    assert index.searchsorted(top, side="right") == 6
    assert index.searchsorted([2**53 + 1]).tolist() == [2]
    assert index.searchsorted(np.array([-1, 2**53 + 1], np.int64)).tolist() == [0, 2]
    assert index.searchsorted(float(2**53)) == 1
    assert index.searchsorted(2**64) == 6
    assert index.searchsorted(-(2**70)) == 0


def test_it_holds_no_more_than_it_says() -> None:
    keys = np.arange(10**6) * 7
    index = RangeIndex(keys)
    held = sys.getrefcount(keys)
    del index
    assert sys.getrefcount(keys) < held
