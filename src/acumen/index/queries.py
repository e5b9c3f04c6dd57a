"""Queries of other types than the keys', without rounding.

NumPy looks for int64 among uint64 by making both float64, and so confuses numbers above 2^53. Here
a query becomes the value of the keys' type beside it that has the same rank: as many keys lie below
q as below the smallest representable value from q on, and as many up to q as up to the largest
representable value until q.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from acumen.index.columns import as_array, in_unit, number_parts, read
from acumen.index.keys import Numbers

__all__ = ["Asked", "as_queries", "thread_count"]


@dataclass(frozen=True)
class Asked:
    """Queries as values of the keys' type.

    Attributes:
        values: (m,) of the keys' dtype; where there is no such value, anything.
        none: (m,) bool, or None: the rank is 0 ("right") or n ("left"): no key type's value lies
            on the wanted side.
        exact: (m,) bool, or None: the value is the query itself; None: all are.
    """

    values: NDArray[Any]
    none: NDArray[np.bool_] | None
    exact: NDArray[np.bool_] | None


def as_queries(queries: Any, keys: Numbers, right: bool) -> Asked:
    """Converts queries.

    Args:
        queries: (m,) numbers or times of any type that has an order with the keys.
        keys: the keys.
        right: whether keys up to a query are counted, instead of those below it.

    Raises:
        TypeError: the queries cannot be compared with the keys.
        ValueError: there are nulls or NaT, or more than one dimension.
    """
    asked = _plain(queries, keys)
    dtype = keys.values.dtype
    if asked.dtype == dtype:
        return Asked(np.ascontiguousarray(asked), None, None)
    if asked.dtype.kind in "mM":
        return _of_finer_times(asked, keys, right)
    if asked.dtype.kind == "O":
        return _of_objects(asked, dtype, right)
    if asked.dtype.kind == "f":
        return _of_floats(asked, dtype, right)
    if asked.dtype.kind == "b":
        asked = asked.astype(np.uint8)
    if asked.dtype.kind not in "iu":
        raise TypeError(f"queries of dtype {asked.dtype} among keys of dtype {keys.kind}")
    return _of_integers(asked, dtype, right)


def _plain(queries: Any, keys: Numbers) -> NDArray[Any]:
    """Queries as an array; times as integers in the keys' unit."""
    asked = _array(queries)
    if asked.ndim != 1:
        raise ValueError(f"queries have one dimension, not {asked.ndim}")
    if keys.kind.kind not in "mM":
        if asked.dtype.kind in "mM":
            raise TypeError(f"queries of dtype {asked.dtype} among keys of dtype {keys.kind}")
        return asked
    if asked.dtype.kind != keys.kind.kind:
        if asked.dtype.kind in "iuf" or asked.dtype.kind in "mM":
            raise TypeError(f"queries of dtype {asked.dtype} among keys of dtype {keys.kind}")
        asked = _times(asked, keys.kind)
    if asked.dtype == keys.kind:
        if np.isnat(asked).any():
            raise ValueError("queries must not be NaT")
        return asked.view(np.int64)
    return _in_unit(asked, keys.kind)


def _array(queries: Any) -> NDArray[Any]:
    """Queries as they are: NumPy makes rounded floats of Arrow's integers beside nulls."""
    if hasattr(queries, "__arrow_c_stream__") and not isinstance(
        getattr(queries, "dtype", None), np.dtype
    ):
        queries = pa.chunked_array(queries)
    if isinstance(queries, pa.Array | pa.ChunkedArray):
        queries = read(queries).values  # dictionaries and runs hide nulls
        if queries.null_count:
            raise ValueError(f"queries must not be null; {queries.null_count} are")
        if pa.types.is_temporal(queries.type):
            stored, kind = number_parts(queries)
            return stored.astype(np.int64, copy=False).view(kind)
    return as_array(queries)


