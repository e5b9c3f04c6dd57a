"""`FleetWatcher`: what the hubs of a cluster know, for the page of `acumen watch`. Knows no Ray."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from acumen.fleet.uplink import HubUnavailableError

POLL_SECONDS = 1.0
ANSWER_SECONDS = 5.0
LATE_SECONDS = 12.0  # longer than a poll takes in which a hub does not answer
FRESH_SECONDS = 0.8  # many pages that look at one choice ask its hub once
ANSWER_BYTES_MAX = 16 << 20
HUBS_MAX = 200
DETAILS_KEPT = 64
_NAME = re.compile(
    r"hub/(?P<choice>.+)/(?P<kind>[0-9a-f]{12})(?:/(?P<part>\d+|root)-of-(?P<of>\d+))?", re.DOTALL
)


class HubsLike(Protocol):
    """The way to all hubs of a cluster; see `cluster.Hubs`."""

    def names(self) -> list[str]:
        """Those that there are.

        Raises:
            HubUnavailableError: the cluster does not answer.
        """
        ...

    def ask(
        self, names: Sequence[str], timeout: float, *arguments: Any
    ) -> dict[str, bytes | HubUnavailableError]:
        """What they say when they are looked at: see `Hub.look`."""
        ...

    def close(self) -> None:
        """Leaves the cluster."""
        ...


@dataclass
class _Seen:
    """A hub, and what it said last."""

    choice: str
    kind: str
    part: str = ""
    of: int = 1
    said: dict[str, Any] = field(default_factory=dict)
    answered_s: float = 0.0
    problem: str = ""

    @classmethod
    def named(cls, name: str) -> _Seen | None:
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        return cls(found["choice"], found["kind"], found["part"] or "", int(found["of"] or 1))

    def label(self, several: bool) -> str:
        """How the page calls it; `several`: there are other kinds of choices of that name."""
        kind = f" · {self.kind[:6]}" if several else ""
        shard = f" · hub {int(self.part) + 1} of {self.of}" if self.part.isdigit() else ""
        return f"{self.choice}{kind}{shard}"


class FleetWatcher:
    """Asks every hub once a second, and one of them all that it knows when somebody looks.

    Safe from many threads; see `acumen.watch.server.Source`. A hub that does not answer is shown
    as it was, with the time since.

    Args:
        hubs: the way to them.
        address: what they are called on the page.
    """

    def __init__(self, hubs: HubsLike, address: str) -> None:
        self.version = 0
        self.reading = True
        self._hubs = hubs
        self._address = address
        self._seen: dict[str, _Seen] = {}
        self._left_out = 0
        self._trouble = ""
        self._details: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        self._polled = time.monotonic()
        self._fetching = threading.Thread()  # one that is not alive
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="acumen-watch-fleet", daemon=True)

    def start(self) -> None:
        """Begins to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and leaves the cluster."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(ANSWER_SECONDS + 1)
        self._hubs.close()

    def poll(self) -> None:
        """Asks all hubs how they are; the thread does this by itself."""
        self._poll()
        self._polled = time.monotonic()
        self.version += 1

    def _poll(self) -> None:
        try:
            names = sorted(n for n in self._hubs.names() if _Seen.named(n) is not None)
            self._trouble = ""
        except HubUnavailableError as error:
            self._trouble = f"The cluster does not answer: {error}"
            return
        self._left_out = max(0, len(names) - HUBS_MAX)
        names = names[:HUBS_MAX]
        answers = self._hubs.ask(names, ANSWER_SECONDS, "5m", False)
        with self._lock:
            self._seen = {name: self._seen.get(name) or _known(name) for name in names}
            for name, answer in answers.items():
                _hear(self._seen[name], answer)
            self.reading = False

    def state(self, choice: str | None, span: str) -> dict[str, Any]:
        """All that the page shows: every choice in a line, one whole (the first, if unnamed)."""
        now = time.time()
        with self._lock:
            labels = self._labels()
            listed = [
                _line(seen, labels[name], now)
                for name, seen in self._seen.items()
                if seen.said.get("choice")
            ]
            silent = sum(1 for seen in self._seen.values() if not seen.said.get("choice"))
        shown = sorted(listed, key=lambda c: c["name"])
        state = {
            "source": "fleet",
            "directory": self._address,
            "present": True,
            "reading": self.reading,
            "now": now,
            "left_out": self._left_out,
            "silent": silent,
            "trouble": self._trouble or self._silence(),
            "choices": shown,
            "selected": None,
        }
        names = {label: name for name, label in labels.items()}
        every = [line["name"] for line in shown]
        # A label may have become longer since: another kind of that name has come.
        wanted = [label for label in every if label == choice or _plain(label, choice)]
        if every:
            label = next(iter(wanted or every))
            state["selected"] = self._whole(names[label], label, span, now)
        return state

    def _silence(self) -> str:
        late = time.monotonic() - self._polled
        if late < LATE_SECONDS:
            return ""
        return f"The cluster has not answered for {late:.0f} s: this is what was known then."

    def _labels(self) -> dict[str, str]:
        kinds: dict[str, set[str]] = {}
        for seen in self._seen.values():
            kinds.setdefault(seen.choice, set()).add(seen.kind)
        return {n: seen.label(len(kinds[seen.choice]) > 1) for n, seen in self._seen.items()}

    def _whole(self, name: str, label: str, span: str, now: float) -> dict[str, Any] | None:
        with self._asking:
            at_s, said = self._details.get((name, span), (0.0, {}))
            # Who has just not answered is not waited for again.
            asks = name in self._seen and not self._seen[name].problem
            if asks and time.monotonic() - at_s > FRESH_SECONDS and not self._fetching.is_alive():
                self._fetching = threading.Thread(
                    target=self._fetch, args=(name, span), name="acumen-watch-ask", daemon=True
                )
                self._fetching.start()
                self._fetching.join(ANSWER_SECONDS + 1)
                said = self._details.get((name, span), (0.0, said))[1]
        with self._lock:
            seen = self._seen.get(name)
            if seen is None or not said:
                return None
            group = [(n, s) for n, s in self._seen.items()
                     if (s.choice, s.kind, s.of) == (seen.choice, seen.kind, seen.of)]  # fmt: skip
            rows = [_hub_line(n, s, now) for n, s in sorted(group)]
            line = _line(seen, label, now)
        whole: dict[str, Any] = said["choice"] | {"name": label, "live": line["live"]}
        whole["fleet"] = said["hub"] | {
            "kind": seen.kind,
            "hubs": rows,
            "hub_now": said["now"],
            "silent_for": line["silent_for"],
        }
        return whole

    def _fetch(self, name: str, span: str) -> None:
        """Asks a hub; in a thread, since a lost cluster may block a call for minutes."""
        found = _parsed(self._hubs.ask([name], ANSWER_SECONDS, span, True)[name])
        said = self._details.get((name, span), (0.0, {}))[1]
        if isinstance(found, dict) and found.get("choice"):
            said = found
        self._details[name, span] = (time.monotonic(), said)
        while len(self._details) > DETAILS_KEPT:
            del self._details[next(iter(self._details))]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.poll()
            # The page must not go blind because of one unforeseen answer; it says so.
            except Exception as error:
                self._trouble = f"Something here cannot be followed: {error}"[:300]
                self.version += 1
            self._stop.wait(POLL_SECONDS)


