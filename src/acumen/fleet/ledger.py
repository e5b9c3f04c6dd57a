"""`Ledger`: what a hub has been told, for people who look at it.

Counting events for a page costs two to four times what learning from them does. So a hub at which
nobody looks counts nothing but who was heard: it keeps the batches of late as the bytes that came,
a bounded number (once read, small batches take many times as much). Who looks has them counted,
into the view that `acumen watch` makes of a journal.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import OrderedDict, deque
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from acumen.core.comparison import Comparison
from acumen.core.published import NONE, Stamp
from acumen.fleet.wire import decode
from acumen.watch.joining import Compared
from acumen.watch.snapshot import details, finite, summary
from acumen.watch.view import ChoiceView

if TYPE_CHECKING:
    from acumen.core.choice import Choice
    from acumen.core.journal import EventBatch
    from acumen.fleet.checkpoints import Checkpoints
    from acumen.fleet.hub import Hub
    from acumen.fleet.sharding import RootHub

KEPT_BYTES = 32 << 20
LOOK_SECONDS = 0.2  # of each second, for counting, whoever looks: the hub has other things to do
STREAMS_KEPT, STREAMS_SHOWN = 1000, 60
WORDS_KEPT = 20
WORD_MAX = 300


@dataclass
class Heard:
    """One process's stream, as the hub has heard it.

    Attributes:
        heard_s: when a batch of it came last, by the hub's clock.
        batches: that came.
        events: new ones in them.
        repeated: batches with nothing new in them.
        early: batches that came before the ones before them.
        have: the model that its machine had then.
    """

    heard_s: float = 0.0
    batches: int = 0
    events: int = 0
    repeated: int = 0
    early: int = 0
    have: Stamp = NONE


class _HubView(ChoiceView):
    """A page's view whose comparison is the hub's own: it covers what nobody has looked at, too."""

    def __init__(self, choice: Choice) -> None:
        super().__init__(choice.name)
        self._choice = choice

    @property
    def comparison(self) -> Comparison:
        return self._choice.comparison()

    def _compare(self, found: Compared) -> None:
        """Nothing: `note_comparison` puts the hub's into the curve whenever somebody looks."""

    def note_comparison(self, now_s: float) -> None:
        said = self.comparison
        low, high = finite(said.low), finite(said.high)
        if low is not None and high is not None:
            values = {"looks": 1.0, "difference": said.difference, "low": low, "high": high}
            self.series.put(int(now_s), values)


class Ledger:
    """Who was heard, and what they said of late. Not thread-safe; never raises.

    Attributes:
        since_s: when it began.
        calls: exchanges.
        heard: stream → what is known of it, the one heard of last at the end; `STREAMS_KEPT`.
        refused: batches that were damaged, foreign, or could not be counted.
        refusals: the last of these, in words.
        uncounted: events that were let go of before anybody looked.
    """

    def __init__(self) -> None:
        self.since_s = time.time()
        self.calls = self.refused = self.uncounted = 0
        self.heard: OrderedDict[str, Heard] = OrderedDict()
        self.refusals: deque[str] = deque(maxlen=WORDS_KEPT)
        # As it came, number of the stream's last event before, and how many new ones it has.
        self._waiting: deque[tuple[bytes, int, int]] = deque()
        self._bytes = 0
        self._view: _HubView | None = None
        # Counting of the last second: until when it is to be thought of, and how long it took.
        self._counted: deque[tuple[float, float]] = deque()

    def note(
        self, contents: bytes, batch: EventBatch, known: int, outcome: str, have: Stamp
    ) -> None:
        """A batch that the hub's trainer has been given.

        Args:
            contents: as it came; see `wire.encode`.
            batch: what was read from that.
            known: number of the stream's last event that the trainer had before.
            outcome: what `Trainer.take` answered.
            have: the model that the sender has.
        """
        stream = batch.info.stream
        heard = self.heard.setdefault(stream, Heard())
        self.heard.move_to_end(stream)
        if len(self.heard) > STREAMS_KEPT:
            self.heard.popitem(last=False)
        heard.heard_s, heard.have = time.time(), have
        heard.batches += 1
        heard.early += outcome == "early"
        heard.repeated += outcome == "known"
        if outcome != "applied":
            return
        events = _after(batch, known).rows.num_rows
        heard.events += events
        self._waiting.append((contents, known, events))
        self._bytes += len(contents)
        while self._bytes > KEPT_BYTES:
            self.uncounted += self._next()[2]

    def refuse(self, why: str) -> None:
        """A batch that could not be used."""
        self.refused += 1
        self.refusals.append(why[:WORD_MAX])

    def view(self, choice: Choice) -> ChoiceView:
        """What was said of late, counted as far as there is time for that."""
        if self._view is None:
            self._view = _HubView(choice)
        if self._waiting:
            self._count(self._view)
        self._view.note_comparison(time.time())
        return self._view

    def _count(self, view: _HubView) -> None:
        """Counts what waits, until looks of the last second have taken `LOOK_SECONDS` together."""
        now = began = time.monotonic()
        while self._counted and self._counted[0][0] <= now:
            self._counted.popleft()
        deadline = now + LOOK_SECONDS - sum(took for _, took in self._counted)
        while self._waiting and now < deadline:
            contents, known, _ = self._next()
            batch = decode(contents)  # as it was when it came
            try:
                view.take(_after(batch, known))
            except Exception as error:  # whatever a stream says of itself, the others are shown
                self.refuse(f"{batch.info.stream}: {error}")
            now = time.monotonic()
        if now > began:
            # One batch may have taken longer than it should: the hub rests in proportion.
            rest = max(1.0, (now - began) / LOOK_SECONDS)
            self._counted.append((now + rest, now - began))

    def _next(self) -> tuple[bytes, int, int]:
        oldest = self._waiting.popleft()
        self._bytes -= len(oldest[0])
        return oldest

    @property
    def behind(self) -> bool:
        """Whether there was more than there was time to count."""
        return bool(self._waiting)


