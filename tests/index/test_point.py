"""A point index against a dict, for hostile keys of every kind and for every structure."""

from __future__ import annotations

import datetime
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from acumen import _native
from acumen.index import PointIndex
from acumen.index.point_columns import read_column
from acumen.index.point_structures import Builder, DuplicateKeyError

NUMBERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]


def expected(keys, queries) -> list[int]:
    """What a dict says; equal numbers of different types are one key, as in Python."""
    positions = {key: at for at, key in enumerate(list(keys))}
    return [positions.get(query, -1) for query in list(queries)]


def check(keys, queries=(), **options) -> PointIndex:
    """Every key, every query, one by one and in batches of two sizes."""
    keys = np.asarray(keys)
    index = PointIndex(keys, **options)
    assert index.get_indexer(keys).tolist() == list(range(len(keys)))
    queries = np.concatenate([keys, np.asarray(queries, keys.dtype)])
    right = expected(keys.tolist(), queries.tolist())
    assert index.get_indexer(queries).tolist() == right
    assert [index.get(query, -1) for query in queries.tolist()] == right
    assert [query in index for query in queries.tolist()] == [at >= 0 for at in right]
    assert len(index) == len(keys)
    return index


def edges(dtype: str) -> list[float]:
    if dtype[0] == "f":
        huge = np.finfo(dtype).max
        tiny = np.finfo(dtype).smallest_subnormal
        return [0.0, 1.0, -1.0, np.inf, -np.inf, huge, -huge, tiny, -tiny, 2.0**24, 0.1]
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    return [lowest, lowest + 1, 0, 1, highest // 2, highest - 1, highest]


@st.composite
def columns(draw):
    """Distinct keys of some shape (anything, on a grid, crowded at the ends), and queries."""
    dtype = draw(st.sampled_from(NUMBERS))
    element = hnp.from_dtype(np.dtype(dtype), allow_nan=False) | st.sampled_from(edges(dtype))
    keys = draw(st.lists(element, max_size=40, unique=True))
    if dtype == "i8" and draw(st.booleans()):
        start, step = draw(st.integers(-(2**62), 2**62)), draw(st.integers(-(2**50), 2**50))
        picked = draw(st.lists(st.integers(0, 90), max_size=60, unique=True))
        keys = [start + step * at for at in picked] if step else keys
    if draw(st.booleans()):
        keys = sorted(keys)
    queries = draw(st.lists(element, max_size=20))
    return np.array(keys, dtype), np.array(queries, dtype)


@given(columns(), st.sampled_from(["speed", "memory"]))
@settings(max_examples=300, deadline=None)
def test_agrees_with_a_dict(column, prefer):
    keys, queries = column
    check(keys, queries, prefer=prefer)


@given(st.lists(st.text(max_size=40), unique=True, max_size=40), st.lists(st.text(max_size=40)))
@settings(max_examples=100, deadline=None)
def test_text_agrees_with_a_dict(keys, queries):
    index = PointIndex(pa.array(keys, pa.string()))
    assert index.get_indexer(queries).tolist() == expected(keys, queries)
    assert [index.get(query, -1) for query in keys + queries] == expected(keys, keys + queries)


@given(st.lists(st.binary(max_size=40), unique=True, max_size=40), st.lists(st.binary()))
@settings(max_examples=100, deadline=None)
def test_bytes_agree_with_a_dict(keys, queries):
    index = PointIndex(pa.array(keys, pa.binary()))
    assert index.get_indexer(queries).tolist() == expected(keys, queries)
    assert [index.get(query, -1) for query in keys + queries] == expected(keys, keys + queries)


random = np.random.default_rng(11)
HOSTILE = {
    "random": random.permutation(np.unique(random.integers(0, 2**63, 9000, dtype=np.int64))),
    "sequence": np.arange(-4000, 5000),
    "falling": np.arange(9000, 0, -3),
    "grid in order": np.flatnonzero(random.random(20_000) < 0.4) * 1_000_000_007 - 2**62,
    "grid shuffled": random.permutation(20_000)[:9000] * np.int64(3_600_000_000_000),
    "regular gaps": random.permutation(np.arange(9000) * 1000 + random.integers(0, 99, 9000)),
    "multiples of 2^32": random.permutation(9000).astype(np.int64) ** 2 << 32,
    "high bits only": random.permutation(9000).astype(np.uint64) ** 2 << np.uint64(37),
    "equal high bits": np.uint64(2**64 - 2**40)
    + np.unique(random.integers(0, 2**40, 9000, dtype=np.uint64)),
    "skewed": np.unique(np.exp(random.normal(0, 9, 9000)).astype(np.int64) ** 2),
    "powers": np.sort(np.concatenate([2 ** np.arange(63), -(2 ** np.arange(63))])),
    "ends": np.array([0, 1, 2**63, 2**64 - 2, 2**64 - 1], np.uint64),
    "doubles": random.normal(0, 1e300, 9000),
    "sorted doubles": np.sort(random.lognormal(0, 3, 9000)),
    "floats": np.unique(random.normal(0, 1, 9000).astype(np.float32)),
    "one": np.array([7]),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("prefer", ["speed", "memory"])
def test_hostile_keys_and_their_neighbours(name, prefer):
    keys = HOSTILE[name]
    near = [np.nextafter(keys, np.inf), np.nextafter(keys, -np.inf)]
    if keys.dtype.kind != "f":
        one = keys.dtype.type(1)
        with np.errstate(over="ignore"):
            near = [keys + one, keys - one, keys ^ (one << keys.dtype.type(32)), ~keys]
    check(keys, np.concatenate(near), prefer=prefer)


def test_structures_are_chosen_by_what_the_keys_are():
    assert check(HOSTILE["sequence"]).explain().structure == "sequence"
    assert check(HOSTILE["falling"]).explain().structure == "sequence"
    assert check(HOSTILE["grid in order"]).explain().structure == "bitmap"
    assert check(HOSTILE["grid shuffled"]).explain().structure == "direct"
    regular = check(HOSTILE["regular gaps"]).explain()
    tried = {candidate.structure: candidate for candidate in regular.candidates}
    assert set(tried) == {"learned hash", "hash"}  # which is faster is the machine's to say
    assert tried["learned hash"].bytes_per_key < 0.9 * tried["hash"].bytes_per_key
    assert all(candidate.ns_per_lookup for candidate in tried.values())
    random_keys = check(HOSTILE["random"]).explain()
    assert random_keys.structure == "hash"
    assert 15 < random_keys.bytes_per_key < 17
    assert 0.05 < random_keys.away_from_home < 0.15
    ordered = PointIndex(np.sort(HOSTILE["random"])).explain()
    assert {c.structure for c in ordered.candidates} >= {"ranks", "hash"}
    assert all(c.ns_per_lookup for c in ordered.candidates if c.structure != "learned hash")
    small = check(HOSTILE["random"], prefer="memory").explain()
    assert small.structure == "tags"
    assert small.bytes_per_key < 7
    assert check(np.sort(HOSTILE["random"]), prefer="memory").explain().structure == "ranks"
    assert "6." in str(small)


@pytest.mark.parametrize("kind", ["random", "regular gaps", "grid shuffled", "sorted doubles"])
@pytest.mark.parametrize("prefer", ["speed", "memory"])
def test_portable_kernels_agree(kind, prefer):
    keys = HOSTILE[kind]
    core = _native.PointCore()
    structure, _ = Builder(core, read_column(keys), "error", prefer, 1, portable=True).build()
    assert structure.numbers["portable"] == 1
    index = PointIndex(keys, prefer=prefer)
    queries = np.concatenate([keys, keys + 1])
    out = np.empty(len(queries), np.int64)
    _native.point_find(core, queries, out, 1)
    np.testing.assert_array_equal(out, index.get_indexer(queries))


def test_every_key_and_every_absent_neighbour_of_a_million():
    even = np.unique(random.integers(0, 2**62, 1_000_000, dtype=np.int64) * 2)
    grid = random.permutation(3_000_000)
    columns = {  # and what is near the keys but absent
        "hash": (random.permutation(even), None),
        "sorted": (even, None),
        "direct": (grid[:1_000_000], grid[1_000_000:]),
        "bitmap": (np.sort(grid[:1_000_000]), grid[1_000_000:]),
    }
    for keys, absent in columns.values():
        for prefer in ("speed", "memory"):
            index = PointIndex(keys, prefer=prefer, threads=2)
            found = index.get_indexer(keys, threads=2)
            np.testing.assert_array_equal(found, np.arange(len(keys)))
            for neighbours in (keys + 1, keys - 1) if absent is None else (absent,):
                assert (index.get_indexer(neighbours) == -1).all()


def words_of_one_line(count: int, lines: int, seed: int = 0x5EED) -> np.ndarray:
    """Words that are all at home in line 0 with the first seed: the hash undone."""
    first, second = 0xD1342543DE82EF95, 0xAF251AF3B0F025B5
    inverse_first, inverse_second = pow(first, -1, 2**64), pow(second, -1, 2**64)
    words = []
    for at in range(count):
        word = (at * 977 + 1) * inverse_second % 2**64  # a hash near 0
        word ^= word >> 32
        words.append((word * inverse_first % 2**64) ^ seed)
    assert count * 977 < 2**64 // lines
    return np.array(words, np.uint64)


def test_keys_made_for_the_seed_only_cost_another_seed():
    keys = words_of_one_line(20_000, lines=5_000)
    index = check(keys, keys + np.uint64(1))
    assert index.explain().structure == "hash"
    assert index._structure.numbers["seed"] != 0x5EED


def test_duplicates_are_refused_or_the_first_or_the_last_is_meant():
    keys = random.permutation(np.repeat(random.integers(0, 2**63, 3000), 3))
    with pytest.raises(DuplicateKeyError, match=r"rows \d+ and \d+ hold the same key"):
        PointIndex(keys)
    first = {key: at for at, key in reversed(list(enumerate(keys.tolist())))}
    last = {key: at for at, key in enumerate(keys.tolist())}
    for right, which in ((first, "first"), (last, "last")):
        for prefer in ("speed", "memory"):
            index = PointIndex(keys, duplicates=which, prefer=prefer)
            assert index.get_indexer(keys).tolist() == [right[key] for key in keys.tolist()]
            assert len(index) == len(right)
    small = [5, 5, 6, 5]
    assert PointIndex(small, duplicates="last").get_indexer([5, 6, 7]).tolist() == [3, 2, -1]
    assert PointIndex(["a", "b", "a"], duplicates="first").get("a") == 0
    with pytest.raises(DuplicateKeyError, match="rows 0 and 2"):
        PointIndex(["a", "b", "a"])
    with pytest.raises(ValueError, match="duplicates is"):
        PointIndex([1], duplicates="some")
    with pytest.raises(DuplicateKeyError):
        PointIndex([-0.0, 0.0])


@given(st.lists(st.integers(-3, 3) | st.integers(0, 2**64 - 1), max_size=200))
@settings(max_examples=100, deadline=None)
def test_the_first_of_equal_keys_wherever_they_are(words):
    keys = np.array([word % 2**64 for word in words], np.uint64)
    right = {}
    for at, key in enumerate(keys.tolist()):
        right.setdefault(key, at)
    index = PointIndex(keys, duplicates="first")
    assert index.get_indexer(keys).tolist() == [right[key] for key in keys.tolist()]


def test_missing_keys_are_refused_and_missing_queries_absent():
    with pytest.raises(ValueError, match="key 1 is missing"):
        PointIndex([1.0, np.nan])
    with pytest.raises(ValueError, match="key 0 is missing"):
        PointIndex(np.array(["NaT", "2020-01-01"], "M8[s]"))
    with pytest.raises(ValueError, match="key 1 is missing"):
        PointIndex(["a", None])
    assert PointIndex([1.0, 2.0]).get_indexer([np.nan, 2.0]).tolist() == [-1, 1]
    assert PointIndex([1.0]).get(np.nan) is None
    assert PointIndex(["a"]).get_indexer([None, "a"]).tolist() == [-1, 0]
    days = PointIndex(np.array(["2020-01-01", "2020-02-01"], "M8[D]"))
    assert days.get_indexer(np.array(["NaT", "2020-02-01"], "M8[ns]")).tolist() == [-1, 1]


def test_numbers_are_equal_across_types_and_exact():
    big = PointIndex(np.array([2**53, 2**53 + 1, -5], np.int64))
    assert big.get_indexer(np.array([2.0**53, 2.5, -5.0, np.inf, 1e300])).tolist() == [
        *(0, -1, 2, -1, -1)
    ]
    assert big.get_indexer(np.array([2**53 + 1, 2**64 - 5], np.uint64)).tolist() == [1, -1]
    assert big.get(2**64 - 5) is None
    assert big.get(2**70) is None
    assert [big.get(np.int64(2**53 + 1)), big.get(np.float32(-5)), big.get(-5.5)] == [1, 2, None]
    unsigned = PointIndex(np.array([2**64 - 5, 3, 2**63], np.uint64))
    assert unsigned.get_indexer(np.array([-5, 3], np.int64)).tolist() == [-1, 1]
    assert unsigned.get_indexer(np.array([-5, 3], np.int8)).tolist() == [-1, 1]
    assert unsigned.get_indexer(np.array([2.0**63, 2.0**64, -1.0])).tolist() == [2, -1, -1]
    assert (unsigned.get(-5), unsigned.get(2**64 - 5), unsigned.get(2.0**63)) == (None, 0, 2)
    double = PointIndex(np.array([0.0, 2.0**53, 0.5, 2.0**64]))
    assert double.get_indexer(np.array([0, 2**53, 2**53 + 1, 2**63 - 1])).tolist() == [0, 1, -1, -1]
    assert double.get_indexer(np.array([2**64 - 1], np.uint64)).tolist() == [-1]
    assert (double.get(2**53), double.get(2**53 + 1), double.get(2**64)) == (1, None, 3)
    assert (double.get(10**400), double.get(-0.0), double.get(True)) == (None, 0, None)
    assert double.get_indexer(np.array([-0.0, 0.5], np.float32)).tolist() == [0, 2]
    assert PointIndex(np.array([0.1], np.float32)).get(0.1) is None  # another number
    assert PointIndex([True, False]).get_indexer([False, True]).tolist() == [1, 0]


def test_lists_of_integers_stay_exact():
    index = PointIndex([2**63, 1, 2**64 - 1])
    assert index.dtype == "uint64"
    assert index.get_indexer([2**64 - 1, 2**63 + 1, 1]).tolist() == [2, -1, 1]
    for beyond in ([2**70], [-1, 2**63]):
        with pytest.raises(TypeError, match="no type of 64 bits"):
            PointIndex(beyond)


def test_times_of_any_unit():
    keys = np.array(["2024-01-01T00:00", "2024-01-01T00:01", "1969-12-31T23:59"], "M8[m]")
    index = PointIndex(keys.astype("M8[ns]"))
    assert index.get_indexer(keys).tolist() == [0, 1, 2]
    assert PointIndex(keys).get_indexer(
        keys.astype("M8[ns]") + np.timedelta64(1, "ns")
    ).tolist() == [-1, -1, -1]
    assert index.get(keys[1]) == 1
    assert index.get(datetime.datetime(2024, 1, 1, 0, 1)) == 1
    moment = datetime.datetime(
        2024, 1, 1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))
    )
    assert index.get(moment) == 1
    assert datetime.date(2024, 1, 1) in index
    assert index.get(np.datetime64("NaT", "s")) is None
    assert index.get(0) is None
    assert index.dtype == "datetime64[ns]"
    spans = PointIndex(np.array([5, 90], "m8[s]"))
    assert spans.get(datetime.timedelta(minutes=1, seconds=30)) == 1
    assert spans.get(np.datetime64(5, "s")) is None
    with pytest.raises(TypeError, match="queries are datetime64"):
        spans.get_indexer(keys)


