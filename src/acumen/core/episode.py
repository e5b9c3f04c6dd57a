"""Episodes: a sequence of choices, one late feedback for all, possibly rewards in between."""

from __future__ import annotations

import itertools
import json
import math
import os
import threading
from collections import Counter, deque
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.core.learner import SequenceLearner

if TYPE_CHECKING:
    from acumen.core.journal_writer import JournalWriter
    from acumen.core.objective import Objective

OPEN_MAX = 1024
EVENT_STEPS = 1000  # in one event: a journal cuts texts off at 64 KiB
"""Episodes of one choice that may be open at once; the oldest is dropped for a younger one."""

_COUNTED = (
    "episodes_ended",
    "episodes_cut_off",
    "episodes_dropped",
    "episode_steps_dropped",
    "episode_feedback_bad",
    "episode_feedback_closed",
    "episode_feedback_unknown",
)


class _Step:
    """One decision of an episode, and what was reported before the next one."""

    __slots__ = ("decision_id", "metrics", "reward")

    def __init__(self, decision_id: int) -> None:
        self.decision_id = decision_id
        self.reward = 0.0
        self.metrics: list[float] | None = None  # until something is reported


class Episode:
    """A sequence of choices; made by `Choice.episode`.

    What is reported is credited to the decisions before it: each is taught the discounted return
    that follows it. As a context manager an episode is cut off when its block is left before
    `feedback`, by an exception for instance.

    Threads may share an episode; its steps are in the order in which they were chosen.

    Attributes:
        id: names the episode, for `Choice.episode_feedback`.
        discount: what a reward one step later is worth, in [0, 1].
    """

    __slots__ = ("_choice", "_reported", "_steps", "discount", "id")

    def __init__(
        self, choice: EpisodicCore, episode_id: int, discount: float, steps_max: int
    ) -> None:
        self.id = episode_id
        self.discount = discount
        self._choice = choice
        self._steps: deque[_Step] = deque(maxlen=steps_max)
        self._reported = False

    def choose(self, **context: Any) -> _native.Decision:
        """The next step: as `Choice.choose`."""
        return self._add(self._choice.choose(**context))

    def choose_row(self, row: Any, candidates: Any = None, /) -> _native.Decision:
        """The next step: as `Choice.choose_row`."""
        if candidates is None:
            return self._add(self._choice.choose_row(row))
        return self._add(self._choice.choose_row(row, candidates))

    def reward(self, **metrics: float) -> bool:
        """Reports what came of the last step; several reports of one step add up.

        Args:
            **metrics: every metric that the choice's objective needs.

        Returns:
            False, and nothing has changed, where there is no step yet, the episode is over, or a
            metric is missing, unknown or not finite.
        """
        return self._choice._episodes.reward(self, metrics)

    def feedback(self, **metrics: float) -> bool:
        """Reports what came of the last step, or of all together, and ends the episode.

        Args:
            **metrics: as in `reward`; none at all where rewards have said everything.

        Returns:
            Whether this ended the episode. False, and a good one may still follow, where a metric
            is missing, unknown or not finite, or where nothing was ever reported.
        """
        return self._choice.episode_feedback(self.id, **metrics)

    def cut_off(self) -> bool:
        """Ends the episode with its outcome unknown; False if it is over already.

        A learner of sequences learns from all steps but the last, whose value it takes for what
        would have followed. Others learn nothing; the decisions count as lost.
        """
        return self._choice._episodes.cut_off(self)

    @property
    def is_open(self) -> bool:
        """Whether it has neither ended, nor been cut off, nor been dropped."""
        return self._choice._episodes.is_open(self.id)

    def __len__(self) -> int:
        """Steps that are kept: at most as many as the choice keeps decisions."""
        return len(self._steps)

    def __enter__(self) -> Episode:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut_off()

    def _add(self, decision: _native.Decision) -> _native.Decision:
        steps = self._steps
        if len(steps) == steps.maxlen:
            self._choice._episodes.count("episode_steps_dropped")
        steps.append(_Step(decision.id))
        return decision