def _after(batch: EventBatch, known: int) -> EventBatch:
    """What is new in a batch of which the events up to `known` were there already."""
    if batch.first > known:
        return batch
    rows = batch.rows.filter(pc.greater(batch.rows.column("sequence"), known))
    return replace(batch, first=known + 1, rows=rows)


def look_at_hub(hub: Hub, checkpoints: Checkpoints, span: str, whole: bool) -> bytes:
    """A hub as a page shows it: JSON with `hub`, and `choice` as `acumen.watch` has it, or null.

    Args:
        hub: which.
        checkpoints: its.
        span: a range of `acumen.watch.snapshot.RANGES`.
        whole: the choice with all its curves, and the processes; else in a line.
    """
    trainer, ledger, now = hub.trainer, hub.ledger, time.time()
    choice = None
    if trainer is not None:
        view = ledger.view(trainer.choice)
        choice = details(view, span, now) if whole else summary(view, now)
    report = asdict(trainer.report) if trainer else {}
    foreign = report.pop("foreign", {})
    said: dict[str, Any] = {
        "process": os.getpid(),
        "since": ledger.since_s,
        "stamp": hub.stamp,
        "lessons": trainer.choice.model_version if trainer else 0,
        "streams": len(trainer.positions) if trainer else 0,
        "calls": ledger.calls,
        "events": report.get("events", 0),
        "refused": ledger.refused,
        "uncounted": ledger.uncounted,
        "behind": ledger.behind,
        **_kept(checkpoints),
    }
    if whole:
        said["report"] = report
        said["foreign"] = dict(list(foreign.items())[:WORDS_KEPT])
        said["problems"] = [*ledger.refusals, *_words(hub.errors)]
        newest = sorted(ledger.heard.items(), key=lambda item: -item[1].heard_s)
        said["heard"] = [{"name": n, **asdict(h)} for n, h in newest[:STREAMS_SHOWN]]
        said["heard_count"] = len(newest)
    return json.dumps({"now": now, "hub": said, "choice": choice}, allow_nan=False).encode()


def look_at_root(root: RootHub, checkpoints: Checkpoints) -> bytes:
    """The root of several hubs, as `look_at_hub`."""
    state = root.state()
    said = {
        "process": os.getpid(),
        "stamp": root.shown.stamp,
        "problems": [f"hub {number}: awaited, to publish" for number in state["unheard"]]
        + [f"hub {name}: left out: {why}" for name, why in state["refused"].items()]
        + _words(root.errors),
        **_kept(checkpoints),
    }
    return json.dumps({"now": time.time(), "hub": said, "choice": None}).encode()


def _kept(checkpoints: Checkpoints) -> dict[str, Any]:
    stamp, at_s = checkpoints.written
    # A path for fsspec may have a password in it.
    url = re.sub(r"//[^/@]*@", "//…@", checkpoints.url)
    return {"checkpoints": url, "checkpoint": stamp, "checkpoint_s": at_s,
            "errors": len(checkpoints.problems)}  # fmt: skip


def _words(errors: list[str]) -> list[str]:
    return [error[:WORD_MAX] for error in errors[-WORDS_KEPT:]]