def test_strings_from_numpy_and_arrow():
    words = ["", "a", "ab", "a\0b", "ä" * 30, "b" * 17, "c" * 16, "d" * 8]
    sources = [
        np.array(words),
        np.array(words, object),
        pa.array(words),
        pa.array(words, pa.large_string()),
        pa.array(words, pa.string_view()),
        pa.array(words).dictionary_encode(),
        pa.DictionaryArray.from_arrays(range(len(words)), pa.array(words, pa.string_view())),
        pa.chunked_array([words[:3], words[3:]]),
        pa.array(["x", *words, "y"]).slice(1, len(words)),
    ]
    for keys in sources:
        index = PointIndex(keys)
        for queries in sources:
            assert index.get_indexer(queries).tolist() == list(range(len(words)))
        assert index.get_indexer(["zz", "b" * 16, "a\0"]).tolist() == [-1, -1, -1]
        assert "ab" in index
        assert b"ab" not in index
        assert "\ud800" not in index
        assert 5 not in index
    fixed = PointIndex(np.array([b"a", b"bcd", b""]))
    assert fixed.get_indexer(np.array([b"", b"bcd", b"bc"], "S9")).tolist() == [2, 1, -1]
    assert (fixed.get(b"a"), fixed.get(b"a\0"), fixed.get("a")) == (0, None, None)
    wide = PointIndex(pa.array([b"ab", b"\0\0"], pa.binary(2)))
    assert wide.get_indexer([b"\0\0", b"\0"]).tolist() == [1, -1]


