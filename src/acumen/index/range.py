"""Range index: where a key is, or would be, among sorted ones."""

from __future__ import annotations

import math
import os
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.index import searching
from acumen.index.candidates import STRUCTURES, Chosen
from acumen.index.keys import Keys, as_keys
from acumen.index.queries import thread_count
from acumen.index.storage import IndexFileError, load_arrays, save_arrays

__all__ = ["RangeIndex"]

Side = Literal["left", "right"]


class RangeIndex(_native.RangeBase):
    """Finds positions among sorted keys, like `numpy.searchsorted` but several times as fast.

    The keys stay where they are; the index adds a table of, mostly, 0.14 bytes a key. It is chosen
    among learned and classical structures by measuring them on these keys and this machine;
    `explain` says what was measured. Answers are exact, whatever the table says: see docs/index.md.

    Keys must not change afterwards. Any number of threads may look up at once.

    >>> import numpy as np
    >>> from acumen.index import RangeIndex
    >>> index = RangeIndex(np.array([2, 3, 5, 7, 11, 13]))
    >>> index.searchsorted([4, 5, 100]), index.searchsorted(5, side="right")
    (array([2, 2, 6]), 3)
    >>> index.get([5, 6]), 7 in index, index.range(3, 11)
    (array([ 2, -1]), True, slice(1, 4, None))

    Reference: Kraska, Beutel, Chi, Dean, Polyzotis: "The case for learned index structures",
    SIGMOD 2018.
    """

    def __init__(
        self,
        keys: Any,
        *,
        structure: str | None = None,
        bytes_per_key_max: float = math.inf,
        seed: int = 0,
    ) -> None:
        """Builds the index.

        Args:
            keys: (n,) sorted ascending: NumPy, Arrow, Polars, pandas or a sequence. Integers of 8
                to 64 bits, float32, float64, datetime64, timedelta64, bytes, strings; or a tuple of
                two columns of numbers, sorted by the first, then the second. Equal keys are fine.
            structure: one of "linear cells", "logarithmic cells", "tree", "values", "search"
                instead of the fastest.
            bytes_per_key_max: structures that take more memory are left out. (Texts need half a
                byte a key beside any.)
            seed: of the keys that structures are measured with.

        Raises:
            ValueError: keys are not sorted, or there is NaN, NaT or null among them; or they
                cannot have that structure.
            TypeError: keys of a type that has no index.
        """
        if structure is not None and structure not in STRUCTURES:
            raise ValueError(f"structure {structure!r} is none of {', '.join(STRUCTURES)}")
        if not bytes_per_key_max >= 0:
            raise ValueError(f"bytes_per_key_max is {bytes_per_key_max}, and must be 0 or more")
        self._attach(
            searching.build(
                as_keys(keys), structure, bytes_per_key_max=bytes_per_key_max, seed=seed
            )
        )

    def _attach(self, search: searching.Search) -> None:
        self._search = search
        if (
            isinstance(search, searching.NumberSearch)
            and search.keys.kind == search.keys.values.dtype
        ):
            self._open(search.searcher)  # numbers alone are answered without Python

    def __len__(self) -> int:
        return len(self._search.keys)

    def __repr__(self) -> str:
        structure = self._search.chosen.structure
        return f"<RangeIndex: {len(self)} keys, {structure}, {self.nbytes} bytes>"

    def _searchsorted(
        self,
        v: Any,
        side: Side = "left",
        out: NDArray[np.int64] | None = None,
        *,
        threads: int = 1,
    ) -> Any:
        if side not in ("left", "right"):
            raise ValueError(f"side is 'left' or 'right', not {side!r}")
        queries, single = self._asked(v)
        output, threads = _output(queries, out), thread_count(threads)
        ranks = self._search.ranks(queries, side == "right", output, threads)
        return int(ranks[0]) if single else ranks

    def _get(self, v: Any, out: NDArray[np.int64] | None = None, *, threads: int = 1) -> Any:
        queries, single = self._asked(v)
        found = self._search.find(queries, _output(queries, out), thread_count(threads))
        return int(found[0]) if single else found

    def _contains(self, v: Any) -> bool:
        try:
            found = self._get(v)
        except (TypeError, ValueError):  # of no type that a key has, or null: no key
            return False
        if not isinstance(found, int):
            raise ValueError("`in` asks for one key; contains() for many")
        return found >= 0

    def _asked(self, v: Any) -> tuple[Any, bool]:
        """Queries as a column, or a tuple of two, and whether it was one alone."""
        if isinstance(self._search, searching.PairSearch):
            if isinstance(v, tuple) and len(v) == 2 and not np.ndim(v[0]):
                return tuple([part] for part in v), True
            return v, False
        # What np.ndim would make an array of, only to see that it is one.
        if isinstance(v, list | tuple) or hasattr(v, "__arrow_c_stream__"):
            return list(v) if isinstance(v, tuple) else v, False
        if isinstance(v, str | bytes | int | float) or np.ndim(v) == 0:
            return [v], True
        return v, False

    def contains(self, queries: Any, *, threads: int = 1) -> NDArray[np.bool_]:
        """Whether each query is a key.

        Args:
            queries: (m,) queries, as for `searchsorted`.
            threads: that share the work on numbers.

        Returns:
            (m,) bool.
        """
        asked, _ = self._asked(queries)
        threads = thread_count(threads)
        if isinstance(self._search, searching.NumberSearch):
            return self._search.contains(asked, threads)
        found = self._search.find(asked, _output(asked, None), threads)
        return np.asarray(found >= 0)

    def range(self, lo: Any = None, hi: Any = None, *, inclusive: bool = False) -> slice:
        """The positions of the keys from `lo` on, below `hi`.

        Args:
            lo: the least key wanted; None: from the first on.
            hi: the first key not wanted; None: to the last.
            inclusive: `hi` is wanted too.

        Returns:
            A slice for the keys and whatever lies parallel to them; empty where hi < lo.
        """
        start = 0 if lo is None else self.searchsorted(lo)
        stop = len(self)
        if hi is not None:
            stop = self.searchsorted(hi, "right" if inclusive else "left")
        return slice(start, max(start, stop))

    @property
    def nbytes(self) -> int:
        """Bytes that the index takes, without its keys."""
        return self._search.nbytes

    def explain(self) -> str:
        """What was built and measured, what was chosen and why: a table for people."""
        return explained(self._search.chosen, len(self))

    @property
    def chosen(self) -> Chosen:
        """The same for programs."""
        return self._search.chosen

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index, without its keys, into one file, whole or not at all.

        Raises:
            OSError: the folder is missing, read-only or full; an old file is then untouched.
        """
        meta, arrays = self._search.state()
        save_arrays(path, "range index", meta, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], keys: Any) -> RangeIndex:
        """Reads an index that was saved; nothing is measured again.

        Args:
            path: the file.
            keys: the keys that it was built over.

        Raises:
            IndexFileError: the file is damaged, no range index, or made over other keys.
            OSError: it cannot be opened.
        """
        meta, arrays = load_arrays(path, "range index")
        try:
            return cls._restored(keys, meta, arrays)
        except IndexFileError as error:
            raise IndexFileError(f"{path}: {error}") from None

    @classmethod
    def _restored(cls, keys: Any, meta: dict[str, Any], arrays: dict[str, Any]) -> RangeIndex:
        index = cls.__new__(cls)
        index._attach(searching.restore(as_keys(keys), meta, arrays))
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        meta, arrays = self._search.state()
        arrays = {name: np.array(array) for name, array in arrays.items()}
        return _unpickled, (type(self), self._search.keys, meta, arrays)


def _unpickled(
    cls: type[RangeIndex], keys: Keys, meta: dict[str, Any], arrays: dict[str, Any]
) -> RangeIndex:
    return cls._restored(keys, meta, arrays)


def explained(chosen: Chosen, count: int) -> str:
    """The table of `RangeIndex.explain`."""
    lines = [
        f"{'structure':<20}{'ns a look-up':>13}{'bytes a key':>13}{'probes':>8}{'wrong lines':>13}"
    ]
    for one in chosen.candidates:
        mark = "*" if one.structure == chosen.structure else " "
        speed = "" if math.isnan(one.nanoseconds) else f"{one.nanoseconds:.1f}"
        wrong = "" if math.isnan(one.wrong_lines) else f"{one.wrong_lines:.1%}"
        size = one.bytes / max(count, 1)
        lines.append(
            f"{mark} {one.structure:<18}{speed:>13}{size:>13.3f}{one.probes:>8}{wrong:>13}"
        )
    lines.append(
        f"* in use: {chosen.reason}. probes: at most. wrong lines: predicted, of the keys'."
    )
    return "\n".join(lines)


def _output(queries: Any, out: NDArray[np.int64] | None) -> NDArray[np.int64]:
    count = len(queries[0]) if isinstance(queries, tuple) else len(queries)
    if out is None:
        return np.empty(count, np.int64)
    if not isinstance(out, np.ndarray) or out.dtype != np.int64 or out.shape != (count,):
        raise ValueError(f"out must be a contiguous int64 array of {count}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out must be contiguous and writable")
    return out
