"""`Choice`: a named place in a program where something is decided."""

from __future__ import annotations

import json
import math
import os
import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acumen import _native
from acumen.core import counterfactual, forgetting, model_file, modes, snapshot
from acumen.core.arms import Described, arm_set
from acumen.core.comparison import Comparison
from acumen.core.context import Schema
from acumen.core.episode import EpisodicCore
from acumen.core.learner import Learner, LearnerSpec, build, name_of
from acumen.core.objective import Objective

if TYPE_CHECKING:
    import pyarrow as pa

    from acumen.core.journal import Journal
    from acumen.core.journal_writer import JournalWriter
    from acumen.core.replay import ReplayReport
    from acumen.learners.search import Search

Decision = _native.Decision

STATES = ("empty", "waiting", "done", "timed_out")
_EVERY_EVENT = 1 << 63  # more than a journal ever has


class Decisions(NamedTuple):
    """Many decisions, one array each; see `Choice.choose_many`."""

    indices: NDArray[np.int32]
    ids: NDArray[np.uint64]
    propensities: NDArray[np.float32]
    reasons: NDArray[np.uint8]
    model_versions: NDArray[np.uint64]


class Choice(EpisodicCore):
    """A named place in a program where something is decided, and what came of it is learned.

    `choose` serves an arm and never raises for a bad context; `feedback` reports what came of it,
    now, later, out of order, twice (the second counts nothing) or never.

    Args:
        name: names the choice in files and messages.
        arms: a sequence of hashable arms, `Candidates(...)`, `Range(...)` or a `Space` to search.
        context: name → float, int, bool, str or `Category(...)`, with ``| None`` where a value
            may be missing; the order is that of rows.
        default: what the program does today: an arm, or heuristic(context: dict) -> arm (for
            candidates: an index, or heuristic(context, candidates) -> index). It is the fallback,
            and keeps the holdback.
        metric: `minimize("seconds")`, `maximize("hits")`, or a sum of such terms.
        learner: a spec from `acumen.learners`, or anything with `build(dimension, arms,
            features)` that makes a `Learner`; None: `BinnedAdditive()`.
        mode: ``off`` (default only), ``shadow`` (the default is served, the learner learns from
            it), ``canary`` (a share is learned) or ``on``.
        canary: the learned share in canary mode, between 0 and 1.
        holdback: share of decisions that stays with the default for good, so that the comparison
            stays honest; 0 gives the comparison up.
        pending_max: decisions that may wait for feedback (rounded up to a power of two, at least
            512); an older one is dropped and counted. Also the history that a changed objective
            or new scales are learned from.
        timeout: seconds after which a decision without feedback counts as lost; None: never.
        timeout_reward: reward that is then learned, and stays what the comparison counts; None:
            nothing is learned, until late feedback comes.
        model: a file written by `save`. If it cannot be used, a warning says why and the choice
            serves its default (reason ``no_model``) until `load` succeeds or `start_fresh`.
        journal: a directory, or a `Journal` with settings, in which every decision and feedback is
            kept; see docs/journal.md. Choosing does not wait for it.
        seed: makes decisions repeatable; None: random.

    Raises:
        TypeError, ValueError: something above is wrong. Only construction raises.

    >>> from acumen.core import minimize
    >>> codec = Choice(
    ...     "codec",
    ...     arms=["none", "lz4", "zstd-3"],
    ...     context={"size": float, "kind": str},
    ...     default="zstd-3",
    ...     metric=minimize("seconds"),
    ...     seed=7,
    ... )
    >>> decision = codec.choose(size=81_920, kind="json")
    >>> decision.arm in ("none", "lz4", "zstd-3"), 0 < decision.propensity <= 1
    (True, True)
    >>> decision.feedback(seconds=0.012)
    True
    >>> codec.choose(size=float("nan"), kind="json").reason
    'bad_context'
    """

    # The core knows no algorithm: the package's root puts its default here.
    default_learner: ClassVar[LearnerSpec | None] = None
    default_search: ClassVar[Callable[..., Any] | None] = None
    _forgotten = 0  # times
    _forgot_at = 0  # event since which the model is another one: forgetting, another objective

    def __init__(
        self,
        name: str,
        arms: object,
        *,
        context: Mapping[str, object],
        default: object = None,
        metric: Objective,
        learner: LearnerSpec | None = None,
        mode: str = "on",
        canary: float = 0.1,
        holdback: float = 0.02,
        pending_max: int = 4096,
        timeout: float | None = None,
        timeout_reward: float | None = None,
        model: str | os.PathLike[str] | None = None,
        journal: Journal | str | os.PathLike[str] | None = None,
        seed: int | None = None,
    ) -> None:
        self.name = name
        self.schema = Schema(context)
        self.space = arms if isinstance(arms, Described) else None
        self._arms = arm_set(arms, default)
        self._objective = _objective(metric)
        modes.check_share("holdback", holdback)
        _check_waiting(pending_max, timeout, timeout_reward)
        fields = tuple((f.kind, f.optional, f.buckets) for f in self.schema.fields)
        spec = {
            "fields": fields,
            "field_names": self.schema.names,
            "arms": self._arms.arms,
            "arms_max": len(self._arms.arms),
            "index_of": self._arms.index_of,
            "features": self._arms.features,
            "arm_features": self._arms.arm_features,
            "default_index": self._arms.default_index,
            "heuristic": self._arms.heuristic,
            "metrics": self._objective.native(),
            "metric_names": self._objective.metrics,
            "mode": modes.code(mode),
            "canary_share": modes.check_share("canary", canary),
            "holdback": holdback,
            "pending_max": pending_max,
            "timeout_s": timeout or 0.0,
            "timeout_reward": math.nan if timeout_reward is None else float(timeout_reward),
            "seed": int.from_bytes(os.urandom(8)) if seed is None else seed % (1 << 64),
            "replica": int.from_bytes(os.urandom(3)),
        }
        dimension = _check_dimension(_native.schema_dimension(fields), self._arms.features)
        learner = learner or getattr(arms, "default_learner", None) or self.default_learner
        if learner is None:
            raise TypeError("no learner was given, and acumen.learners has set no default")
        self._learner_spec, self._learner_name = learner, name_of(learner)
        self.learner: Learner = build(learner, dimension, self._arms)
        super().__init__(spec, self.learner)
        # What a replay has to agree with, besides schema, arms and objective.
        self._settings: dict[str, Any] = {
            "learner": self._learner_name,
            "pending_max": pending_max,
            "timeout_reward": timeout_reward,
        }
        self._held = snapshot.Held()
        self._writer: JournalWriter | None = None
        if journal is not None:
            from acumen.core import journaling

            self._writer = journaling.begin(self, journal)
        _living.add(self)
        if model is not None:
            self._load_or_default(model)

    def choose_many(self, rows: ArrayLike) -> Decisions:
        """Decides once for every row, in order; the GIL is released where no Python is asked.

        Args:
            rows: float[n, fields], in schema order.

        Raises:
            TypeError: the choice takes candidates.
            ValueError: rows of another width.
        """
        if self._arms.takes_candidates:
            raise TypeError("choose_many() is for fixed arms; candidates come with single calls")
        return Decisions(*self._choose_many(np.ascontiguousarray(rows, dtype=np.float64)))

    distributions = counterfactual.distributions
    forget = forgetting.forget

    def feedback_many(self, ids: ArrayLike, **metrics: ArrayLike) -> int:
        """Feedback for many decisions; returns how many of them taught something.

        Args:
            ids: uint64[n].
            **metrics: one float[n] (or a single number) for each metric of the objective.

        Raises:
            ValueError: an unknown metric, or arrays of different lengths.
        """
        id_array = np.ascontiguousarray(ids, dtype=np.uint64)
        if unknown := set(metrics) - set(self._objective.metrics):
            raise ValueError(f"no metric {min(unknown)!r}; there are {self._objective.metrics}")
        values = np.full((len(id_array), len(self._objective.metrics)), math.nan)
        for column, metric in enumerate(self._objective.metrics):
            if metric in metrics:
                values[:, column] = np.asarray(metrics[metric], dtype=np.float64)
        return self._feedback_many(id_array, values)

    @property
    def arms(self) -> tuple[Any, ...]:
        """The arms, in order; for candidates their possible indices."""
        return self._arms.arms

    @property
    def mode(self) -> str:
        """``off``, ``shadow``, ``canary`` or ``on``; ``killed`` while the kill switch is set."""
        mode, _, killed = self._mode()
        return "killed" if killed else modes.MODES[mode]

    set_mode = modes.set_mode

    @property
    def objective(self) -> Objective:
        """What is learned for. Assign another over the same metrics to learn anew for it."""
        return self._objective

    @objective.setter
    def objective(self, objective: Objective) -> None:
        if set(_objective(objective).metrics) - set(self._objective.metrics):
            raise ValueError(
                f"only the metrics {self._objective.metrics} are recorded; "
                "declare others with observe(...) from the start"
            )
        by_name = {term.metric: term for term in objective.terms}
        terms = tuple(by_name.get(t.metric, type(t)(t.metric)) for t in self._objective.terms)
        self._objective = Objective(terms)
        text = json.dumps(self._objective.describe())
        # What episodes have earned so far was another objective's; until it is done, who follows
        # must not take a model that was checked before.
        self._forgot_at = _EVERY_EVENT
        try:
            self._set_objective(self._objective.native(), text)
        finally:
            self._forgot_at = self._writer.sequence if self._writer is not None else 0

    def comparison(self, confidence: float = 0.95) -> Comparison:
        """Learned against default, from the decisions in which a coin decided between the two.

        Args:
            confidence: of the interval, in (0, 1).
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
        return Comparison.from_native(self._comparison(1 - confidence), confidence)

    def counters(self) -> dict[str, int]:
        """Decisions by reason, feedback by fate, time-outs and losses, since construction."""
        return self._counters()

    def records(self) -> pa.Table:
        """The recent decisions, oldest first, with context, raw metrics and fate."""
        import pyarrow as pa

        columns = self._records()
        del columns["number"]
        context = columns.pop("context").reshape(-1, len(self.schema.fields) or 1)
        metrics = columns.pop("metrics").reshape(-1, len(self._objective.metrics))
        columns["reason"] = _labels(columns["reason"], _native.REASONS)
        columns["state"] = _labels(columns["state"], STATES)
        for i, name in enumerate(self.schema.names):
            columns[f"context.{name}"] = context[:, i]
        for i, name in enumerate(self._objective.metrics):
            columns[f"metric.{name}"] = metrics[:, i]
        table = pa.table(columns)
        return table.replace_schema_metadata({"schema": self.schema.version, "choice": self.name})

    def search(self, metric: Objective | None = None, **settings: Any) -> Search:
        """Searches for the best arm in one context; see `acumen.learners.search.choice_search`."""
        if self.default_search is None:
            raise TypeError("acumen.learners is not loaded: nobody knows how to search")
        found: Search = self.default_search(metric, **settings)
        return found

    @property
    def journal(self) -> JournalWriter | None:
        """The choice's end of its journal; None where it has none."""
        return self._writer

    def replay(
        self,
        journal: Journal | str | os.PathLike[str],
        *,
        until: Mapping[str, int] | None = None,
    ) -> ReplayReport:
        """Learns from a journal, before the first decision; bit for bit what was learned then.

        What the model contains already (of a snapshot that was loaded, of an earlier replay) is
        not learned twice.

        Args:
            journal: a journal or its directory. Damaged and missing events are left out.
            until: stream → number of its last event that is wanted; None: everything.

        Returns:
            What was done, and whether the model is exactly one that a process had.

        Raises:
            JournalError: a model was loaded that does not say which events it contains.
            ValueError: this choice has made decisions already.
        """
        from acumen.core import journaling

        return journaling.replay_into(self, journaling.open_journal(journal), until)

    def code(self, field: str, value: str) -> float:
        """What stands for a category's name in a row of floats; stable across processes."""
        names = self.schema.names
        if field not in names:
            raise ValueError(f"no context field {field!r}; there are {names}")
        position = names.index(field)
        if not self.schema.fields[position].buckets:
            raise ValueError(f"{field!r} is no category")
        return float(self._category_code(position, value))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model to a file: versioned, checksummed, replaced atomically.

        With a journal it is a snapshot: it also holds the recent decisions, and says up to which
        event, so that `load` and `replay` of the later ones continue where it was.

        Raises:
            OSError: the file cannot be written; an older one is then untouched.
        """
        journaled, arrays = snapshot.take(self)
        model_file.write(path, self._header() | journaled, arrays)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Becomes the model of a file that `save` wrote.

        Schema, arms, learner with its parameters and objective must be the same. If only the
        default is another, the model is taken and the comparison with the old default dropped.

        Raises:
            ModelError: damaged, foreign or made for another choice; nothing has changed.
            OSError: it cannot be opened.
        """
        header, arrays = model_file.read(path)
        mine = self._header()
        for key in ("schema", "arms", "learner", "objective"):
            if header.get(key) != mine[key]:
                raise model_file.ModelError(
                    f"{path}: made for another choice: its {key} is {header.get(key)!r}, "
                    f"here it is {mine[key]!r}"
                )
        own = {n: a for n, a in arrays.items() if ":" not in n}
        learners = {n[8:]: a for n, a in arrays.items() if n.startswith("learner:")}
        if header.get("default") != mine["default"]:
            own |= {n: np.zeros_like(a) for n, a in own.items() if n.startswith("holdback.")}
        held = snapshot.restore_past(self, header, arrays)
        try:
            if isinstance(self.learner, _native.Learner):
                self._restore(own)
            else:
                self._restore_both(self.learner, learners, own)
        # A learner of somebody else's may complain about its arrays in any of these ways.
        except (ValueError, TypeError, LookupError) as error:
            if held.history:
                self._forget_history()
            raise model_file.ModelError(f"{path}: {error}") from None
        self._no_model = False
        self._held = held
        if self._writer is not None:
            from acumen.core import journaling

            journaling.note_load(self)

    def _restore_both(self, learner: Learner, theirs: dict[str, Any], own: dict[str, Any]) -> None:
        before = learner.state()
        learner.restore(theirs)
        try:
            self._restore(own)
        except ValueError:
            learner.restore(before)
            raise

    def start_fresh(self) -> None:
        """Gives a model that could not be loaded up, and learns from nothing."""
        self._no_model = False

    def _load_or_default(self, path: str | os.PathLike[str]) -> None:
        try:
            self.load(path)
        except (model_file.ModelError, OSError) as error:
            self._no_model = True
            message = f"choice {self.name!r} serves its default, its model is unusable: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=3)

    def _header(self) -> dict[str, Any]:
        return {
            "choice": self.name,
            "schema": self.schema.version,
            "arms": self._arms.signature,
            "learner": self._learner_name,
            "objective": [repr(term) for term in self._objective.terms],
            "default": self._arms.default_signature,
        }

    def __reduce__(self) -> NoReturn:
        """A choice is not copied: two that learn apart, under one name, would be two choices.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"choice {self.name!r} cannot be pickled or copied; save() its model and load() it "
            "into a choice of the same arms and context"
        )

    def __repr__(self) -> str:
        """Name, arms and mode."""
        arms = f"{len(self.arms)} arms" if len(self.arms) > 6 else list(self.arms)
        return f"Choice({self.name!r}, arms={arms}, mode={self.mode!r})"


def _check_waiting(pending_max: int, timeout: float | None, reward: float | None) -> None:
    if not 1 <= pending_max <= 1 << 24:
        raise ValueError(f"pending_max must be between 1 and 2**24, not {pending_max}")
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout}")
    if reward is not None and not abs(reward) <= _native.REWARD_MAX:
        raise ValueError(f"timeout_reward must be a finite number, not {reward}")


def _check_dimension(dimension: int, features: int) -> int:
    if dimension + features > _native.DIMENSION_MAX:
        of_arms = f", and arms have {features} features" if features else ""
        raise ValueError(
            f"the context becomes {dimension} values (1, and 1 a number or flag, buckets + 1 a "
            f"category, 1 more where a value may be missing){of_arms}; together "
            f"{_native.DIMENSION_MAX} are allowed: learning from more would make choices wait"
        )
    return dimension


def _objective(metric: object) -> Objective:
    if not isinstance(metric, Objective):
        raise TypeError(f"metric must be minimize(...), maximize(...) or a sum, not {metric!r}")
    return metric


def _labels(codes: NDArray[np.uint8], names: tuple[str, ...]) -> pa.DictionaryArray:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(codes.astype(np.int8), list(names))


# After fork() the child is a replica of its own: other random numbers, other decision ids, and no
# lock held by a thread that is not there.
_living: weakref.WeakSet[Choice] = weakref.WeakSet()


def _after_fork() -> None:
    for choice in list(_living):
        choice._become_replica(int.from_bytes(os.urandom(8)), int.from_bytes(os.urandom(3)))
        if choice._writer is not None:
            from acumen.core import journaling

            journaling.after_fork(choice)


_register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_after_fork)