def test_columns_are_read_where_they_lie():
    numbers = np.arange(10)[::-1].copy()
    assert read_column(numbers).data is numbers
    arrow = pa.array(numbers)
    view = read_column(arrow).data
    assert view.ctypes.data == arrow.buffers()[1].address
    assert read_column(pa.array(["a", "b"])).copied == 0
    assert read_column(["a", "b"]).copied > 0
    assert PointIndex(numbers[::2]).get_indexer([9, 8, 7]).tolist() == [0, -1, 1]
    swapped = np.array([5, 300], ">i4")
    assert PointIndex(swapped).get_indexer(swapped).tolist() == [0, 1]
    days = pa.array([3, 1], pa.date32())
    assert PointIndex(days).get_indexer(np.array([1, 2, 3], "M8[D]")).tolist() == [1, -1, 0]
    assert PointIndex(pa.array([2, 1], pa.timestamp("us"))).dtype == "datetime64[us]"


def test_what_cannot_be_a_key_is_refused():
    for keys in (np.array([1j]), [object()], np.zeros(2, "V3"), ["a", 1]):
        with pytest.raises(TypeError):
            PointIndex(keys)
    with pytest.raises(ValueError, match="one dimension"):
        PointIndex(np.zeros((2, 2)))
    index = PointIndex([1, 2])
    with pytest.raises(TypeError, match="queries are text, keys are int64"):
        index.get_indexer(["a"])
    assert "a" not in index
    assert index.get_indexer([]).tolist() == []
    assert PointIndex([]).get_indexer([1.0]).tolist() == [-1]
    with pytest.raises(ValueError, match="threads"):
        index.get_indexer([1], threads=0)
    for out in (np.empty(2, np.int32), np.empty(3, np.int64), np.empty(4, np.int64)[::2]):
        with pytest.raises(ValueError, match="out must be"):
            index.get_indexer([1, 2], out=out)
    out = np.empty(2, np.int64)
    assert index.get_indexer([2, 3], out=out) is out
    assert out.tolist() == [1, -1]
    with pytest.raises(ValueError, match="not built"):
        _native.PointCore().get(1)


