"""Several hubs, each for some of the streams, and a root that adds their statistics up.

Where a learner's statistics are sums (`Learner.merge`: the linear ones, without forgetting), hubs
can share the work: each learns from its own streams, and the root merges what they have learned.
Sums of differently scaled values mean nothing, so all begin with the scales of one settled model,
and the root refuses a hub that has chosen others meanwhile.

All streams of a directory go to one hub, which the directory's own name says, whoever ships them:
so feedback that another process has heard finds its decision. The root keeps the newest model of
each hub and adds up those, never differences: what comes twice, or late, changes nothing. The sum
goes back to the hubs, who answer with it: nobody but they ask the root, however large the fleet.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from acumen import _native
from acumen.core import model_file
from acumen.core.background import Background
from acumen.core.journal_format import JournalInfo
from acumen.core.learner import build
from acumen.core.published import NONE, Published, Stamp
from acumen.core.trainer import Trainer, scales_of, taught_in
from acumen.fleet.checkpoints import Checkpoints
from acumen.fleet.hub import ERRORS_MAX, Reply, Shown
from acumen.fleet.ledger import look_at_root
from acumen.fleet.uplink import Exchange
from acumen.fleet.wire import stream_of
from acumen.learners.described import choice_of_journal

if TYPE_CHECKING:
    from acumen.core.choice import Choice


class ShardLine(Protocol):
    """A root's way to one hub; see `Hub`. It raises HubUnavailableError where there is none."""

    def model_since(self, have: Stamp) -> tuple[Shown | None, Stamp, Stamp]:
        """The hub's own model, if it is newer, and the stamp of what it relays."""
        ...

    def relay(self, shown: Shown) -> None:
        """What the hub is to answer with."""
        ...