def _times(asked: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Python's and pandas' times, and texts, in their own unit: in the keys' they would be cut."""
    plain = []
    for time in asked.tolist():
        if hasattr(time, "to_numpy"):  # of pandas
            time = time.to_numpy()
        elif getattr(time, "tzinfo", None) is not None:
            time = time.astimezone(datetime.UTC).replace(tzinfo=None)
        plain.append(time)
    unknown = all(time is None for time in plain)  # then there is no unit to be found
    try:
        return np.array(plain, dtype=kind if unknown else kind.kind + "8")
    except (ValueError, TypeError) as error:
        raise TypeError(f"queries among keys of dtype {kind}: {error}") from None


# How many there are in a second; not months and years, which differ in length.
_A_SECOND = {
    **{unit: Fraction(1, n) for unit, n in (("W", 604800), ("D", 86400), ("h", 3600), ("m", 60))},
    **{unit: Fraction(1000**k) for k, unit in enumerate(("s", "ms", "us", "ns", "ps", "fs", "as"))},
}


def _in_unit(asked: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Times of another unit as numbers of the keys' one; finer ones as they are."""
    if np.isnat(asked).any():
        raise ValueError("queries must not be NaT")
    numbers, exact = in_unit(asked, kind)
    if exact.all():
        return numbers
    unit, steps = np.datetime_data(kind)
    if np.datetime_data(asked.dtype)[0] in "YM" and unit not in "YM":
        asked = asked.astype(kind.kind + "8[D]")
    own_unit, own_steps = np.datetime_data(asked.dtype)
    if unit in _A_SECOND and own_unit in _A_SECOND:
        step = _A_SECOND[unit] / _A_SECOND[own_unit] * own_steps / steps
        own = asked.view(np.int64)
        wraps = step > 1 or own.max() >= 2**62 or own.min() <= -(2**62)  # casts do, in silence
        apart = _A_SECOND[own_unit] / _A_SECOND[unit] * max(steps, own_steps)
        if wraps or apart >= 2**50:  # beyond some 2^56 there are none
            return np.array([time * step for time in own.tolist()], dtype=object)
    return asked


def _of_finer_times(asked: NDArray[Any], keys: Numbers, right: bool) -> Asked:
    """Times that are cut, towards zero or down, when NumPy makes the keys' unit of them."""
    cut = asked.astype(keys.kind)
    back = cut.astype(asked.dtype)
    whole = cut.view(np.int64)
    whole = whole - (back > asked) if right else whole + (back < asked)
    if keys.values.dtype == np.int64:
        return Asked(whole, None, back == asked)
    found = _of_integers(whole, keys.values.dtype, right)
    exact = back == asked
    return Asked(found.values, found.none, exact if found.exact is None else found.exact & exact)


def _of_integers(asked: NDArray[Any], dtype: np.dtype[Any], right: bool) -> Asked:
    if dtype.kind == "f":
        return _integers_as_floats(asked, dtype, right)
    limits = np.iinfo(dtype)
    low = max(int(limits.min), int(np.iinfo(asked.dtype).min))
    high = min(int(limits.max), int(np.iinfo(asked.dtype).max))
    inside = (asked >= low) & (asked <= high)
    # Keys below what is below all values: none, and that is also the rank of the smallest value.
    none = asked < low if right else asked > high
    values = np.clip(asked, low, high).astype(dtype)
    return Asked(values, none, inside)


def _integers_as_floats(asked: NDArray[Any], dtype: np.dtype[Any], right: bool) -> Asked:
    values = asked.astype(dtype)  # the nearest ones
    limits = np.iinfo(asked.dtype)
    if limits.bits <= np.finfo(dtype).nmant + 1:
        return Asked(values, None, None)
    # They are compared as integers, exactly; but the type's largest ones are rounded to 2^k, which
    # is none of its values, and larger than all.
    beyond = values >= dtype.type(float(int(limits.max) + 1))
    back = np.where(beyond, dtype.type(0), values).astype(asked.dtype)
    wrong = beyond | (back > asked) if right else ~beyond & (back < asked)
    beside = np.nextafter(values, dtype.type(-np.inf if right else np.inf))
    return Asked(np.where(wrong, beside, values), None, ~beyond & (back == asked))


def _beside(rounded: float, query: Any, dtype: np.dtype[Any], right: bool) -> tuple[Any, bool]:
    """The float on the wanted side of a query that was rounded to one."""
    with np.errstate(over="ignore"):
        value = dtype.type(rounded)
    if float(value) == query:
        return value, True
    if right and float(value) > query:
        value = np.nextafter(value, dtype.type(-np.inf))
    elif not right and float(value) < query:
        value = np.nextafter(value, dtype.type(np.inf))
    return value, False


def _of_floats(asked: NDArray[Any], dtype: np.dtype[Any], right: bool) -> Asked:
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = asked.astype(dtype)
        wrong = values > asked if right else values < asked
        values = np.where(
            wrong, np.nextafter(values, dtype.type(-np.inf if right else np.inf)), values
        )
        return Asked(values, None, (values == asked) | np.isnan(asked))
    limits = np.iinfo(dtype)
    # float16 and float32 are inside float64; a long double is not
    asked = asked.astype(np.result_type(asked.dtype, np.float64))
    whole = np.floor(asked) if right else np.ceil(asked)
    # The bounds as floats: 2^k is one, 2^k - 1 may not be.
    above = whole >= float(int(limits.max) + 1)
    below = whole < float(limits.min)
    nan = np.isnan(asked)
    usable = np.where(above | below | nan, 0.0, whole).astype(dtype)
    values = np.where(above | nan, limits.max, np.where(below, limits.min, usable)).astype(dtype)
    none = below if right else above | nan
    return Asked(values, none, (whole == asked) & ~(above | below | nan))


def _of_objects(asked: NDArray[Any], dtype: np.dtype[Any], right: bool) -> Asked:
    """Python's own numbers, where some are too large for NumPy's."""
    values = np.zeros(len(asked), dtype)
    none = np.zeros(len(asked), np.bool_)
    exact = np.ones(len(asked), np.bool_)
    for i, query in enumerate(asked.tolist()):
        if isinstance(query, str | bytes) or not hasattr(query, "__float__"):
            raise TypeError(f"{query!r} cannot be compared with keys of dtype {dtype}")
        if dtype.kind == "f":
            try:
                values[i], exact[i] = _beside(float(query), query, dtype, right)
            except OverflowError:
                values[i], exact[i] = _beyond(query > 0, dtype, right), False
        else:
            values[i], none[i], exact[i] = _whole(query, dtype, right)
    return Asked(values, none, exact)


def _beyond(positive: bool, dtype: np.dtype[Any], right: bool) -> float:
    """The float beside a number that is larger than all finite ones."""
    largest = float(np.finfo(dtype).max)
    if positive:
        return largest if right else np.inf
    return -np.inf if right else -largest


def _whole(query: Any, dtype: np.dtype[Any], right: bool) -> tuple[int, bool, bool]:
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if query != query or query > high:
        return high, not right, False
    if query < low:
        return low, right, False
    whole = math.floor(query) if right else math.ceil(query)  # Decimal's // cuts towards zero
    return whole, False, bool(whole == query)


def thread_count(threads: int) -> int:
    """What a user gave as `threads`.

    Raises:
        ValueError: it is below 1.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    return threads