class EpisodicCore(_native.ChoiceCore):
    """The engine behind a `Choice`, and its open episodes."""

    _objective: Objective
    _writer: JournalWriter | None

    def __init__(self, spec: dict[str, Any], learner: object) -> None:
        super().__init__(spec, learner)
        # The ring keeps a power of two of decisions: what it has forgotten cannot be taught.
        self._steps_max = max(512, 1 << (spec["pending_max"] - 1).bit_length())
        self._learns_sequences = isinstance(learner, SequenceLearner)
        self._episodes = Episodes()

    def episode(self, *, discount: float = 1.0) -> Episode:
        """Opens a sequence of choices with one late feedback for all of them.

        Args:
            discount: what a reward one step later is worth, in [0, 1].

        Raises:
            ValueError: a discount out of range.

        >>> import acumen
        >>> walk = acumen.Choice(
        ...     "walk",
        ...     arms=["left", "right"],
        ...     context={"place": float},
        ...     default="left",
        ...     metric=acumen.minimize("seconds"),
        ... )
        >>> with walk.episode(discount=0.99) as episode:
        ...     for place in range(3):
        ...         decision = episode.choose(place=place)
        ...     episode.feedback(seconds=0.25)
        True
        """
        if not 0 <= discount <= 1:
            raise ValueError(f"discount must be between 0 and 1, not {discount}")
        return self._episodes.open(self, discount, self._steps_max)

    def episode_feedback(self, episode_id: int, /, **metrics: float) -> bool:
        """Ends an open episode, from anywhere: as `Episode.feedback`.

        Twice: the second changes nothing. An unknown id: counted.
        """
        return self._episodes.end(episode_id, metrics)

    def _counters(self) -> dict[str, int]:
        return super()._counters() | self._episodes.counters()

    def _become_replica(self, seed: int, replica: int) -> None:
        super()._become_replica(seed, replica)
        self._episodes = Episodes()  # the ring is empty too, and a lost thread may hold the lock


class Episodes:
    """The open episodes of one choice."""

    def __init__(self) -> None:
        # A collected object's finalizer may use the same choice, in the middle of anything.
        self._lock = threading.RLock()
        self._open: dict[int, Episode] = {}
        self._counts: Counter[str] = Counter()
        # As decisions' ids: those of another process are unknown here, never mistaken.
        self._replica = int.from_bytes(os.urandom(3)) << 40
        self._next = itertools.count(1)
        self._last = 0

    def open(self, choice: EpisodicCore, discount: float, steps_max: int) -> Episode:
        """A new episode; the oldest is dropped if there are too many."""
        with self._lock:
            self._last = next(self._next)
            episode = Episode(choice, self._replica | self._last, discount, steps_max)
            if len(self._open) >= OPEN_MAX:
                del self._open[next(iter(self._open))]
                self._counts["episodes_dropped"] += 1
            self._open[episode.id] = episode
            return episode

    def is_open(self, episode_id: int) -> bool:
        """Whether there is such an episode, and it is not over."""
        return episode_id in self._open

    def reward(self, episode: Episode, metrics: dict[str, float]) -> bool:
        """Credits the last step; see `Episode.reward`."""
        values = _values(episode._choice._objective, metrics)
        with self._lock:
            if episode.id not in self._open:
                return self._refuse(episode.id)
            if values is None or not episode._steps:
                return self._bad()
            _credit(episode, values)
            return True

    def end(self, episode_id: int, metrics: dict[str, float]) -> bool:
        """Ends an episode and teaches; see `Episode.feedback`."""
        with self._lock:
            episode = self._open.get(episode_id) if isinstance(episode_id, int) else None
            if episode is None:
                return self._refuse(episode_id)
            if metrics:
                values = _values(episode._choice._objective, metrics)
                if values is None or not episode._steps:
                    return self._bad()
                _credit(episode, values)
            elif not episode._reported:
                return self._bad()
            del self._open[episode_id]
            self._counts["episodes_ended"] += 1
        _teach(episode, ended=True)
        return True

    def cut_off(self, episode: Episode) -> bool:
        """Closes an episode whose outcome is unknown; see `Episode.cut_off`."""
        with self._lock:
            if self._open.pop(episode.id, None) is None:
                return False
            self._counts["episodes_cut_off"] += 1
        _teach(episode, ended=False)
        return True

    def count(self, what: str) -> None:
        """One more of these."""
        with self._lock:
            self._counts[what] += 1

    def counters(self) -> dict[str, int]:
        """Episodes by fate, feedback that was none, and how many are open now."""
        with self._lock:
            return {name: self._counts[name] for name in _COUNTED} | {
                "episodes_open": len(self._open)
            }

    def _bad(self) -> bool:
        self._counts["episode_feedback_bad"] += 1
        return False

    def _refuse(self, episode_id: int) -> bool:
        """Counts a report of an episode that is not open."""
        known = isinstance(episode_id, int) and 0 < episode_id - self._replica <= self._last
        self._counts[f"episode_feedback_{'closed' if known else 'unknown'}"] += 1
        return False