def shard_of(home: str, shards: int) -> int:
    """The hub that a directory's new streams go to, of `shards`."""
    digest = hashlib.blake2b(home.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % shards


class Shards:
    """Asks several hubs as if they were one; an `Exchange` for one directory.

    A stream stays with the hub that has something of it. Whoever begins to ask does not know which
    one that is, for the directory may have had another name: so the first time it asks all.

    Args:
        hubs: in the order that `shard_of` counts.
        home: tells the directory's name; see `ModelFolder.home`.
    """

    def __init__(self, hubs: Sequence[Exchange], home: Callable[[], str]) -> None:
        self._hubs, self._home = hubs, home
        self._owner: dict[str, int] | None = None
        self._own = 0

    def __call__(
        self,
        batches: Sequence[tuple[bytes, int]],
        have: Stamp,
        streams: Sequence[str],
        gone: Sequence[str] = (),
    ) -> Reply:
        """See `Hub.exchange`; one that does not answer makes the call fail, to be made again."""
        if self._owner is None:
            self._own = shard_of(self._home(), len(self._hubs))
            self._owner = self._look(have, [*streams, *gone])
        parts: dict[int, list[tuple[bytes, int]]] = {self._own: []}
        for contents, after in batches:
            shard = self._owner.get(stream_of(contents), self._own)
            parts.setdefault(shard, []).append((contents, after))
        for stream in (*streams, *gone):
            parts.setdefault(self._owner.get(stream, self._own), [])
        whole = Reply()
        for shard, mine in parts.items():
            ended = [s for s in gone if self._owner.get(s, self._own) == shard]
            # All are asked of the model, which is that of all hubs at one moment; of what it has
            # taken each hub for itself.
            reply = self._hubs[shard](mine, max(have, whole.stamp), streams, ended)
            newer = reply if reply.model is not None else whole
            whole = Reply(
                whole.taken | self._of(shard, reply.taken),
                whole.durable | self._of(shard, reply.durable),
                newer.stamp,
                newer.model,
                newer.positions,
                newer.lessons,
                whole.foreign | reply.foreign,
                whole.problems + reply.problems,
            )
        for stream in gone:
            self._owner.pop(stream, None)
        return whole

    def _look(self, have: Stamp, streams: Sequence[str]) -> dict[str, int]:
        """Which hub has which stream, where it is not the directory's own."""
        newest = max(have, (1 << 62, 0))  # models are not wanted
        return {
            stream: shard
            for shard, hub in enumerate(self._hubs)
            for stream, number in hub((), newest, streams, ()).taken.items()
            if number and shard != self._own
        }

    def _of(self, shard: int, numbers: Mapping[str, int]) -> dict[str, int]:
        assert self._owner is not None
        return {s: n for s, n in numbers.items() if self._owner.get(s, self._own) == shard}


def must_add_up(choice: Choice) -> None:
    """Whether several hubs can share the work of teaching such a choice.

    Raises:
        TypeError: they cannot: its learner's statistics do not add up.
    """
    one, other = _untaught(choice), _untaught(choice)
    if not (isinstance(one, _native.Learner) and one.merge(other)):
        raise TypeError(
            f"the statistics of {choice._learner_name} do not add up, so several hubs cannot share "
            "the work: one can do it all, see start_hub"
        )


def _untaught(choice: Choice) -> Any:
    return build(choice._learner_spec, choice.dimension, choice._arms)


class Root:
    """Adds up what hubs have learned.

    Args:
        choice: of the kind that the hubs teach, with a native learner whose statistics add up.
        term: of the models that it publishes; higher than that of its predecessor.

    Attributes:
        refused: hub → why its newest model could not be added.
        positions: stream → number of the last event in the sum, as it was made last.
        lessons: stream → how many lessons of its are in there.

    Raises:
        TypeError: the learner's statistics do not add up.
    """

    def __init__(self, choice: Choice, term: int = 1) -> None:
        must_add_up(choice)
        self._trainer = Trainer(choice)
        self._newest: dict[str, tuple[Shown, Published]] = {}
        self._stamp: Stamp = (term, 0)
        self.positions: dict[str, int] = {}
        self.lessons: dict[str, int] = {}
        self.refused: dict[str, str] = {}

    def begin_term(self, term: int) -> None:
        """What is published from now on is of this term."""
        self._stamp = (term, 0)

    def take(self, hub: str, shown: Shown) -> bool:
        """Keeps a hub's model if it is its newest; whether it is.

        Raises:
            ValueError: it is of another kind of choice, or makes no sense.
        """
        published = Published(shown.stamp, *model_file.decode(shown.model or b""))
        taught_in(published.header)
        if published.header["trainer"].get("kind") != self._trainer.kind:
            raise ValueError("a model of another kind of choice")
        known = self._newest.get(hub)
        if known is not None and published.stamp <= known[0].stamp:
            return False
        self._newest[hub] = (shown, published)
        return True

    def merged(self) -> Published:
        """All hubs' lessons in one model; of which events it contains `positions` tells.

        A hub is left out, and `refused` says why, if its scales are not the first one's, or if
        it has a stream that another has too (whose lessons would count twice).

        Raises:
            ValueError: no hub has told anything that can be used.
        """
        self.refused = {}
        learner = _untaught(self._trainer.choice)
        arrays: dict[str, Any] = {}
        positions: dict[str, int] = {}
        lessons: dict[str, int] = {}
        taught = 0
        for hub in sorted(self._newest):
            shown, found = self._newest[hub]
            twice = shown.lessons.keys() & lessons.keys()
            if problem := self._add(learner, found, arrays, twice):
                self.refused[hub] = problem
                continue
            positions |= shown.positions
            lessons |= shown.lessons
            taught += taught_in(found.header)
            header = found.header
        if not arrays:
            raise ValueError(f"no hub has told anything that can be used: {self.refused}")
        self._stamp = (self._stamp[0], self._stamp[1] + 1)
        self.positions, self.lessons = positions, lessons
        trainer = header["trainer"] | {
            "taught": taught,
            "term": self._stamp[0],
            "version": self._stamp[1],
        }
        arrays |= learner.state()
        return Published(self._stamp, header | {"trainer": trainer}, arrays)

    def _add(
        self,
        learner: _native.Learner,
        found: Published,
        arrays: dict[str, Any],
        twice: Set[str],
    ) -> str:
        scales, statistics = scales_of(found.arrays)
        if arrays:
            for name, values in scales.items():
                if name != "schema.seen" and not np.array_equal(values, arrays[name]):
                    return f"its {name} are not those of the others"
        if twice:
            return f"it has the stream {min(twice)}, which another has too"
        other = _untaught(self._trainer.choice)
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

    A sum without one hub's lessons would take them from everybody who has had them. So a root,
    which remembers nothing of its predecessor's hubs, publishes nothing before it has heard all of
    its own: a model of theirs that it can use, or that they have learned nothing yet.

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
        self._unheard = set(range(len(hubs)))
        self._news = False  # something is not in the sum that is shown
        self._heard: Stamp = NONE  # the newest that any machine has
        self.shown = Shown()
        self.errors: list[str] = []
        self._background = Background("acumen-root", self._run)
        if start:
            self._background.start()

    def step(self) -> None:
        """One round: asks all hubs, publishes if there is news of all, and passes it on."""
        relayed: dict[int, Stamp] = {}
        for number in range(len(self._hubs)):
            self._news = self._ask(number, relayed) or self._news
        if self._heard > self.shown.stamp and self._heard[0] >= self._term and self._root:
            # A predecessor's, of which the checkpoints tell nothing: see `Hub`.
            self._term = self._heard[0] + 1
            self._root.begin_term(self._term)
            self._news = True
        if self._news and not self._unheard:
            self._publish()
        for number, stamp in relayed.items():
            if self.shown.model is not None and stamp < self.shown.stamp:
                try:
                    self._hubs[number].relay(self.shown)
                except OSError as error:
                    self._note(f"hub {number}: {error}")

    def look(self, span: str, whole: bool) -> bytes:
        """What a page shows of it: see `ledger.look_at_root`."""
        return look_at_root(self, self._checkpoints)

    def state(self) -> dict[str, Any]:
        """Counters, for people."""
        refused = dict(self._root.refused) if self._root else {}
        return {
            "stamp": self.shown.stamp,
            "refused": refused,
            "unheard": sorted(self._unheard),
            "errors": tuple(self.errors),
        }

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._publish_seconds):
            try:
                self.step()
            except Exception as error:  # whatever it is, the thread must not end in silence
                self._note(str(error) or type(error).__name__)

    def _ask(self, number: int, relayed: dict[int, Stamp]) -> bool:
        try:
            seen = self._seen.get(number, NONE)
            shown, relayed[number], heard = self._hubs[number].model_since(seen)
            self._heard = max(self._heard, heard)
            if shown is None or shown.model is None:
                if number not in self._seen:  # else its model was shown, and could not be used
                    self._unheard.discard(number)
                return False
            if self._root is None:
                header, _ = model_file.decode(shown.model)
                info = JournalInfo.from_json(header["trainer"]["info"])
                self._root = Root(choice_of_journal(info), self._term)
            self._seen[number] = shown.stamp
            newer = self._root.take(str(number), shown)
            self._unheard.discard(number)
            return newer
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._note(f"hub {number}: {error}")
            return False

    def _publish(self) -> None:
        assert self._root is not None
        try:
            merged = self._root.merged()
            self._checkpoints.write(merged)
            model = model_file.encode(merged.header, merged.arrays)
        except Exception as error:  # file systems of fsspec raise whatever their libraries do
            self._note(str(error) or type(error).__name__)
            return
        self._news = False
        self.shown = Shown(merged.stamp, model, self._root.positions, self._root.lessons)

    def _note(self, error: str) -> None:
        self.errors = [*self.errors, error][-ERRORS_MAX:]
