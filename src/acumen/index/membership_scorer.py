"""Scorers of keys: the built-in one, and those that a user brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.index.membership_keys import KeyBatch

# Runs of three bytes, and of two and four: what did best on texts, at about one and two nanoseconds
# a byte. Integers have no runs; their prefixes are their pieces.
TEXT_GRAMS = (1 << 3, 1 << 2 | 1 << 4)
SAMPLES_MAX = 40_000
PASSES = 6


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
) -> list[BuiltInScorer]:
    """Scorers of several sizes up to `bytes_max`, trained to tell keys from negatives.

    The keys of a filter are all there will ever be, so that what a model knows by heart of them is
    knowledge; only of the negatives must some be kept from it.
    """
    keys, negatives = (_sample(batch, rng) for batch in (keys, negatives))
    largest = min(int(np.log2(max(bytes_max, 1.0))), 18)
    integers = keys.kind == "integer"
    scorers = []
    for bits in range(max(7, largest - 4), largest + 1):
        for grams in (0,) if integers else TEXT_GRAMS:
            weights = _native.ngram_train(
                keys.native, negatives.native, bits, grams, PASSES, int(rng.integers(1 << 62))
            )
            scorers.append(BuiltInScorer(weights, bits, grams))
    return scorers


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
        if not len(keys):
            return np.zeros(0)
        values = np.asarray(self.function(original), np.float64)
        if values.shape != (len(keys),):
            raise ValueError(f"scorer gave shape {values.shape} for {len(keys)} keys")
        return np.ascontiguousarray(np.where(np.isnan(values), -np.inf, values))

    def settle(self, probe: Sequence[Any], scores: NDArray[np.float64], spread: float) -> None:
        """Sets the tolerance, having asked for the scores of some keys one by one."""
        self.tolerance = 1e-4 * spread
        for key, expected in zip(probe, scores.tolist(), strict=True):
            alone = float(np.asarray(self.function([key]), np.float64).reshape(-1)[0])
            alone = -np.inf if np.isnan(alone) else alone
            if alone != expected and not abs(alone - expected) <= self.tolerance / 10:
                raise ValueError(
                    f"scorer gave {alone} for a key that had {expected} in its batch: "
                    "a filter needs the same score for the same key"
                )


Scorer = BuiltInScorer | GivenScorer
