"""Containers are told apart in one place: every index takes the same, and reads it in place."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from acumen.index import MembershipFilter, PointIndex, RangeIndex
from acumen.index.columns import read

NUMBERS = [1, 5, 2**63 - 1]
TEXTS = ["a", "b\0c", "é"]
CONTAINERS: list[tuple[Any, list[Any]]] = [
    (NUMBERS, NUMBERS),
    (tuple(range(3)), [0, 1, 2]),
    (range(3), [0, 1, 2]),
    (array.array("q", NUMBERS), NUMBERS),
    (memoryview(np.array(NUMBERS)), NUMBERS),
    (np.array(NUMBERS), NUMBERS),
    (np.array(NUMBERS).astype(">i8"), NUMBERS),
    (np.array([1, 7, 5, 7])[::2], [1, 5]),
    (np.ma.array([1, 2], mask=[False, False]), [1, 2]),
    (np.array(NUMBERS, object), NUMBERS),
    (pa.array(NUMBERS), NUMBERS),
    (pa.chunked_array([NUMBERS[:1], NUMBERS[1:]]), NUMBERS),
    (pa.array([7, 1, 5])[1:], [1, 5]),
    (pl.Series(NUMBERS), NUMBERS),
    (pd.Series(NUMBERS), NUMBERS),
    (pd.Index(NUMBERS), NUMBERS),
    (pd.array(NUMBERS, dtype="Int64"), NUMBERS),
    (TEXTS, TEXTS),
    (np.array(TEXTS), TEXTS),
    (np.array(TEXTS, object), TEXTS),
    (np.array(TEXTS, np.dtypes.StringDType()), TEXTS),
    (pa.array(TEXTS), TEXTS),
    (pa.array(TEXTS).dictionary_encode(), TEXTS),
    (pa.array(TEXTS, pa.string_view()), TEXTS),
    (pa.chunked_array([TEXTS[:1], TEXTS[1:]]), TEXTS),
    (pa.array(["0", *TEXTS], pa.large_string())[1:], TEXTS),
    (pl.Series(TEXTS), TEXTS),
    (pl.Series(TEXTS, dtype=pl.Categorical), TEXTS),
    (pd.Series(TEXTS), TEXTS),
    (pd.Index(TEXTS), TEXTS),
    (pd.Categorical(TEXTS), TEXTS),
    (np.array([b"a", b"bc"]), [b"a", b"bc"]),
    (pa.array([b"aa", b"bc"], pa.binary(2)), [b"aa", b"bc"]),
    (pa.array([b"a", b"bc"], pa.binary_view()), [b"a", b"bc"]),
]


@pytest.mark.parametrize(("container", "keys"), CONTAINERS, ids=lambda v: type(v).__name__)
def test_every_index_takes_every_container(container: Any, keys: list[Any]) -> None:
    positions = list(range(len(keys)))
    for index in (RangeIndex(keys), RangeIndex(container)):
        assert index.get(container).tolist() == positions
    for point in (PointIndex(keys), PointIndex(container)):
        assert point.get_indexer(container).tolist() == positions
    for members in (MembershipFilter(keys), MembershipFilter(container)):
        assert members.contains(container).all()
        assert all(key in members for key in keys)


@pytest.mark.parametrize(
    "container",
    [
        [1, None],
        np.array([1, None], object),
        np.ma.array([1, 2], mask=[False, True]),
        pa.array([1, None]),
        pl.Series([1, None]),
        pd.array([1, None], dtype="Int64"),
        pa.array(["a", None]).dictionary_encode(),
    ],
    ids=lambda v: type(v).__name__,
)
def test_nulls_are_refused(container: Any) -> None:
    for build in (RangeIndex, PointIndex, MembershipFilter):
        with pytest.raises(ValueError, match=r"null|missing"):
            build(container)


@pytest.mark.parametrize("mixed", [[1, 2.5], [1.5, 2], [2**60 + 1, 0.5]])
def test_a_filter_refuses_floats_and_mixtures_in_every_container(mixed: list[Any]) -> None:
    for make in (list, np.array, lambda v: np.array(v, object), pl.Series, pd.Series, pd.Index):
        if make is pl.Series and type(mixed[0]) is not type(mixed[1]):
            continue  # Polars' own constructor refuses them
        with pytest.raises(TypeError, match=r"all integers|must be integers"):
            MembershipFilter(make(mixed))


def test_integers_beside_floats_are_not_rounded() -> None:
    for build in (RangeIndex, PointIndex):
        with pytest.raises(TypeError):
            build([0.5, 2**60 + 1])


def test_large_integers_of_lists_stay_exact() -> None:
    keys = [1, 2**63, 2**63 + 1, 2**64 - 1]
    assert RangeIndex(keys).get(keys).tolist() == [0, 1, 2, 3]
    assert PointIndex(keys).get_indexer(keys).tolist() == [0, 1, 2, 3]


def test_filters_take_integers_of_any_size_and_lone_surrogates() -> None:
    for keys in ([2**70, -(2**90), 5], ["\ud800", "a"]):
        for make in (list, lambda v: np.array(v, object), lambda v: pd.Index(v, dtype=object)):
            members = MembershipFilter(make(keys))
            assert members.contains(make(keys)).all()
            assert all(key in members for key in keys)


def test_more_than_one_dimension_is_refused() -> None:
    for build in (RangeIndex, PointIndex, MembershipFilter):
        with pytest.raises(ValueError, match="one dimension"):
            build(np.zeros((2, 2), np.int64))


def test_what_is_made_is_told() -> None:
    keys = np.arange(10)
    assert read(keys).values is keys
    for same in (keys, pa.array(keys), pl.Series(keys), pd.Series(keys), memoryview(keys)):
        assert not read(same).made
    for other in (keys[::2], keys.astype(">i4"), keys.tolist(), pl.Series(["a"]), np.array(["a"])):
        assert read(other).made


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("of", [np.int32, np.uint32, np.int64, np.uint64])
def test_integers_among_floats_are_exact(of: Any, dtype: Any) -> None:
    random = np.random.default_rng(1)
    limits = np.iinfo(of)
    edges = [
        sign * (2**power + step)
        for power in range(20, 65)
        for step in range(-3, 4)
        for sign in (1, -1)
    ]
    inside = sorted({v for v in edges if limits.min <= v <= limits.max} | {0, 1})
    keys = np.unique(random.choice(np.array(inside, of), 200).astype(dtype))
    index = RangeIndex(keys)
    exact = [int(key) for key in keys]
    queries = np.array(inside, of)
    for side, count in (("left", lambda q: sum(k < q for k in exact)),
                        ("right", lambda q: sum(k <= q for k in exact))):  # fmt: skip
        found = index.searchsorted(queries, side)
        assert found.tolist() == [count(q) for q in inside]
    assert index.contains(queries).tolist() == [q in set(exact) for q in inside]
