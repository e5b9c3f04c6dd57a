"""What can be evaluated: everything that says with which probability it would take each arm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from acumen.core.choice import Choice
from acumen.evaluation.off_policy.log import DecisionLog

# An arm's index; float[n, arms]; float[n], the probability of each arm that was taken; a function
# of the context; a choice, for its learned policy; or a policy that every log knows.
Policy = (
    int
    | NDArray[Any]
    | Callable[[dict[str, Any]], Any]
    | Choice
    | Literal["logged", "default", "uniform"]
)
_SUM_TOLERANCE = 1e-3


class PolicyError(ValueError):
    """A policy that does not fit the log: other arms, another context, impossible probabilities."""


@dataclass(frozen=True)
class Target:
    """A policy in the rows of one log.

    Attributes:
        taken: float64[n], the probability of the arm that was taken.
        matrix: float64[n, arms], the probability of every arm; None where only `taken` is known.
        logged: whether it is the logging policy itself.
    """

    taken: NDArray[np.float64]
    matrix: NDArray[np.float64] | None
    logged: bool = False


def resolve(policy: Policy, log: DecisionLog) -> Target:
    """What `policy` would do in every row of `log`.

    Args:
        policy: one of

            - an arm's index: always this arm;
            - float[n, arms]: the probabilities of all arms, row by row;
            - float[n]: the probabilities of the arms that were taken; enough for `IPS` and `SNIPS`;
            - function(context: dict) -> an arm, where the log names its arms, or its index, or the
              probabilities of all;
            - a `Choice`: its learned policy as it is now, without mode and holdback;
            - ``"logged"``, the policy that wrote the log; ``"default"``, what the program does
              without learning, where the log tells it; or ``"uniform"``.
        log: the log.

    Raises:
        PolicyError: it does not fit.
    """
    if isinstance(policy, str):
        if policy == "logged":
            return Target(log.propensity, log.logging, logged=True)
        if policy == "default":
            if log.default is None:
                raise PolicyError("the log does not tell what the default would have taken")
            return _target(_fixed(log.default, log), log)
        if policy != "uniform":
            raise PolicyError(f"no policy {policy!r}; there are 'logged', 'default' and 'uniform'")
        return _target(np.full((len(log), log.arms), 1.0 / log.arms), log)
    if isinstance(policy, Choice):
        return _target(_learned(policy, log), log)
    if callable(policy):
        return _target(_asked(policy, log), log)
    if isinstance(policy, int | np.integer):
        return _target(_fixed(np.full(len(log), int(policy)), log), log)
    values = np.asarray(policy, np.float64)
    if values.shape == (len(log),):
        if not ((values >= 0) & (values <= 1 + _SUM_TOLERANCE)).all():
            raise PolicyError("probabilities lie between 0 and 1")
        return Target(np.minimum(values, 1.0), None)
    return _target(values, log)


def take(target: Target, rows: NDArray[np.bool_]) -> Target:
    """The same policy in some of the rows."""
    matrix = None if target.matrix is None else target.matrix[rows]
    return Target(target.taken[rows], matrix, target.logged)


def contexts(log: DecisionLog) -> list[dict[str, Any]]:
    """The context of every row as a heuristic sees it: numbers, and texts where there are any."""
    columns: dict[str, list[Any]] = {}
    for i, name in enumerate(log.schema.names):
        values = log.context[:, i].tolist()
        if name in log.levels:
            texts = log.levels[name]
            values = [None if v != v else texts[int(v)] for v in values]
        columns[name] = values
    return [
        dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
    ] or [{} for _ in range(len(log))]


def _target(matrix: NDArray[np.float64], log: DecisionLog) -> Target:
    if matrix.shape != (len(log), log.arms):
        raise PolicyError(
            f"the policy's probabilities have shape {matrix.shape}, "
            f"the log {len(log)} rows and {log.arms} arms"
        )
    sums = matrix.sum(1)
    bad = ~((matrix >= 0).all(1) & (np.abs(sums - 1) <= _SUM_TOLERANCE))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise PolicyError(
            f"row {row}: the policy's probabilities are no distribution: {matrix[row]}"
        )
    matrix = matrix / sums[:, None]
    return Target(matrix[np.arange(len(log)), log.arm], matrix)


def _fixed(arms: NDArray[np.int64], log: DecisionLog) -> NDArray[np.float64]:
    bad = (arms < 0) | (arms >= log.arms)
    if bad.any():
        raise PolicyError(f"the policy took arm {arms[bad][0]}; the log has {log.arms} arms")
    matrix = np.zeros((len(log), log.arms))
    matrix[np.arange(len(log)), arms] = 1.0
    return matrix


def _asked(policy: Callable[[dict[str, Any]], Any], log: DecisionLog) -> NDArray[np.float64]:
    matrix = np.zeros((len(log), log.arms))
    places = {label: i for i, label in enumerate(log.labels)}
    for i, context in enumerate(contexts(log)):
        answer = policy(context)
        # Arms that are numbers are arms first, as a default answers them.
        if log.labels:
            answer = places.get(repr(answer), answer)
        if isinstance(answer, int | np.integer):
            if not 0 <= answer < log.arms:
                raise PolicyError(f"row {i}: the policy took arm {answer} of {log.arms}")
            matrix[i, answer] = 1.0
            continue
        try:
            matrix[i] = np.asarray(answer, np.float64)
        except (TypeError, ValueError):
            raise PolicyError(
                f"row {i}: the policy answered {answer!r}; it answers with an arm "
                f"or with {log.arms} probabilities"
            ) from None
    return matrix


def _learned(choice: Choice, log: DecisionLog) -> NDArray[np.float64]:
    rows = _rows(choice, log)
    try:
        answers = choice.distributions(rows).astype(np.float64)
    except TypeError as error:
        raise PolicyError(f"choice {choice.name!r}: {error}") from None
    if answers.shape[1] != log.arms:
        raise PolicyError(
            f"choice {choice.name!r} has {answers.shape[1]} arms, the log {log.arms}: "
            "say how many with arms="
        )
    bad = np.isnan(answers).any(1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise PolicyError(f"row {row}: choice {choice.name!r} has no answer: {rows[row]}")
    return answers


def _rows(choice: Choice, log: DecisionLog) -> NDArray[np.float64]:
    names: Mapping[str, int] = {name: i for i, name in enumerate(log.schema.names)}
    rows = np.empty((len(log), len(choice.schema.fields)))
    for j, field in enumerate(choice.schema.fields):
        if field.name not in names:
            raise PolicyError(f"choice {choice.name!r} needs {field.name!r}, the log lacks it")
        column = log.context[:, names[field.name]]
        if field.name in log.levels and field.buckets:
            codes = [choice.code(field.name, text) for text in log.levels[field.name]]
            known = ~np.isnan(column)
            rows[:, j] = np.nan
            rows[known, j] = np.asarray(codes)[column[known].astype(np.int64)]
        else:
            rows[:, j] = column
    return rows