def _known(name: str) -> _Seen:
    seen = _Seen.named(name)
    assert seen is not None
    return seen


def _plain(label: str, asked: str | None) -> bool:
    return asked is not None and label.startswith(f"{asked} · ")


def _parsed(answer: bytes | HubUnavailableError) -> dict[str, Any] | str:
    """What a hub said; or in words why that is of no use."""
    if isinstance(answer, HubUnavailableError):
        return str(answer)
    if not isinstance(answer, bytes) or len(answer) > ANSWER_BYTES_MAX:
        return "an answer that is too large, or none"
    try:
        said = json.loads(answer)
        if isinstance(said, dict) and isinstance(said["hub"], dict) and "choice" in said:
            return said
    except (ValueError, KeyError, RecursionError):
        pass
    return "an answer that makes no sense"


def _hear(seen: _Seen, answer: bytes | HubUnavailableError) -> None:
    said = _parsed(answer)
    if isinstance(said, str):
        seen.problem = said
    else:
        seen.said, seen.problem, seen.answered_s = said, "", time.time()


def _line(seen: _Seen, label: str, now: float) -> dict[str, Any]:
    line: dict[str, Any] = seen.said["choice"] | {"name": label, "silent_for": 0.0}
    if seen.problem:
        line |= {"live": False, "silent_for": now - seen.answered_s}
    return line


def _hub_line(name: str, seen: _Seen, now: float) -> dict[str, Any]:
    """A hub among those of its choice."""
    part = "root" if seen.part == "root" else f"hub {int(seen.part) + 1}" if seen.part else "hub"
    said = seen.said.get("hub", {})
    wanted = ("process", "since", "stamp", "lessons", "streams", "calls", "events", "refused",
              "checkpoints", "checkpoint", "checkpoint_s")  # fmt: skip
    return {"name": name, "part": part, "answered": seen.answered_s, "problem": seen.problem,
            **{key: said.get(key) for key in wanted}, "now": seen.said.get("now", now)}  # fmt: skip
