"""Which decision of which process lies where in a trainer's ring.

Each process numbers its decisions for itself. In the ring they lie one behind the other, as they
come, under numbers of the ring's own. What became of them is kept as *runs*: from a number on, so
much is added to a process's number to make it the ring's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBER, REPLICA = np.uint64((1 << 40) - 1), np.uint64(40)
RUNS_MAX = 1 << 14
# Whose very first decision has a higher number begins there all the same: what is forged must not
# use up the ring's own numbers.
FIRST_MAX = 1 << 39


class RingNumbers:
    """The table of a trainer, from ids of processes to those in its ring.

    Args:
        pending_max: decisions that the ring has room for.

    Attributes:
        made: of each replica that has runs: the number of its newest decision.
    """

    def __init__(self, pending_max: int) -> None:
        self.made: dict[int, int] = {}
        self._pending_max = pending_max
        # By replica, in order of their numbers. The ring's next number, and whose decision was
        # its last.
        self._runs: dict[int, list[tuple[int, int]]] = {}
        self._next = 0
        self._last = -1

    def place(self, ids: NDArray[np.uint64]) -> None:
        """Gives decisions, in the order in which they come, their places in the ring, run by run.

        Numbers that go back, or further ahead than the ring is large, begin a run of their own:
        what a stream claims to have skipped must push nobody's decisions out of the ring.
        """
        if not len(ids):
            return
        replicas, numbers = (p.astype(np.int64) for p in (ids >> REPLICA, ids & NUMBER))
        steps = np.diff(numbers)
        jumps = (steps < 1) | (steps > self._pending_max)
        changes = np.flatnonzero(jumps | (np.diff(replicas) != 0)) + 1
        for first, end in zip([0, *changes], [*changes, len(ids)], strict=True):
            replica, number = int(replicas[first]), int(numbers[first])
            runs = self._runs.setdefault(replica, [])
            step = number - self.made.get(replica, number - 1)
            if not runs or self._last != replica or not 1 <= step <= self._pending_max:
                # The very first keeps its number: with one stream nothing is renumbered.
                offset = (self._next or min(number, FIRST_MAX)) - number
                while runs and runs[-1][0] >= number:
                    runs.pop()
                if not runs or runs[-1][1] != offset:
                    runs.append((number, offset))
            self.made[replica] = int(numbers[end - 1])
            self._next = self.made[replica] + runs[-1][1] + 1
            self._last = replica
        if sum(map(len, self._runs.values())) > RUNS_MAX:
            self.tidy()

    def tidy(self) -> None:
        """Runs whose decisions have left the ring are of no more use."""
        oldest = self._next - 2 * self._pending_max - 1024
        for replica, runs in list(self._runs.items()):
            ends = [number + offset for number, offset in runs[1:]]
            keep = [run for run, end in zip(runs, [*ends, self._next], strict=True) if end > oldest]
            if keep or replica == self._last:
                self._runs[replica] = keep or runs[-1:]
            else:
                del self._runs[replica]
                self.made.pop(replica, None)

    def of(self, ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The ids that the ring has; 0, which no decision has, for those it never had."""
        result = np.zeros_like(ids)
        replicas = ids >> REPLICA
        for replica in np.unique(replicas):
            runs = self._runs.get(int(replica))
            if not runs:
                continue
            mine = np.flatnonzero(replicas == replica)
            numbers = (ids[mine] & NUMBER).astype(np.int64)
            firsts, offsets = (np.array(part, np.int64) for part in zip(*runs, strict=True))
            run = np.searchsorted(firsts, numbers, side="right") - 1
            # What was skipped behind a run has no place: the next run begins there.
            ends = np.append((firsts + offsets)[1:], self._next)
            known = (run >= 0) & (numbers > 0) & (numbers + offsets[run] < ends[run])
            places = (numbers + offsets[run]).astype(np.uint64) & NUMBER
            result[mine] = np.where(known, places | (replica << REPLICA), np.uint64(0))
        return result

    def described(self) -> dict[str, Any]:
        """For a checkpoint; JSON values."""
        self.tidy()
        runs = {str(replica): runs for replica, runs in self._runs.items()}
        made = {str(replica): number for replica, number in self.made.items()}
        return {"runs": runs, "made": made, "next": self._next, "last": self._last}

    def restore(self, said: dict[str, Any]) -> None:
        """What `described` has said.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it makes no sense.
        """
        runs = {
            int(replica): sorted((int(number), int(offset)) for number, offset in pairs)
            for replica, pairs in said["runs"].items()
        }
        following, last = int(said["next"]), int(said["last"])
        made = {int(replica): int(number) for replica, number in said.get("made", {}).items()}
        if runs.get(last):  # a checkpoint without them says this much
            made.setdefault(last, following - 1 - runs[last][-1][1])
        numbers = [abs(n) for pairs in runs.values() for pair in pairs for n in pair]
        numbers += map(abs, made.values())
        if max([following, *numbers]) >= 1 << 40:
            raise ValueError("numbers beyond all decisions")
        self.made = {replica: made[replica] for replica in runs.keys() & made.keys()}
        self._runs, self._next, self._last = runs, following, last
