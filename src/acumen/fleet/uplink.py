"""`Uplink`: one process a machine ships the directory's journal to a hub, and brings models back.

The journal is the outbox. Nothing is kept in memory until the hub has it: what the hub does not
have after a crash, of either side, is read from the segments again, whichever process wrote them.
So `Journal(keep_bytes=…)` bounds what may be waiting, and what was deleted before it was sent is
told to the hub as missing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acumen.core import model_file
from acumen.core.background import Background
from acumen.core.following import Follower
from acumen.core.health import OfficeHealth
from acumen.core.journal import open_journal
from acumen.core.journal_segments import folder_of, segments_in
from acumen.core.journal_tail import Absences, JournalTail
from acumen.core.journaling import describe
from acumen.core.published import MODELS, NONE, Candidacy, ModelFolder, Published, Stamp
from acumen.core.trainer import stated, taught_in
from acumen.core.twin import kind_of
from acumen.fleet.hub import Reply
from acumen.fleet.wire import encode, pieces

if TYPE_CHECKING:
    from acumen.core.choice import Choice
    from acumen.core.journal import Journal

REQUEST_BYTES = 8 << 20  # about so much a call
KEEP = 3
STOP_SECONDS = 5.0
RETRY_SECONDS_MAX = 5.0
_FOREIGN = 1 << 62

Exchange = Callable[[Sequence[tuple[bytes, int]], Stamp, Sequence[str], Sequence[str]], Reply]


class HubUnavailableError(OSError):
    """The hub does not answer: it is down, starting again, or cannot be reached."""


@dataclass
class UplinkHealth(OfficeHealth):
    """How it goes between a machine and its hub; `errors`: attempts that failed otherwise.

    Attributes:
        calls: that were answered.
        batches: sent; those that had to be sent again included.
        events: in them.
        unacknowledged: events in the journal that the hub would not have after a crash, when it
            last answered.
        models: that were brought.
        unavailable: calls that were not answered.
    """

    calls: int = 0
    batches: int = 0
    events: int = 0
    unacknowledged: int = 0
    models: int = 0
    unavailable: int = 0


class Uplink:
    """Stands for election in a directory; who holds the office talks to the hub.

    Args:
        exchange: asks the hub: see `Hub.exchange`. Raises HubUnavailableError where there is none.
        choice: of the kind that the fleet is about.
        journal: the directory that the machine's processes write.
        period_seconds: between two calls.
        patience_seconds: a holder that shows no sign of life for so long is replaced.

    Attributes:
        health: counters.
        models: where the hub's models are put.
    """

    def __init__(
        self,
        exchange: Exchange,
        choice: Choice,
        journal: Journal | str | os.PathLike[str],
        *,
        period_seconds: float = 0.2,
        patience_seconds: float = 10.0,
    ) -> None:
        self.models = models_of(choice, journal)
        self._kind = self.models.folder.name
        folder = self.models.folder.parents[1]
        self.health = UplinkHealth()
        self._exchange = exchange
        self._candidacy = Candidacy(self.models, patience_seconds)
        self._patience_seconds = patience_seconds
        self._period_seconds = period_seconds
        self._alive_s = -1e9
        self._tail = JournalTail(folder, self._show_life)
        # What the hub has, as it last said; None: it has to be asked first.
        self._taken: dict[str, int] | None = None
        self._brought: Stamp = NONE
        # Streams of which the hub may have positions, and which of them have no file any more.
        self._told: set[str] = set()
        self._absences = Absences()
        self._forgotten = False
        self._refused = False
        # Ray does not survive fork(): the parent goes on shipping what the child journals.
        give_up = self._give_up_office
        self._background = Background("acumen-uplink", self._run, give_up, give_up)

    def step(self) -> bool:
        """Asks the hub once; whether there was anything to send.

        Raises:
            HubUnavailableError: it does not answer; nothing has changed.
            OSError: the directory cannot be read or written.
        """
        if not self._candidacy.elected:
            self.health.elected = False
            if not self._tail.folder.is_dir() or self._candidacy.stand() is None:
                return False
            self.health.elected = True
            self._taken = None
            newest = self.models.newer(NONE, [])
            self._brought = newest.stamp if newest else NONE
            self._told |= set(stated(newest.header)[0]) if newest else set()
        self._show_life()
        streams = {segment.stream for segment in segments_in(self._tail.folder)}
        self._told |= streams
        # The lock lies in the same folder: it is the one that was read, and no empty mount.
        gone = self._absences.gone(self._told, streams) if self._candidacy.elected else []
        asks = self._taken is None
        sent = dict(self._taken or {})
        try:
            batches = [] if asks else self._gather(sent)
            reply = self._exchange(batches, self._brought, sorted(streams), gone)
        except BaseException:
            # Whether it was taken is not known: the hub will say.
            self._taken = None
            self._read_anew()
            raise
        self._told -= set(gone)
        # What is refused is sent again, but not at once: it may be refused for good.
        self._refused = bool(batches) and not _took_any(reply, self._taken or {}, sent)
        self._note(reply, sent)
        return (bool(batches) and not self._refused) or asks

    def _show_life(self) -> None:
        """Reading a large journal, or waiting for a slow disk, is no sign of death."""
        if time.monotonic() - self._alive_s > self._patience_seconds / 10:
            self._alive_s = time.monotonic()
            self._candidacy.show_life()

    def _read_anew(self) -> None:
        self._tail = JournalTail(self._tail.folder, self._show_life)

    def _gather(self, known: dict[str, int]) -> list[tuple[bytes, int]]:
        """What the hub does not have, as far as it fits into one call; `known` moves on."""
        batches: list[tuple[bytes, int]] = []
        size = 0
        for batch in self._tail.read(known):
            if kind_of(batch.info) != self._kind:
                known[batch.info.stream] = _FOREIGN
                continue
            for part in pieces(batch, REQUEST_BYTES):
                contents = encode(part)
                if batches and size + len(contents) > REQUEST_BYTES:
                    return batches
                # The tail has waited for what is missing in between: it will not come any more. But
                # a hub restarted meanwhile must not take what it has lost for missing, too.
                batches.append((contents, known.get(batch.info.stream, 0)))
                size += len(contents)
                known[batch.info.stream] = part.last
                self.health.batches += 1
                self.health.events += part.rows.num_rows
        return batches

    def _note(self, reply: Reply, sent: dict[str, int]) -> None:
        health = self.health
        health.calls += 1
        foreign = dict.fromkeys(reply.foreign, _FOREIGN)
        foreign |= {stream: n for stream, n in sent.items() if n == _FOREIGN}
        self._taken = dict(reply.taken) | foreign
        if any(self._taken.get(stream, 0) < number for stream, number in sent.items()):
            # The hub was restarted from what it had kept, or has refused something: once more.
            self._read_anew()
        known = {stream: n for stream, n in (dict(reply.taken) | sent).items() if n != _FOREIGN}
        health.unacknowledged = sum(
            max(0, max(number, reply.taken.get(stream, 0)) - reply.durable.get(stream, 0))
            for stream, number in known.items()
            if stream not in foreign
        )
        for problem in (*reply.problems, *self._tail.problems):
            health.note(problem)
        self._tail.problems.clear()
        if reply.model is not None and reply.stamp > self._brought:
            self._bring(reply, reply.model)

    def _bring(self, reply: Reply, contents: bytes) -> None:
        header, arrays = model_file.decode(contents)  # followers look at the rest
        taught_in(header)
        # What is the same for all becomes this machine's: its followers have to know which of
        # their own lessons are in there.
        header["journal"] |= {"positions": reply.positions}
        header["trainer"] |= {"lessons": reply.lessons}
        stamp = reply.stamp
        self.models.write(Published(stamp, header, arrays))
        self.models.prune(KEEP, stamp)
        self._brought = stamp
        self.health.models += 1

    def _run(self, stop: threading.Event) -> None:
        idle = self._period_seconds
        while not stop.is_set():
            busy = False
            try:
                busy = self.step()
                patient = min(2 * idle, RETRY_SECONDS_MAX)
                idle = patient if self._refused else self._period_seconds
            except HubUnavailableError as error:
                self.health.unavailable += 1
                self.health.last_error = str(error)
                idle = min(2 * idle, RETRY_SECONDS_MAX)
            except Exception as error:  # whatever it is, the thread must not end in silence
                self.health.note(error)
                idle = min(2 * idle, RETRY_SECONDS_MAX)
            stop.wait(idle / 10 if busy else idle)
        if self._forgotten:
            self._candidacy.resign()

    def start(self) -> None:
        """Begins, in a background thread."""
        self._background.start()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Ends the thread and gives the office up."""
        if self._background.stop(timeout):
            self._give_up_office()

    def stop_soon(self) -> None:
        """Tells the thread to end; the lock is free when it has."""
        self._forgotten = True
        self._background.stop_soon()

    def _give_up_office(self) -> None:
        self._candidacy.resign()
        self.health.elected = False

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until the hub would have after a crash what is in the journal now.

        Only where this process holds the office; whether it is so.
        """
        deadline = time.monotonic() + timeout
        calls = self.health.calls
        while time.monotonic() < deadline:
            # Two calls from now: the first may have been under way already.
            if self.health.calls >= calls + 3 and self.health.unacknowledged == 0:
                return True
            time.sleep(self._period_seconds / 10)
        return False


def _took_any(reply: Reply, before: dict[str, int], sent: dict[str, int]) -> bool:
    """Whether the hub has something of what was sent, or knows that it is not for it."""
    return any(
        stream in reply.foreign or reply.taken.get(stream, 0) > before.get(stream, 0)
        for stream, number in sent.items()
        if number != before.get(stream, 0)
    )


def models_of(
    choice: Choice, journal: Journal | str | os.PathLike[str] | None = None
) -> ModelFolder:
    """Where the models of a kind of choice lie in a directory; None: that of its own journal.

    Raises:
        ValueError: it has none.
    """
    if journal is None:
        if choice.journal is None:
            raise ValueError("a choice of a fleet needs a journal: it is what the hub learns from")
        journal = choice.journal.journal
    kind = kind_of(describe(choice, "0" * 12 + "-" + "0" * 6))
    return ModelFolder(folder_of(open_journal(journal).path, choice.name) / MODELS / kind)


def follow_hub(
    choice: Choice, exchange: Exchange, *, period_seconds: float = 0.2, poll_seconds: float = 0.1
) -> Follower:
    """Lets a choice follow a hub, by way of its journal's directory; see `cluster.join`.

    Raises:
        ValueError: the choice has no journal.
        TypeError: its learner is not native.
    """
    if choice.journal is None:
        raise ValueError("a choice of a fleet needs a journal: it is what the hub learns from")
    journal = choice.journal.journal
    uplink = Uplink(exchange, choice, journal, period_seconds=period_seconds)
    follower = Follower(choice, uplink.models, poll_seconds=poll_seconds, training=uplink)
    follower.start()
    return follower
