"""Which decision of which process lies where in a trainer's ring.

Each process numbers its decisions for itself. In the ring they lie one behind the other, as they
come, under numbers of the ring's own. What became of them is kept as *runs* of each stream: from a
number to another, so much is added to a process's number to make it the ring's. What lies behind a
run's end is not there yet, or never will be: other processes' decisions have the places there.

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

Run = tuple[int, int, int]


class RingNumbers:
    """The table of a trainer, from ids of processes to those in its ring.

    Args:
        pending_max: decisions that the ring has room for.

    Attributes:
        ambiguous: ids that might have been those of several processes' decisions.
    """

    def __init__(self, pending_max: int) -> None:
        self.ambiguous = 0
        self._begun: dict[str, int] = {}  # the number of its first
        self._pending_max = pending_max
        # By stream, in order of their numbers: first, what is added, and last. The ring's next
        # number, and whose decision was its last.
        self._runs: dict[str, list[Run]] = {}
        self._count, self._tidy_above = 0, RUNS_MAX  # runs
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
            number, last = int(numbers[first]), int(numbers[end - 1])
            step = number - runs[-1][2] if runs else 0
            if self._last == stream and 1 <= step <= self._pending_max:
                runs[-1] = (*runs[-1][:2], last)
            else:
                # The very first keeps its number: with one stream nothing is renumbered.
                offset = (self._next or min(number, FIRST_MAX)) - number
                before = len(runs)
                while runs and runs[-1][0] >= number:
                    runs.pop()
                runs.append((number, offset, last))
                self._count += len(runs) - before
            self._next = last + runs[-1][1] + 1
            self._last = stream
        if self._count > self._tidy_above:
            self.tidy()

    def _begin(self, stream: str, number: int) -> None:
        self._runs[stream] = []
        self._begun[stream] = number
        self._streams.setdefault(replica_of(stream), []).append(stream)

    def tidy(self) -> None:
        """Runs whose decisions have left the ring are of no more use."""
        oldest = self._next - 2 * self._pending_max - 1024
        for stream, runs in list(self._runs.items()):
            keep = [run for run in runs if run[2] + run[1] >= oldest]
            if keep or stream == self._last:
                self._runs[stream] = keep or runs[-1:]
            else:
                del self._runs[stream], self._begun[stream]
                self._streams[replica_of(stream)].remove(stream)
        self._streams = {replica: named for replica, named in self._streams.items() if named}
        self._count = sum(map(len, self._runs.values()))
        # Where all are of use, looking again at each batch would take longer and longer.
        self._tidy_above = max(RUNS_MAX, 2 * self._count)

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
        firsts, offsets, lasts = np.array(runs, np.int64).T
        run = np.searchsorted(firsts, numbers, side="right") - 1
        known = (run >= 0) & (numbers > 0) & (numbers <= lasts[run])
        places = (numbers + offsets[run]).astype(np.uint64) & NUMBER
        return np.where(known, places | (ids >> REPLICA << REPLICA), np.uint64(0))

    def have_come(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these decisions had their places, though the ring may have let them go."""
        come = np.zeros(len(ids), bool)
        for i, (replica, number) in enumerate(
            zip((ids >> REPLICA).tolist(), (ids & NUMBER).tolist(), strict=True)
        ):
            named = self._streams.get(replica, ())
            come[i] = any(self._begun[s] <= number <= self._runs[s][-1][2] for s in named)
        return come

    def described(self) -> dict[str, Any]:
        """For a checkpoint; JSON values."""
        self.tidy()
        tables = {"runs": self._runs, "begun": self._begun}
        return {**tables, "next": self._next, "last": self._last}

    def restore(self, said: dict[str, Any]) -> None:
        """What `described` has said.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it makes no sense.
        """
        following, last = int(said["next"]), _stream(said["last"])
        made = {_stream(key): int(number) for key, number in said.get("made", {}).items()}
        begun = {_stream(key): int(number) for key, number in said.get("begun", {}).items()}
        runs = {
            _stream(key): _ended(pairs, following, made.get(_stream(key)))
            for key, pairs in said["runs"].items()
            if pairs
        }
        numbers = [abs(n) for run in runs.values() for part in run for n in part]
        if max([following, *numbers, *map(abs, begun.values())]) >= 1 << 40:
            raise ValueError("numbers beyond all decisions")
        self._runs, self._next, self._last, self._streams = {}, following, last, {}
        for stream, parts in runs.items():
            self._begin(stream, begun.get(stream, parts[0][0]))
            self._runs[stream] = parts
        self._count = sum(map(len, runs.values()))


def _ended(said: Any, following: int, made: int | None) -> list[Run]:
    """Runs as a checkpoint has them; an older one says where they begin, and the newest number."""
    runs = sorted(tuple(int(number) for number in run) for run in said)
    if all(len(run) == 3 for run in runs):
        return [(first, offset, last) for first, offset, last in runs]
    ends = [first + offset for first, offset in runs[1:]]
    result = [
        (first, offset, end - offset - 1)
        for (first, offset), end in zip(runs, [*ends, following], strict=True)
    ]
    if made is not None:
        result[-1] = (*result[-1][:2], made)
    return result


def _stream(said: Any) -> str:
    """A stream's name; an older checkpoint has its replica alone."""
    if isinstance(said, str) and (not said or STREAM.fullmatch(said)):
        return said
    replica = int(said)
    if not -1 <= replica < 1 << 24:
        raise ValueError(f"{said!r} is no process")
    return f"{0:012x}-{replica:06x}" if replica >= 0 else ""
