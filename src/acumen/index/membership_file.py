"""Files and pickles of membership filters."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from acumen.index.membership_build import FilterArrays
from acumen.index.membership_keys import is_kind
from acumen.index.membership_scorer import BuiltInScorer, GivenScorer, Scorer
from acumen.index.storage import IndexFileError, load_arrays, save_arrays

KIND = "membership filter"
DTYPES = {"shapes": np.uint64, "tables": np.uint8, "thresholds": np.float64, "weights": np.int8}
SHAPE_WORDS = 6


def to_state(arrays: FilterArrays) -> dict[str, Any]:
    """Named one-dimensional arrays, and of the scorer's shape two numbers."""
    own = arrays.scorer if isinstance(arrays.scorer, BuiltInScorer) else None
    return {
        "shapes": arrays.shapes.reshape(-1),
        "tables": arrays.tables,
        "thresholds": arrays.thresholds,
        "weights": own.weights if own else np.zeros(0, np.int8),
        "bucket_bits": own.bucket_bits if own else 0,
        "grams": own.grams if own else 0,
    }


def from_state(
    state: Mapping[str, Any], meta: Mapping[str, Any], function: Callable[[Any], Any] | None
) -> FilterArrays:
    """The inverse; the native part checks what the arrays say.

    Raises:
        IndexFileError: they make no sense together, or the scorer is not the one that was used.
    """
    for name, dtype in DTYPES.items():
        if not isinstance(state.get(name), np.ndarray) or state[name].dtype != dtype:
            raise IndexFileError(f"array {name!r} is missing, or not {np.dtype(dtype)}")
    if len(state["shapes"]) % SHAPE_WORDS:
        raise IndexFileError("the tables' shapes are cut off")
    scorer: Scorer | None = None
    if meta.get("probe") is not None:
        scorer = _known(meta["probe"], function)
    elif function is not None:
        raise IndexFileError("this filter was built without a scorer of yours")
    elif len(state["weights"]):
        scorer = BuiltInScorer(state["weights"], state["bucket_bits"], state["grams"])
    arrays = FilterArrays(
        state["shapes"].reshape(-1, SHAPE_WORDS), state["tables"], state["thresholds"], scorer
    )
    if len(arrays.thresholds) and scorer is None:
        raise IndexFileError("there are regions, but nothing that scores")
    if isinstance(scorer, BuiltInScorer) and (scorer.grams == 0) == (
        meta["kind"] in ("text", "bytes")
    ):
        raise IndexFileError("the scorer is not for keys of this kind")
    try:
        arrays.core()
    except (ValueError, TypeError) as error:
        raise IndexFileError(str(error)) from None
    return arrays


def _known(probe: Any, function: Callable[[Any], Any] | None) -> GivenScorer:
    if function is None:
        raise IndexFileError("this filter was built with a scorer: load(path, scorer) needs it")
    scorer = GivenScorer(function)
    try:
        fits = scorer.recognises(probe)
    except (TypeError, KeyError, ValueError) as error:
        raise IndexFileError(f"the scorer cannot be told from another one: {error}") from error
    if not fits:
        raise IndexFileError("this is not the scorer that the filter was built with")
    return scorer


def write(path: str | os.PathLike[str], meta: dict[str, Any], arrays: FilterArrays) -> None:
    """See `MembershipFilter.save`."""
    state = to_state(arrays)
    numbers = {name: value for name, value in state.items() if name not in DTYPES}
    save_arrays(path, KIND, {**meta, **numbers}, {name: state[name] for name in DTYPES})


def read(
    path: str | os.PathLike[str], function: Callable[[Any], Any] | None
) -> tuple[dict[str, Any], FilterArrays]:
    """See `MembershipFilter.load`."""
    meta, arrays = load_arrays(path, KIND)
    numbers = [meta.get("bucket_bits"), meta.get("grams")]
    if not is_kind(meta.get("kind")) or not isinstance(meta.get("fpr"), float):
        raise IndexFileError(f"{path}: does not say of what keys and rate")
    if not all(isinstance(number, int) and 0 <= number < 1 << 32 for number in numbers):
        raise IndexFileError(f"{path}: the scorer has no shape")
    try:
        return meta, from_state({**arrays, **meta}, meta, function)
    except IndexFileError as error:
        raise IndexFileError(f"{path}: {error}") from None
