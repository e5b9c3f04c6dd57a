"""Membership filters: is a key in the set? No for certain, or yes with few exceptions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.index.columns import time_of
from acumen.index.membership_build import FilterArrays, Sample
from acumen.index.membership_choice import FilterExplanation, choose, split
from acumen.index.membership_file import from_state, read, to_state, write
from acumen.index.membership_keys import WORD, KeyBatch, bytes_of, key_batch, word_of
from acumen.index.membership_rates import MeasuredRate
from acumen.index.membership_scorer import GivenScorer
from acumen.index.storage import IndexFileError

__all__ = ["MembershipFilter"]

# Of the negatives: to train a scorer and to choose regions; the rest judges.
SHARES = (0.6, 0.2)
SHARES_OF_A_GIVEN_SCORER = (0.0, 0.5)


class MembershipFilter:
    """A set of keys in a few bits each, which may take an absent key for one of them.

    Every key is inside, always: that is verified over all of them when the filter is built, and no
    model can change it. Which absent keys are taken for keys is decided by hashes, at the rate
    `fpr`, and, where a model was learned, by what they look like: the rate then holds for absent
    keys *like the negatives*, and for others it may be higher or lower. Without negatives no model
    is learned.

    What is built is whichever has the fewest bytes, its model's included: a binary fuse filter
    (Graf & Lemire 2022), a partitioned learned one (Vaidya et al. 2021) or a sandwiched one
    (Mitzenmacher 2018), both behind a scorer. `explain()` says which, and why.

    Instances are immutable; look-ups may run in any number of threads at once.

    >>> blocked = MembershipFilter(np.arange(0, 300_000, 3), fpr=0.01)
    >>> 3 in blocked, blocked.contains([0, 3, 6]).all()
    (True, np.True_)
    >>> blocked.nbytes * 8 / 100_000 < 7.6
    True
    """

    def __init__(
        self,
        keys: object,
        fpr: float = 0.01,
        negatives: object = None,
        scorer: Callable[[Any], Any] | None = None,
        *,
        groups: object = None,
        seed: int = 0,
    ) -> None:
        """Builds the filter.

        Args:
            keys: a one-dimensional batch of integers of any width, times, texts or byte strings,
                all of one kind: a NumPy array, Arrow array, pandas or Polars series, or any
                iterable of Python objects. Duplicates do no harm. Text and bytes are different
                keys, as in a Python set; what equals a key is one: 3.0 is 3, and a time the same
                one in another unit.
            fpr: rate of false positives, above 0 and below 1.
            negatives: keys like those absent ones that will be asked for, times in the keys' unit;
                those that are keys are left out. Without them the filter is a binary fuse filter.
            scorer: a function of a batch (of the types that you use) that gives a number for each
                key, higher for keys than for others, and the same number for the same key always.
                It has an attribute `nbytes`, which counts. Default: one is trained.
            groups: of each negative, an integer or text that says which belong together, such as
                the host of a URL. Negatives of a group are never divided between training and
                judging, and the interval of the rate allows for how alike they are.
            seed: of hashes, training and splits; the same seed, keys and negatives give the same
                filter.

        Raises:
            TypeError: keys of several or of unknown kinds; a scorer without `nbytes`.
            ValueError: nulls; `fpr` out of range; groups of another length; a scorer that gives the
                same key different scores, or the wrong number of them.
        """
        if not 0.0 < fpr < 1.0:
            raise ValueError(f"fpr must lie between 0 and 1, not {fpr}")
        self._fpr = float(fpr)
        rng = np.random.default_rng(seed)
        original = _kept(keys)
        sample = Sample(key_batch(original), original)
        given = GivenScorer(scorer) if scorer is not None else None
        absent = None
        if negatives is not None and len(sample.keys):
            others = _kept(negatives)
            batch = key_batch(others)
            if batch.kind not in (sample.keys.kind, "none"):
                raise TypeError(f"keys are {sample.keys.kind}, negatives {batch.kind}")
            belongs = None if groups is None else _group_numbers(groups, len(batch))
            shares = SHARES_OF_A_GIVEN_SCORER if given else SHARES
            absent = split(batch, others, belongs, sample.keys.hashes(), shares, rng)
        probe = given.settle(sample.keys, original) if given and absent is not None else None
        self._kind = sample.keys.kind
        arrays, self._explanation = choose(sample, self._fpr, absent, given, rng)
        self._adopt(arrays, probe if arrays.scorer is given else None)

    def _adopt(self, arrays: FilterArrays, probe: dict[str, Any] | None) -> None:
        self._arrays = arrays
        self._probe = probe
        self._core = arrays.core()

    def __contains__(self, key: object) -> bool:
        alone = self._probe is None  # nobody else has to be asked
        if alone and self._kind == "text" and isinstance(key, str):
            return self._core.contains_text(bytes_of(key))
        if alone and self._kind == "bytes" and isinstance(key, bytes):
            return self._core.contains_text(key)
        plain = key if type(key) is int else _plain(key)
        if alone and self._kind == "integer" and isinstance(plain, int):
            return self._core.contains_integer(plain if 0 <= plain <= WORD else word_of(plain))
        batch = np.array([plain]) if isinstance(plain, np.generic) else [plain]
        try:
            keys = key_batch(batch, self._kind)
        except (TypeError, ValueError):  # of no kind that a filter can hold, or null
            return False
        return keys.kind == self._kind and bool(self.contains(keys if alone else batch)[0])

    def contains(
        self, batch: object, out: NDArray[np.bool_] | None = None, threads: int = 1
    ) -> NDArray[np.bool_]:
        """Whether each of many keys is inside; the GIL is released meanwhile.

        Args:
            batch: n keys, in any of the containers that the constructor takes.
            out: bool array of n, which is then the result; new by default.
            threads: how many share the work. A scorer of yours is called on one alone.

        Returns:
            bool array of n.

        Raises:
            TypeError: keys of another kind than the filter's.
            ValueError: `out` of another shape or dtype, or nulls in the batch.
        """
        original = _kept(batch)
        keys = key_batch(original, self._kind)
        if out is None:
            out = np.empty(len(keys), np.bool_)
        elif out.dtype != np.bool_ or out.shape != (len(keys),) or not out.flags.c_contiguous:
            raise ValueError(f"out must be a contiguous bool array of {len(keys)}")
        if not len(keys) or self._kind == "none":
            out[:] = False
            return out
        if keys.kind != self._kind:
            raise TypeError(f"this filter holds {self._kind} keys, not {keys.kind}")
        scores = None
        if isinstance(self._arrays.scorer, GivenScorer):
            scores = self._arrays.scorer.scores(keys, original)
        self._core.contains(keys.native, out, threads, scores)
        if keys.absent is not None:
            out[keys.absent] = False
        return out

    @property
    def fpr(self) -> float:
        """The rate of false positives that was asked for."""
        return self._fpr

    @property
    def fpr_measured(self) -> MeasuredRate:
        """The rate that was measured when the filter was built, with its 95 % interval.

        Over the negatives that nothing was learned from, if there were any; else over 131,072
        random hashes, which stand for any keys at all.
        """
        chosen = self._explanation.chosen
        entries = self._explanation.candidates
        return next(entry.measured for entry in entries if entry.name == chosen)

    @property
    def nbytes(self) -> int:
        """Bytes of tables, what describes them, thresholds and model (of yours: as declared)."""
        return self._arrays.nbytes

    def explain(self) -> FilterExplanation:
        """Which candidates there were, what they weigh, how often they err, and which was taken."""
        return self._explanation

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the filter to a file, whole or not at all.

        A scorer of yours is not written, only its scores for a few keys.

        Raises:
            OSError: the folder is missing, read-only or full; an old file is then untouched.
        """
        write(path, self._meta(), self._arrays)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], scorer: Callable[[Any], Any] | None = None
    ) -> MembershipFilter:
        """Reads a filter from a file, which stays mapped into memory.

        Args:
            path: where.
            scorer: the one that the filter was built with, if it was built with one.

        Raises:
            acumen.index.storage.IndexFileError: it is damaged or no filter, or the scorer is
                missing, or another one than the filter was built with.
            OSError: it cannot be opened.
        """
        meta, arrays = read(path, scorer)
        try:
            return cls._restored(meta, arrays)
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
            raise IndexFileError(f"{path}: the explanation makes no sense: {error}") from None

    def _meta(self) -> dict[str, Any]:
        return {
            "kind": self._kind,
            "fpr": self._fpr,
            "explanation": self._explanation.to_json(),
            "probe": self._probe,
        }

    @classmethod
    def _restored(cls, meta: dict[str, Any], arrays: FilterArrays) -> MembershipFilter:
        result = cls.__new__(cls)
        result._kind = meta["kind"]
        result._fpr = meta["fpr"]
        result._explanation = FilterExplanation.from_json(meta["explanation"])
        result._adopt(arrays, meta["probe"])
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        scorer = self._arrays.scorer
        function = scorer.function if isinstance(scorer, GivenScorer) else None
        return _unpickled, (self._meta(), to_state(self._arrays), function)

    def __repr__(self) -> str:
        name = self._explanation.chosen
        return f"MembershipFilter({name}, fpr={self._fpr:g}, nbytes={self.nbytes})"


