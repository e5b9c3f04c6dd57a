"""A stream's decisions with what came of them, for the comparison: as the engine itself does it.

The engine compares decisions in the order in which they were made, up to the first that still
waits for its feedback; one that `pending_max` younger ones have pushed out, or that timed out, is
lost. The journal has all that it needs for that, so the page's comparison of one process's stream
is the engine's own, to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acumen.core.objective import Objective

RING_LEAST, RING_MOST = 512, 1 << 17  # decisions that may wait; more in the page would not help
_SEQUENCE_MASK = (1 << 40) - 1
_NOTHING, _WAITING, _DONE, _EXPIRED = range(4)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Compared:
    """Decisions whose fate is known, in order: float64[n] each; a lost one has reward NaN."""

    learned: NDArray[np.bool_]
    share: Floats
    reward: Floats
    time_s: Integers


@dataclass(frozen=True)
class Heard:
    """Feedback that was accepted: when, its reward, the arm (-1: not known any more), the side.

    `side` is 0 for the default and 1 for the learned policy where a coin decided, else 2.
    """

    time_s: Integers
    reward: Floats
    arm: Integers
    side: Integers


class StreamJoin:
    """The last decisions of one stream.

    Args:
        replica: of the stream; feedback for decisions of others is not joined.
        pending_max: as the choice was given it.
        timeout_reward: reward of a decision that timed out; None: it is lost.
        objective: what the rewards are of.
    """

    def __init__(
        self, replica: int, pending_max: int, timeout_reward: float | None, objective: Objective
    ) -> None:
        wanted = min(max(pending_max, RING_LEAST), RING_MOST)
        self.capacity = 1 << (wanted - 1).bit_length()
        # Twice as many places: what a batch pushes out may have been heard earlier in the batch.
        n = max(2 * self.capacity, 8192)
        self._mask = n - 1
        self.room = n - self.capacity
        self._replica = replica
        self._timeout_reward = math.nan if timeout_reward is None else timeout_reward
        self.objective = objective
        self._sequence = np.zeros(n, np.int64)
        self._state = np.zeros(n, np.uint8)
        self._learned = np.zeros(n, bool)
        self._share = np.zeros(n)
        self._reward = np.full(n, math.nan)
        self._arm = np.zeros(n, np.int64)
        self._time = np.zeros(n, np.int64)
        self._values = np.full((n, len(objective.metrics)), math.nan)
        self._next = self._compared = self._begin = 0

    def decide(
        self, ids: NDArray[np.uint64], learned: NDArray[np.bool_], share: Floats, arm: Integers,
        time_s: Integers,
    ) -> None:  # fmt: skip
        """Decisions, in order; at most `room` at once, or some are forgotten too soon."""
        sequence = (ids & np.uint64(_SEQUENCE_MASK)).astype(np.int64)
        if len(sequence) == 0:
            return
        first, last = int(sequence[0]), int(sequence[-1])
        if self._next == 0 or first < self._next or last - self._next > self._mask:
            self._begin = self._compared = first  # the stream begins, or its process began anew
        slots = sequence & self._mask
        self._sequence[slots] = sequence
        self._state[slots] = _WAITING
        self._learned[slots] = learned
        self._share[slots] = share
        self._reward[slots] = math.nan
        self._arm[slots] = arm
        self._time[slots] = time_s
        self._next = last + 1
        # Older ones have no place any more; ids that jump must not make `advance` count for ever.
        self._compared = max(self._compared, self._next - len(self._sequence))

    def expire(self, ids: NDArray[np.uint64]) -> None:
        """Time-outs."""
        slots = self._find(ids)
        slots = slots[slots >= 0]
        slots = slots[self._state[slots] == _WAITING]
        self._state[slots] = _EXPIRED
        self._reward[slots] = self._timeout_reward

    def hear(self, ids: NDArray[np.uint64], values: Floats, time_s: Integers) -> Heard:
        """Feedback that the engine has accepted; float64[n, metrics] in the objective's order."""
        slots = self._find(ids)
        rewards = self.objective.rewards(dict(zip(self.objective.metrics, values.T, strict=True)))
        known = slots >= 0
        mine, late = slots[known], self._state[slots[known]] == _EXPIRED
        # Late feedback corrects the record; what the comparison counts, stays.
        self._reward[mine[~late]] = rewards[known][~late]
        self._state[mine] = _DONE
        self._values[mine] = values[known]
        at = np.maximum(slots, 0)
        share = self._share[at]
        tossed = known & (share > 0) & (share < 1)
        side = np.where(tossed, self._learned[at].astype(np.int64), 2)
        return Heard(time_s, rewards, np.where(known, self._arm[at], -1), side)

    def advance(self) -> Compared:
        """Decisions that can be compared now."""
        sequence = np.arange(self._compared, self._next)
        slots = sequence & self._mask
        present = self._sequence[slots] == sequence
        tossed = (self._share[slots] > 0) & (self._share[slots] < 1)
        waits = present & tossed & (self._state[slots] == _WAITING)
        waits &= sequence >= self._next - self.capacity
        end = int(np.argmax(waits)) if waits.any() else len(sequence)
        self._compared += end
        slots = slots[:end][(present & tossed)[:end]]
        return Compared(
            self._learned[slots], self._share[slots], self._reward[slots], self._time[slots]
        )

    def pass_all(self) -> None:
        """Decisions so far will not be compared."""
        self._compared = self._next

    def change_objective(self, objective: Objective) -> None:
        """Rewards anew, and what is still here is compared again."""
        self.objective = objective
        rewards = objective.rewards(dict(zip(objective.metrics, self._values.T, strict=True)))
        known = (self._state == _DONE) & ~np.isnan(self._reward)
        self._reward = np.where(known, rewards, self._reward)
        self._compared = max(self._begin, self._next - self.capacity)

    def _find(self, ids: NDArray[np.uint64]) -> Integers:
        """Places of decisions, -1 for those that are not here."""
        sequence = (ids & np.uint64(_SEQUENCE_MASK)).astype(np.int64)
        slots = sequence & self._mask
        mine = ((ids >> np.uint64(40)) == self._replica) & (sequence > 0)
        return np.where(mine & (self._sequence[slots] == sequence), slots, -1)