def test_threads_answer_alike_and_others_run_meanwhile():
    keys = random.permutation(np.unique(random.integers(0, 2**63, 200_000, dtype=np.int64)))
    index = PointIndex(keys)
    queries = random.choice(keys, 300_001)
    alone = index.get_indexer(queries)
    np.testing.assert_array_equal(index.get_indexer(queries, threads=3), alone)
    results: list[bool] = []

    def ask() -> None:
        results.append(bool((index.get_indexer(queries) == alone).all()))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def test_the_smallest_of_the_fastest_is_kept(monkeypatch):
    times = {"ranks": 21.0, "learned hash": 30.0, "hash": 20.0}

    def kept(keys) -> str:
        def pretended(self, *cores):
            return [times[name] for name in names][-len(cores) :]

        monkeypatch.setattr(Builder, "_time", pretended)
        return check(keys).explain().structure

    names = ["ranks", "hash"]
    assert kept(np.sort(HOSTILE["random"])) == "ranks"
    times["ranks"] = 23.0
    assert kept(np.sort(HOSTILE["random"])) == "hash"
    names = ["learned hash", "hash"]
    assert kept(HOSTILE["regular gaps"]) == "hash"
    times["learned hash"] = 21.0
    assert kept(HOSTILE["regular gaps"]) == "learned hash"