def _unpickled(
    meta: dict[str, Any], state: dict[str, Any], function: Callable[[Any], Any] | None
) -> MembershipFilter:
    return MembershipFilter._restored(meta, from_state(state, meta, function))


def _kept(keys: object) -> object:
    """Something that can be gone through twice."""
    if isinstance(keys, list | tuple | KeyBatch | np.ndarray | str | bytes):
        return keys
    if hasattr(keys, "__arrow_c_stream__") or hasattr(keys, "__arrow_c_array__"):
        return keys
    if hasattr(keys, "to_numpy"):
        return keys
    return list(keys) if isinstance(keys, Iterable) else keys


def _plain(key: Any) -> Any:
    """A number that equals an integer as that; a time as one of NumPy's; others as they are."""
    if isinstance(key, np.integer) and not isinstance(key, np.timedelta64):
        return int(key)
    time = time_of(key)
    if time is not None or isinstance(key, str | bytes):
        return key if time is None else time
    try:
        whole = int(key)
        return whole if whole == key else key
    except (TypeError, ValueError, OverflowError):
        return key


def _group_numbers(groups: object, count: int) -> NDArray[np.int64]:
    _, numbers = np.unique(key_batch(_kept(groups)).hashes(), return_inverse=True)
    if len(numbers) != count:
        raise ValueError(f"groups has {len(numbers)} values for {count} negatives")
    return np.asarray(numbers, np.int64)
