"""Episodes as a journal has them: in parts, one event each, until the last part is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acumen import _native

STEPS_MAX = 1 << 20  # of all streams together that wait for their last part
_PREFIX = "episode:"


class PastEpisode(NamedTuple):
    """An episode that is over: what `ChoiceCore._replay_episode` takes.

    Attributes:
        ids: uint64[steps], of its decisions.
        rewards: float64[steps].
        discount: of a reward one step later.
        ended: False: it was cut off.
    """

    ids: NDArray[np.uint64]
    rewards: NDArray[np.float64]
    discount: float
    ended: bool


class EpisodeParts:
    """Puts episodes together, of many streams side by side.

    A part whose first ones are missing is an episode of its own: its last steps.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[list[int], list[float]]] = {}

    def add(self, stream: str, said: Any) -> PastEpisode | None:
        """Takes a part: what an ``episode`` event says.

        Returns:
            The whole episode, if this was its last part.

        Raises:
            ValueError, TypeError, LookupError, ArithmeticError: it makes no sense; what there was
                of its episode is forgotten.
        """
        ids, rewards = self._open.pop(stream, ([], []))
        more = np.array([int(number) for number in said["ids"]], np.uint64)
        credited = np.array([float(reward) for reward in said["rewards"]], np.float64)
        discount = float(said["discount"])
        if (
            len(more) != len(credited)
            or not np.all(np.abs(credited) <= _native.REWARD_MAX)
            or not 0 <= discount <= 1
        ):
            raise ValueError("an episode that cannot have been")
        ids += more.tolist()
        rewards += credited.tolist()
        if said["last"]:
            # 0 is nobody's: the choice was busy. Who repeats another a million times asks for the
            # memory of a million steps.
            if len(set(ids) | {0}) < len(ids) - ids.count(0) + 1:
                raise ValueError("an episode that has a decision twice")
            whole = np.array(ids, np.uint64), np.array(rewards, np.float64)
            return PastEpisode(*whole, discount, bool(said["ended"]))
        self._open[stream] = ids, rewards
        while sum(len(waiting) for waiting, _ in self._open.values()) > STEPS_MAX:
            del self._open[next(iter(self._open))]
        return None

    def drop(self, stream: str) -> None:
        """Events of a stream are missing: what there is of its episode is too little."""
        self._open.pop(stream, None)

    def arrays(self) -> tuple[dict[str, int], dict[str, NDArray[Any]]]:
        """For a checkpoint: steps by stream, and arrays of all of them."""
        opened = dict(sorted(self._open.items()))  # a file's header has its names in order
        parts = opened.values()
        return {stream: len(ids) for stream, (ids, _) in opened.items()}, {
            f"{_PREFIX}ids": np.array([n for ids, _ in parts for n in ids], np.uint64),
            f"{_PREFIX}rewards": np.array([r for _, rewards in parts for r in rewards], np.float64),
        }

    def restore(self, steps: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        """What `arrays` has said; nothing where it has said nothing.

        Raises:
            ValueError: it makes no sense.
        """
        ids = arrays.get(f"{_PREFIX}ids", np.empty(0, np.uint64))
        rewards = arrays.get(f"{_PREFIX}rewards", np.empty(0, np.float64))
        if (
            not isinstance(steps, dict)
            or any(not isinstance(count, int) or count < 0 for count in steps.values())
            or not sum(steps.values()) == len(ids) == len(rewards) <= STEPS_MAX
            or not (ids.dtype == np.uint64 and rewards.dtype == np.float64)
            or not np.all(np.abs(rewards) <= _native.REWARD_MAX)
        ):
            raise ValueError("parts of episodes that make no sense")
        first, self._open = 0, {}
        for stream, count in steps.items():
            mine = slice(first, first + count)
            self._open[str(stream)] = ids[mine].tolist(), rewards[mine].tolist()
            first += count


__all__ = ["STEPS_MAX", "EpisodeParts", "PastEpisode"]
