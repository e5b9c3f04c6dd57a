"""Which decision of which process lies where in a trainer's ring.

Each process numbers its decisions for itself. In the ring they lie one behind the other, as they
come, under numbers of the ring's own. What became of them is kept as *runs* of each stream: from a
number on, so much is added to a process's number to make it the ring's.

An id names its process by a number of 24 bits, of which two in a large fleet may be the same, and
the decision by one of 40 bits that begins anywhere (`journaling.begin`). What a process says of its
own decisions is looked up in its own stream. What others have heard is theirs whose numbers it
fits; where it fits two, nobody can say whose it is, and it is nobody's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.core.journal_format import STREAM
from acumen.core.journal_segments import replica_of

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
        made: of each stream that has runs: the number of its newest decision.
        ambiguous: ids that might have been those of several processes' decisions.
    """

    def __init__(self, pending_max: int) -> None:
        self.made: dict[str, int] = {}
        self.ambiguous = 0
        self._begun: dict[str, int] = {}  # the number of its first
        self._pending_max = pending_max
        # By stream, in order of their numbers. The ring's next number, and whose decision was
        # its last.
        self._runs: dict[str, list[tuple[int, int]]] = {}
        self._streams: dict[int, list[str]] = {}  # by replica
        self._next = 0
        self._last = ""

    def place(self, stream: str, ids: NDArray[np.uint64]) -> None:
        """Gives a stream's decisions, in order, their places in the ring, run by run.

        Numbers that go back, or further ahead than the ring is large, begin a run of their own:
        what a stream claims to have skipped must push nobody's decisions out of the ring.
        """
        if not len(ids):
            return
        numbers = (ids & NUMBER).astype(np.int64)
        if stream not in self._runs:
            self._begin(stream, int(numbers[0]))
        runs = self._runs[stream]
        steps = np.diff(numbers)
        changes = np.flatnonzero((steps < 1) | (steps > self._pending_max)) + 1
        for first, end in zip([0, *changes], [*changes, len(ids)], strict=True):
            number = int(numbers[first])
            step = number - self.made.get(stream, number - 1)
            if not runs or self._last != stream or not 1 <= step <= self._pending_max:
                # The very first keeps its number: with one stream nothing is renumbered.
                offset = (self._next or min(number, FIRST_MAX)) - number
                while runs and runs[-1][0] >= number:
                    runs.pop()
                if not runs or runs[-1][1] != offset:
                    runs.append((number, offset))
            self.made[stream] = int(numbers[end - 1])
            self._next = self.made[stream] + runs[-1][1] + 1
            self._last = stream
        if sum(map(len, self._runs.values())) > RUNS_MAX:
            self.tidy()

    def _begin(self, stream: str, number: int) -> None:
        self._runs[stream] = []
        self._begun[stream] = number
        self._streams.setdefault(replica_of(stream), []).append(stream)

    def tidy(self) -> None:
        """Runs whose decisions have left the ring are of no more use."""
        oldest = self._next - 2 * self._pending_max - 1024
        for stream, runs in list(self._runs.items()):
            ends = [number + offset for number, offset in runs[1:]]
            keep = [run for run, end in zip(runs, [*ends, self._next], strict=True) if end > oldest]
            if keep or stream == self._last:
                self._runs[stream] = keep or runs[-1:]
            else:
                for table in (self._runs, self.made, self._begun):
                    table.pop(stream, None)
                self._streams[replica_of(stream)].remove(stream)
        self._streams = {replica: named for replica, named in self._streams.items() if named}

    def of(
        self, stream: str, ids: NDArray[np.uint64], unsure: NDArray[np.bool_] | None = None
    ) -> NDArray[np.uint64]:
        """The ids that the ring has; 0, which no decision has, for those it never had.

        Args:
            stream: in which they stand.
            ids: uint64[n].
            unsure: bool[n], which of them its process did not know: they are not taken for its
                own before others'.
        """
        result = np.zeros_like(ids)
        own = ids >> REPLICA == replica_of(stream)
        if unsure is not None:
            own &= ~unsure
        result[own] = self._find(stream, ids[own])
        rest = np.flatnonzero((ids > 0) & (result == 0))
        replicas = ids[rest] >> REPLICA
        for replica in np.unique(replicas):
            mine = rest[replicas == replica]
            places = [self._find(s, ids[mine]) for s in self._streams.get(int(replica), ())]
            if places:
                found = np.count_nonzero(places, axis=0)
                result[mine] = np.where(found == 1, np.max(places, axis=0), np.uint64(0))
                self.ambiguous += int(np.count_nonzero(found > 1))
        return result

    def _find(self, stream: str, ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
        runs = self._runs.get(stream)
        if not runs:
            return np.zeros_like(ids)
        numbers = (ids & NUMBER).astype(np.int64)
        firsts, offsets = (np.array(part, np.int64) for part in zip(*runs, strict=True))
        run = np.searchsorted(firsts, numbers, side="right") - 1
        # What was skipped behind a run has no place: the next run begins there.
        ends = np.append((firsts + offsets)[1:], self._next)
        known = (run >= 0) & (numbers > 0) & (numbers + offsets[run] < ends[run])
        places = (numbers + offsets[run]).astype(np.uint64) & NUMBER
        return np.where(known, places | (ids >> REPLICA << REPLICA), np.uint64(0))

    def have_come(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these decisions had their places, though the ring may have let them go."""
        come = np.zeros(len(ids), bool)
        for i, (replica, number) in enumerate(
            zip((ids >> REPLICA).tolist(), (ids & NUMBER).tolist(), strict=True)
        ):
            named = self._streams.get(replica, ())
            come[i] = any(self._begun[s] <= number <= self.made[s] for s in named)
        return come

    def described(self) -> dict[str, Any]:
        """For a checkpoint; JSON values."""
        self.tidy()
        tables = {"runs": self._runs, "made": self.made, "begun": self._begun}
        return {**tables, "next": self._next, "last": self._last}

    def restore(self, said: dict[str, Any]) -> None:
        """What `described` has said.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it makes no sense.
        """
        runs = {
            _stream(key): sorted((int(number), int(offset)) for number, offset in pairs)
            for key, pairs in said["runs"].items()
        }
        following, last = int(said["next"]), _stream(said["last"])
        made = {_stream(key): int(number) for key, number in said.get("made", {}).items()}
        begun = {_stream(key): int(number) for key, number in said.get("begun", {}).items()}
        if runs.get(last):  # a checkpoint without them says this much
            made.setdefault(last, following - 1 - runs[last][-1][1])
        runs = {stream: pairs for stream, pairs in runs.items() if pairs}
        numbers = [abs(n) for pairs in runs.values() for pair in pairs for n in pair]
        numbers += map(abs, [*made.values(), *begun.values()])
        if max([following, *numbers]) >= 1 << 40:
            raise ValueError("numbers beyond all decisions")
        self._runs, self._next, self._last, self._streams = {}, following, last, {}
        for stream, pairs in runs.items():
            self._begin(stream, begun.get(stream, pairs[0][0]))
            self._runs[stream] = pairs
        self.made = {stream: made.get(stream, pairs[-1][0]) for stream, pairs in runs.items()}


def _stream(said: Any) -> str:
    """A stream's name; an older checkpoint has its replica alone."""
    if isinstance(said, str) and (not said or STREAM.fullmatch(said)):
        return said
    replica = int(said)
    if not -1 <= replica < 1 << 24:
        raise ValueError(f"{said!r} is no process")
    return f"{0:012x}-{replica:06x}" if replica >= 0 else ""
