"""MutableRangeIndex against sortedcontainers.SortedDict, one operation after the other."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sortedcontainers import SortedDict

from acumen.index import MutableRangeIndex, RangeSnapshot

KEYS = st.integers(-40, 40) | st.sampled_from([-(2**63), -(2**63) + 1, 2**53 + 1, 2**63 - 1])
# Numbers of other types that may equal a key, and what is none.
ASKED = KEYS | st.sampled_from([0.0, -0.0, 7.0, 7.5, True, 2**70, float("inf"), np.int8(3)])
INSIDE = st.none() | KEYS


def answer(ask: Callable[[Any], Any], of: Any) -> Any:
    """What a call answers, or the type of its error."""
    try:
        found = ask(of)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        return type(error)
    return found


class Habits(RuleBasedStateMachine):
    """The same is done to both; both are the same afterwards."""

    @initialize(many=st.integers(0, 3))
    def start(self, many: int) -> None:
        keys = np.arange(many * 700) * 3 - 900  # several leaves
        self.index = MutableRangeIndex(keys, value_dtype=object)
        self.oracle = SortedDict(zip(keys.tolist(), range(len(keys)), strict=True))
        self.old: list[tuple[RangeSnapshot, SortedDict]] = []

    def both(self, ask: Callable[[Any], Any]) -> None:
        assert answer(ask, self.index) == answer(ask, self.oracle)

    @rule(key=KEYS, value=st.integers() | st.text(max_size=3))
    def set(self, key: int, value: Any) -> None:
        self.index[key] = self.oracle[key] = value

    @rule(key=ASKED)
    def delete(self, key: Any) -> None:
        self.both(lambda d: d.__delitem__(key))

    @rule(key=ASKED, default=st.integers())
    def look(self, key: Any, default: int) -> None:
        self.both(lambda d: d[key])
        self.both(lambda d: (key in d, d.get(key), d.get(key, default)))
        self.both(lambda d: d.bisect_left(key))
        self.both(lambda d: d.bisect_right(key))
        self.both(lambda d: d.bisect(key))
        self.both(lambda d: d.index(key))

    @rule(key=KEYS, start=st.none() | st.integers(-9, 9), stop=st.none() | st.integers(-9, 9))
    def rank(self, key: int, start: int | None, stop: int | None) -> None:
        self.both(lambda d: d.index(key, start, stop))

    @rule(rank=st.integers(-5, 5))
    def peek(self, rank: int) -> None:
        self.both(lambda d: d.peekitem(rank))
        self.both(lambda d: (d.keys()[rank], d.values()[rank], d.items()[rank]))
        self.both(lambda d: (d.keys()[rank:], d.values()[:rank], d.items()[rank::2]))

    @rule(rank=st.integers(-5, 5))
    def pop_item(self, rank: int) -> None:
        self.both(lambda d: d.popitem(rank))

    @rule(key=KEYS, default=st.none() | st.integers())
    def pop(self, key: int, default: int | None) -> None:
        self.both(lambda d: d.pop(key) if default is None else d.pop(key, default))

    @rule(key=KEYS, default=st.integers())
    def set_default(self, key: int, default: int) -> None:
        self.both(lambda d: d.setdefault(key, default))

    @rule(low=INSIDE, high=INSIDE, ends=st.tuples(st.booleans(), st.booleans()), down=st.booleans())
    def ranges(self, low: Any, high: Any, ends: tuple[bool, bool], down: bool) -> None:
        self.both(lambda d: list(d.irange(low, high, ends, reverse=down)))
        first, last = self.oracle.bisect(low or 0) % 9 - 4, self.oracle.bisect(high or 0) % 90
        self.both(lambda d: list(d.islice(first, last, down)))

    @rule(items=st.dictionaries(KEYS, st.integers(), max_size=60))
    def update(self, items: dict[int, int]) -> None:
        self.index.update(items)
        self.oracle.update(items)

    @rule(keys=st.lists(KEYS, max_size=60), below=st.booleans())
    def delete_many(self, keys: list[int], below: bool) -> None:
        if below:
            keys = keys + list(self.oracle.islice(0, 500))
        gone = [self.oracle.pop(key) for key in set(keys) & set(self.oracle)]
        assert self.index.delete(keys) == len(gone)

    @rule()
    def snapshot(self) -> None:
        self.old = [*self.old[-2:], (self.index.snapshot(), self.oracle.copy())]

    @rule()
    def copy(self) -> None:
        self.old = [*self.old[-2:], (self.index, self.oracle)]
        self.index, self.oracle = copy.copy(self.index), self.oracle.copy()

    @rule()
    def clear(self) -> None:
        self.index.clear()
        self.oracle.clear()

    @invariant()
    def same(self) -> None:
        for index, oracle in [(self.index, self.oracle), *self.old]:
            assert len(index) == len(oracle)
            assert index._map.validate()
        assert self.index == self.oracle

    def teardown(self) -> None:
        for index, oracle in [(self.index, self.oracle), *self.old]:
            assert list(index) == list(oracle)
            assert list(reversed(index.items())) == list(reversed(oracle.items()))
            assert list(index.values()) == list(oracle.values())


Habits.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestHabits = Habits.TestCase

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "M8[ns]", "M8[D]", "m8[us]"]


def columns(dtype: np.dtype[Any]) -> st.SearchStrategy[list[Any]]:
    if dtype.kind == "f":
        values: Any = st.floats(width=8 * dtype.itemsize, allow_nan=False)  # type: ignore[arg-type]
    else:
        stored = np.iinfo(np.int64 if dtype.kind in "mM" else dtype)
        low = int(stored.min) + (dtype.kind in "mM")  # the lowest is NaT
        near = st.integers(0, 200).map(lambda k: min(max(k - 100, low), int(stored.max)))
        values = st.integers(low, int(stored.max)) | near | st.sampled_from([low, int(stored.max)])
    return st.lists(values, max_size=300)


def as_column(values: list[Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if dtype.kind in "mM":
        return np.array(values, np.int64).view(dtype)
    return np.array(values, dtype)


@given(st.data(), st.sampled_from(TYPES))
@settings(max_examples=50, deadline=None)
def test_batches_of_every_type(data: st.DataObject, code: str) -> None:
    dtype = np.dtype(code)
    oracle: dict[Any, int] = {}
    index = MutableRangeIndex(dtype=dtype)
    for turn in range(3):
        column = as_column(data.draw(columns(dtype)), dtype)
        values = np.arange(len(column)) + 1000 * turn
        before = len(oracle)
        oracle.update(zip(list(column), values.tolist(), strict=True))
        assert index.insert(column, values) == len(oracle) - before
        gone = as_column(data.draw(columns(dtype))[:20], dtype)
        there = [key for key in set(gone) if key in oracle]
        assert index.delete(gone) == len(there)
        for key in there:
            del oracle[key]
    keys = np.sort(as_column([], dtype) if not oracle else np.array(list(oracle), dtype))
    found_keys, found_values = index.arrays()
    assert found_keys.dtype == dtype
    assert (found_keys == keys).all()
    assert found_values.tolist() == [oracle[key] for key in list(keys)]
    asked = np.concatenate([keys, as_column(data.draw(columns(dtype)), dtype)])
    assert (index.contains(asked) == np.isin(asked, keys)).all()
    assert index.get(asked).tolist() == [oracle.get(key, -1) for key in list(asked)]
    for side in ("left", "right"):
        assert (index.searchsorted(asked, side) == keys.searchsorted(asked, side)).all()
    for key in list(asked)[:10]:
        assert (key in index) == (key in oracle)
        assert index.get(key) == oracle.get(key)
        assert index.bisect_right(key) == keys.searchsorted(key, "right")
    assert list(index) == (list(keys) if dtype.kind in "mM" else keys.tolist())
    for twin in (pickle.loads(pickle.dumps(index)), index.copy(), MutableRangeIndex(index)):
        assert twin == index
        assert twin.dtype == dtype


def test_both_zeros_are_one_key() -> None:
    index = MutableRangeIndex([-0.0], ["zero"])
    index[0.0] = "null"
    assert list(index.items()) == [(0.0, "null")]
    assert str(index.keys()[0]) == "0.0"
    assert -0.0 in index
    assert index.bisect_left(-0.0) == 0
    assert index.searchsorted([-0.0, 0.0], "right").tolist() == [1, 1]


def test_ends_and_nan() -> None:
    index = MutableRangeIndex([np.inf, 1.0, -np.inf], [1, 2, 3])
    assert list(index) == [-np.inf, 1.0, np.inf]
    nan = float("nan")
    assert nan not in index
    assert index.get([nan, np.inf], 9).tolist() == [9, 1]
    assert index.searchsorted([nan, -nan]).tolist() == [3, 3]
    assert index.delete([nan]) == 0
    for put in (lambda: index.insert([nan], [1]), lambda: index.__setitem__(nan, 1)):
        with pytest.raises(ValueError, match="NaN"):
            put()


def test_keys_are_never_rounded() -> None:
    index = MutableRangeIndex([2**53, 2**53 + 1], [0, 1])
    assert index[2**53 + 1] == 1
    assert index.get([float(2**53), 2.0**60], -7).tolist() == [0, -7]
    for wrong in (0.5, 2**63, [0.5], [2**63], "5"):
        with pytest.raises((ValueError, TypeError)):
            index.insert(wrong, [1]) if isinstance(wrong, list) else index.__setitem__(wrong, 1)
    assert len(index) == 2
    index[5.0] = 2  # equals an int, as in a dict
    assert index[5] == 2


def test_times() -> None:
    start = np.datetime64("2024-03-01T12:00", "us")
    index = MutableRangeIndex(start + np.arange(5), dtype="M8[us]")
    index[np.datetime64("2024-03-01T11:00")] = 9
    assert index[np.datetime64("2024-03-01T11", "h")] == 9
    assert index.peekitem(0) == (np.datetime64("2024-03-01T11:00", "us"), 9)
    assert list(index.irange(start + 3)) == [start + 3, start + 4]
    with pytest.raises(ValueError, match="NaT"):
        index[np.datetime64("NaT", "s")] = 1
    with pytest.raises(TypeError):
        index[5] = 1
    assert 5 not in index
    with pytest.raises(KeyError):
        index[np.datetime64("NaT", "s")]


def test_values_of_three_kinds() -> None:
    assert MutableRangeIndex([1], [2.5]).value_dtype == np.float64
    assert MutableRangeIndex([1], ["a"]).value_dtype.kind == "O"
    assert MutableRangeIndex({1: 2}).value_dtype.kind == "O"
    index = MutableRangeIndex([3, 1], np.array([5, 6], np.uint16))
    assert index.value_dtype == np.int64
    with pytest.raises(TypeError, match="value_dtype=object"):
        index[1] = "text"
    with pytest.raises(TypeError, match="value_dtype=object"):
        index.insert([1], [0.5])
    with pytest.raises(OverflowError):
        index[1] = 2**63
    with pytest.raises(ValueError, match="2\\^63"):
        index.insert([1], [2**63])
    assert index[1] == 6
    floats = MutableRangeIndex([1], [2.5])
    assert floats.get([1, 2]).tolist()[0] == 2.5
    assert np.isnan(floats.get([2])[0])


def test_append_refuses_what_does_not_ascend() -> None:
    index = MutableRangeIndex()
    assert index.append(range(10), range(10)) == 10
    for wrong in ([9], [5, 20], [20, 20], [30, 25]):
        with pytest.raises(ValueError, match=r"insert\(\)"):
            index.append(wrong, wrong)
    assert list(index) == list(range(10))


def test_what_cannot_be_a_key_says_so() -> None:
    for keys in (["a"], [b"a"], np.array(["a"]), ([1], [2])):
        with pytest.raises((TypeError, ValueError), match=r"RangeIndex takes texts|dimension"):
            MutableRangeIndex(keys)
    with pytest.raises(TypeError, match="unhashable"):
        MutableRangeIndex([1])[[1]]
    with pytest.raises(TypeError, match="unit"):
        MutableRangeIndex(dtype="M8")
    with pytest.raises(ValueError, match="2 keys, but 1 values"):
        MutableRangeIndex([1, 2], [1])


def test_snapshots_refuse_to_be_written() -> None:
    snapshot = MutableRangeIndex([1]).snapshot()
    assert isinstance(snapshot, RangeSnapshot)
    for write in (lambda: snapshot.__setitem__(1, 1), lambda: snapshot.__delitem__(1)):
        with pytest.raises(TypeError, match="snapshot does not change"):
            write()
    assert not hasattr(snapshot, "insert")
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    assert MutableRangeIndex(snapshot) == snapshot == {1: 0}


def test_writing_while_iterating() -> None:
    index = MutableRangeIndex(range(1000))
    for key in index:
        index[key + 1000] = 0
        del index[key]
    assert list(index) == list(range(1000, 2000))
