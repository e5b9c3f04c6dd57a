"""Scorers of keys: the built-in one, and those that a user brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.index.membership_keys import KeyBatch

# Runs of three bytes, and of two and four: what did best on texts, at about one and two nanoseconds
# a byte. Integers have no runs; their prefixes are their pieces.
TEXT_GRAMS = (1 << 3, 1 << 2 | 1 << 4)
SAMPLES_MAX = 30_000
PASSES = 3
PROBES = 32


@dataclass(frozen=True)
class BuiltInScorer:
    """A linear model over hashed pieces of the key; see ``ngram_scorer.hpp``.

    Attributes:
        weights: int8, 2^bucket_bits of them.
        bucket_bits: how many bits of a piece's hash choose its weight.
        grams: bit n stands for the runs of n bytes; 0 for the prefixes of an integer.
    """

    weights: NDArray[np.int8]
    bucket_bits: int
    grams: int

    # Scores are integers, the same everywhere: there is nothing to tolerate.
    tolerance = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.weights.nbytes

    @property
    def name(self) -> str:
        """What `explain` calls it."""
        lengths = [str(n) for n in range(1, 9) if self.grams >> n & 1]
        pieces = f"{','.join(lengths)}-grams" if lengths else "prefixes"
        return f"{pieces}, {self.nbytes} weights"

    def scores(self, keys: KeyBatch, original: object = None) -> NDArray[np.float64]:
        """One score a key."""
        del original
        if not len(keys):
            return np.zeros(0)
        return _native.ngram_scores(keys.native, self.weights, self.bucket_bits, self.grams)


def built_in_scorers(
    keys: KeyBatch, negatives: KeyBatch, bytes_max: float, rng: np.random.Generator
) -> Iterator[BuiltInScorer]:
    """Scorers of several sizes up to `bytes_max`, small ones first, trained as they are asked for.

    The keys of a filter are all there will ever be, so that what a model knows by heart of them is
    knowledge; only of the negatives must some be kept from it.
    """
    keys, negatives = (_sample(batch, rng) for batch in (keys, negatives))
    largest = min(int(np.log2(max(bytes_max, 1.0))), 18)
    integers = isinstance(keys.values, np.ndarray)
    for bits in range(max(7, largest - 4), largest + 1):
        for grams in (0,) if integers else TEXT_GRAMS:
            weights = _native.ngram_train(
                keys.native, negatives.native, bits, grams, PASSES, int(rng.integers(1 << 62))
            )
            yield BuiltInScorer(weights, bits, grams)


def _sample(batch: KeyBatch, rng: np.random.Generator) -> KeyBatch:
    if len(batch) <= SAMPLES_MAX:
        return batch
    return batch.take(np.sort(rng.choice(len(batch), SAMPLES_MAX, replace=False)))


class GivenScorer:
    """A user's scorer: called with batches, checked for answering the same twice.

    Floating-point scores may depend a little on the batch that a key is in. What lies within
    `tolerance` of a threshold is therefore entered on both sides of it, and a scorer that differs
    more than a tenth of that between batches is refused.
    """

    name = "the scorer given"

    def __init__(self, function: Callable[[Any], Any]) -> None:
        if not callable(function):
            raise TypeError("scorer must be callable: a batch of keys in, one score each out")
        nbytes = getattr(function, "nbytes", None)
        if not isinstance(nbytes, int | np.integer) or nbytes < 0:
            raise TypeError("scorer must declare the bytes of its model as an integer `nbytes`")
        self.function = function
        self.nbytes = int(nbytes)
        self.tolerance = 0.0

    def scores(self, keys: KeyBatch, original: object = None) -> NDArray[np.float64]:
        """One score a key, of the batch as the user gave it; what is no number counts as lowest."""
        return self._asked(original, len(keys)) if len(keys) else np.zeros(0)

    def _asked(self, batch: Any, count: int) -> NDArray[np.float64]:
        values = np.asarray(self.function(batch), np.float64)
        if values.shape != (count,):
            raise ValueError(f"scorer gave shape {values.shape} for {count} keys")
        return np.ascontiguousarray(np.where(np.isnan(values), -np.inf, values))

    def settle(self, keys: KeyBatch, original: object) -> dict[str, Any]:
        """Sets the tolerance, asks for some scores once more, and tells how to know it again.

        Raises:
            ValueError: a key has another score alone than in its batch.
        """
        scores = self.scores(keys, original)
        finite = scores[np.isfinite(scores)]
        self.tolerance = 1e-4 * float(np.ptp(finite)) if len(finite) else 0.0
        rows = np.unique(np.linspace(0, len(keys) - 1, PROBES).astype(np.int64))
        probe = _elements(keys.take(rows), original, rows)
        if not self._agrees(probe, scores[rows]):
            raise ValueError(
                "scorer gave keys other scores alone than in a batch: a filter needs the same "
                "score for the same key"
            )
        return {
            "keys": [key.hex() if isinstance(key, bytes) else key for key in probe],
            "scores": scores[rows].tolist(),
            "tolerance": self.tolerance,
            "kind": keys.kind,
        }

    def recognises(self, probe: dict[str, Any]) -> bool:
        """Whether this is the scorer that `settle` spoke of; takes over its tolerance.

        Raises:
            KeyError, TypeError, ValueError: `probe` is nothing that `settle` gave.
        """
        self.tolerance = float(probe["tolerance"])
        keys = [bytes.fromhex(key) if probe["kind"] == "bytes" else key for key in probe["keys"]]
        return self._agrees(keys, np.array(probe["scores"], np.float64))

    def _agrees(self, keys: Sequence[Any], scores: NDArray[np.float64]) -> bool:
        alone = np.concatenate([self._asked([key], 1) for key in keys])
        with np.errstate(invalid="ignore"):  # infinite ones are compared as they are
            near = np.abs(alone - scores) <= self.tolerance / 10
        return bool(((alone == scores) | near).all())


def _elements(batch: KeyBatch, original: Any, rows: NDArray[np.int64]) -> list[Any]:
    """Keys as Python objects; integers as the user has them, which words do not say."""
    if batch.kind == "text":
        return [key.decode("utf-8", "surrogatepass") for key in batch.values.to_pylist()]
    if batch.kind == "bytes":
        return list(batch.values.to_pylist())
    values = np.asarray(original)[rows]
    return list((values.view(np.int64) if values.dtype.kind in "mM" else values).tolist())


Scorer = BuiltInScorer | GivenScorer
