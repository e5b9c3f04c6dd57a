"""Several hubs, each for some of the streams, and a root that adds their statistics up.

Where a learner's statistics are sums (`Learner.merge`: the linear ones, without forgetting), hubs
can share the work: each learns from its own streams, and the root merges what they have learned.
Sums of differently scaled values mean nothing, so all begin with the scales of one settled model,
and the root refuses a hub that has chosen others meanwhile.

A stream's name says to which hub it goes, whoever ships it. The root keeps the newest model of
each hub and adds up those, never differences: what comes twice, or late, changes nothing. The sum
goes back to the hubs, who answer with it: nobody but they ask the root, however large the fleet.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from acumen import _native
from acumen.core import model_file
from acumen.core.background import Background
from acumen.core.journal_format import JournalInfo
from acumen.core.published import NONE, Published, Stamp
from acumen.core.trainer import Trainer, scales_of, stated
from acumen.fleet.checkpoints import Checkpoints
from acumen.fleet.hub import ERRORS_MAX, Reply
from acumen.fleet.ledger import look_at_root
from acumen.fleet.uplink import Exchange
from acumen.fleet.wire import stream_of
from acumen.learners.described import choice_of_journal

if TYPE_CHECKING:
    from acumen.core.choice import Choice


class ShardLine(Protocol):
    """A root's way to one hub; see `Hub`. It raises HubUnavailableError where there is none."""

    def model_since(self, have: Stamp) -> tuple[Stamp, bytes | None, Stamp]:
        """The hub's own model, if it is newer, and what it relays."""
        ...

    def relay(self, stamp: Stamp, model: bytes) -> None:
        """What the hub is to answer with."""
        ...