_Values = tuple[float, list[float]]


def _values(objective: Objective, metrics: dict[str, float]) -> _Values | None:
    """The reward of one report, and its metrics in the objective's order; None: unusable."""
    if not metrics.keys() <= set(objective.metrics):
        return None
    try:
        numbers = {name: float(value) for name, value in metrics.items()}
    except (TypeError, ValueError, OverflowError):
        return None
    reward = objective.reward(**numbers)
    if not abs(reward) <= _native.REWARD_MAX:
        return None
    observed = [numbers.get(name, 0.0) for name in objective.metrics]
    return reward, [value if math.isfinite(value) else 0.0 for value in observed]


def _credit(episode: Episode, values: _Values) -> None:
    step = episode._steps[-1]
    step.reward += values[0]
    before = step.metrics or [0.0] * len(values[1])
    step.metrics = [a + b for a, b in zip(before, values[1], strict=True)]
    episode._reported = True


def _teach(episode: Episode, ended: bool) -> None:
    """Hands a closed episode to the learner.

    Every decision's feedback is the discounted sums of the metrics from there on: what a learner
    of single choices is taught, and what the ring keeps to teach anew from. A learner of sequences
    takes the rewards of all steps at once.
    """
    choice, steps = episode._choice, tuple(episode._steps)
    if not (steps and (ended or choice._learns_sequences)):
        return
    ids = np.array([step.decision_id for step in steps], dtype=np.uint64)
    nothing = [0.0] * len(choice._objective.metrics)
    metrics = np.array([step.metrics or nothing for step in steps], dtype=np.float64)
    returns = discounted(metrics, episode.discount)
    if choice._learns_sequences:
        rewards = np.array([step.reward for step in steps], dtype=np.float64)
        limited = np.clip(rewards, -_native.REWARD_MAX, _native.REWARD_MAX)
        events = [] if choice._writer is None else _events(ids, limited, episode.discount, ended)
        choice._end_episode(ids, returns if ended else None, limited, episode.discount, events)
    else:
        choice._feedback_many(ids, returns)


def _events(
    ids: NDArray[np.uint64], rewards: NDArray[np.float64], discount: float, ended: bool
) -> list[str]:
    """What the journal keeps of an episode: texts of at most EVENT_STEPS steps, last one marked."""
    return [
        json.dumps(
            {
                "ids": ids[i : i + EVENT_STEPS].tolist(),
                "rewards": rewards[i : i + EVENT_STEPS].tolist(),
                "discount": discount,
                "ended": ended,
                "last": i + EVENT_STEPS >= len(ids),
            }
        )
        for i in range(0, len(ids), EVENT_STEPS)
    ]


def discounted(rewards: NDArray[np.float64], discount: float) -> NDArray[np.float64]:
    """Discounted returns: ``g[t] = rewards[t] + discount * g[t + 1]``.

    Args:
        rewards: float[steps, …], in the order of time.
        discount: in [0, 1].

    >>> discounted(np.array([1.0, 0.0, 4.0]), 0.5).tolist()
    [2.0, 2.0, 4.0]
    """
    returns = rewards.copy()
    for step in range(len(returns) - 2, -1, -1):
        returns[step] += discount * returns[step + 1]
    return returns