def shard_of(stream: str, shards: int) -> int:
    """The hub that a stream goes to, of `shards`."""
    digest = hashlib.blake2b(stream.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % shards


class Shards:
    """Asks several hubs as if they were one; an `Exchange`.

    Args:
        hubs: in the order that `shard_of` counts.
    """

    def __init__(self, hubs: Sequence[Exchange]) -> None:
        self._hubs = hubs

    def __call__(
        self, batches: Sequence[tuple[bytes, int]], have: Stamp, streams: Sequence[str]
    ) -> Reply:
        """See `Hub.exchange`; one that does not answer makes the call fail, to be made again."""
        count = len(self._hubs)
        parts: dict[int, list[tuple[bytes, int]]] = {}
        asked: dict[int, list[str]] = {}
        for contents, after in batches:
            shard = shard_of(stream_of(contents), count)
            parts.setdefault(shard, []).append((contents, after))
        for stream in streams:
            asked.setdefault(shard_of(stream, count), []).append(stream)
        whole = Reply()
        for shard in sorted({*parts, *asked}):
            newest = max(have, whole.stamp)
            reply = self._hubs[shard](parts.get(shard, ()), newest, asked.get(shard, ()))
            newer = reply.model is not None
            whole = Reply(
                whole.taken | reply.taken,
                whole.durable | reply.durable,
                reply.stamp if newer else whole.stamp,
                reply.model if newer else whole.model,
                whole.foreign | reply.foreign,
                whole.problems + reply.problems,
            )
        return whole


class Root:
    """Adds up what hubs have learned.

    Args:
        choice: of the kind that the hubs teach, with a native learner whose statistics add up.
        term: of the models that it publishes; higher than that of its predecessor.

    Attributes:
        refused: hub → why its newest model could not be added.

    Raises:
        TypeError: the learner's statistics do not add up.
    """

    def __init__(self, choice: Choice, term: int = 1) -> None:
        self._trainer = Trainer(choice)
        self._newest: dict[str, Published] = {}
        self._stamp: Stamp = (term, 0)
        self.refused: dict[str, str] = {}
        if not (
            isinstance(choice.learner, _native.Learner) and choice.learner.merge(self._untaught())
        ):
            raise TypeError(f"the statistics of {choice._learner_name} do not add up")

    def _untaught(self) -> _native.Learner:
        choice = self._trainer.choice
        arms = choice._arms
        learner = choice._learner_spec.build(choice.dimension, len(arms.arms), arms.features)
        assert isinstance(learner, _native.Learner)
        return learner

    def take(self, hub: str, published: Published) -> bool:
        """Keeps a hub's model if it is its newest; whether it is.

        Raises:
            ValueError: it is of another kind of choice, or makes no sense.
        """
        stated(published.header)
        if published.header["trainer"].get("kind") != self._trainer.kind:
            raise ValueError("a model of another kind of choice")
        known = self._newest.get(hub)
        if known is not None and published.stamp <= known.stamp:
            return False
        self._newest[hub] = published
        return True

    def merged(self) -> Published:
        """All hubs' lessons in one model.

        A hub is left out, and `refused` says why, if its scales are not the first one's, or if
        it has a stream that another has too (whose lessons would count twice).

        Raises:
            ValueError: no hub has told anything that can be used.
        """
        self.refused = {}
        learner = self._untaught()
        arrays: dict[str, Any] = {}
        positions: dict[str, int] = {}
        lessons: dict[str, int] = {}
        for hub in sorted(self._newest):
            found = self._newest[hub]
            if problem := self._add(learner, found, arrays, lessons):
                self.refused[hub] = problem
                continue
            theirs, counts = stated(found.header)
            positions |= theirs
            lessons |= counts
            header = found.header
        if not arrays:
            raise ValueError(f"no hub has told anything that can be used: {self.refused}")
        self._stamp = (self._stamp[0], self._stamp[1] + 1)
        trainer = header["trainer"] | {
            "lessons": lessons,
            "term": self._stamp[0],
            "version": self._stamp[1],
        }
        journaled = header["journal"] | {"positions": positions}
        arrays |= learner.state()
        return Published(self._stamp, header | {"journal": journaled, "trainer": trainer}, arrays)

    def _add(
        self,
        learner: _native.Learner,
        found: Published,
        arrays: dict[str, Any],
        lessons: Mapping[str, int],
    ) -> str:
        scales, statistics = scales_of(found.arrays)
        if arrays:
            for name, values in scales.items():
                if name != "schema.seen" and not np.array_equal(values, arrays[name]):
                    return f"its {name} are not those of the others"
        if twice := set(stated(found.header)[1]) & set(lessons):
            return f"it has the stream {min(twice)}, which another has too"
        other = self._untaught()
        try:
            other.restore(statistics)
        except ValueError as error:
            return str(error)
        if not learner.merge(other):
            return "its statistics do not add up"
        if not arrays:
            arrays |= found.arrays
        else:
            arrays["schema.seen"] = arrays["schema.seen"] | scales["schema.seen"]
            arrays["lessons"] = arrays["lessons"] + found.arrays["lessons"]
            # Comparisons do not add up; each hub has its own.
            for name in [n for n in arrays if n.startswith("holdback.")]:
                arrays[name] = np.zeros_like(arrays[name])
        return ""


class RootHub:
    """A root that asks its hubs for models, keeps their sum, and has them answer with it.

    Args:
        url: where it keeps its models, by which a successor knows what term it is: a path for
            fsspec, none of the hubs'.
        hubs: in the order that `shard_of` counts.
        publish_seconds: between two rounds.
        start: whether a background thread does it; else whoever calls `step`.
    """

    def __init__(
        self,
        url: str,
        hubs: Sequence[ShardLine],
        *,
        publish_seconds: float = 1.0,
        start: bool = False,
    ) -> None:
        self._checkpoints = Checkpoints(url)
        self._hubs = hubs
        self._publish_seconds = publish_seconds
        self._root: Root | None = None
        self._term = self._checkpoints.term() + 1
        self._seen: dict[int, Stamp] = {}
        self.stamp: Stamp = NONE
        self.model: bytes | None = None
        self.errors: list[str] = []
        self._background = Background("acumen-root", self._run)
        if start:
            self._background.start()

    def step(self) -> None:
        """One round: asks all hubs, publishes if there is news, and passes it on."""
        relayed: dict[int, Stamp] = {}
        news = False
        for number in range(len(self._hubs)):
            news = self._ask(number, relayed) or news
        if news:
            self._publish()
        for number, stamp in relayed.items():
            if self.model is not None and stamp < self.stamp:
                try:
                    self._hubs[number].relay(self.stamp, self.model)
                except OSError as error:
                    self._note(f"hub {number}: {error}")

    def look(self, span: str, whole: bool) -> bytes:
        """What a page shows of it: see `ledger.look_at_root`."""
        return look_at_root(self, self._checkpoints)

    def state(self) -> dict[str, Any]:
        """Counters, for people."""
        refused = dict(self._root.refused) if self._root else {}
        return {"stamp": self.stamp, "refused": refused, "errors": tuple(self.errors)}

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._publish_seconds):
            try:
                self.step()
            except Exception as error:  # whatever it is, the thread must not end in silence
                self._note(str(error) or type(error).__name__)

    def _ask(self, number: int, relayed: dict[int, Stamp]) -> bool:
        try:
            stamp, model, has = self._hubs[number].model_since(self._seen.get(number, NONE))
            relayed[number] = has
            if model is None:
                return False
            published = Published(stamp, *model_file.decode(model))
            if self._root is None:
                info = JournalInfo.from_json(published.header["trainer"]["info"])
                self._root = Root(choice_of_journal(info), self._term)
            self._seen[number] = stamp
            return self._root.take(str(number), published)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._note(f"hub {number}: {error}")
            return False

    def _publish(self) -> None:
        assert self._root is not None
        try:
            merged = self._root.merged()
            self._checkpoints.write(merged)
        except Exception as error:  # file systems of fsspec raise whatever their libraries do
            self._note(str(error) or type(error).__name__)
            return
        self.model = model_file.encode(merged.header, merged.arrays)
        self.stamp = merged.stamp

    def _note(self, error: str) -> None:
        self.errors = [*self.errors, error][-ERRORS_MAX:]
