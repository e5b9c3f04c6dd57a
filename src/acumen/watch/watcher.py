"""Follows a journal directory in a thread of its own, and answers what the page asks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from acumen.core.journal_segments import choice_of, is_locked, segments_in
from acumen.core.journal_tail import Absences, JournalTail
from acumen.watch.snapshot import RANGES, details, summary
from acumen.watch.view import ChoiceView

CHOICES_MAX = 200
POLL_SECONDS = 0.5
HEALTH_SECONDS = 2.0
STOP_SECONDS = 30.0  # a thread that is still reading when the interpreter ends would abort it


class _Followed:
    """One choice: its view, its tail, and what its files look like."""

    def __init__(self, folder: Path) -> None:
        self.view = ChoiceView(choice_of(folder))
        self.tail = JournalTail(folder)
        self.positions: dict[str, int] = {}
        self._absences = Absences()
        self.refused = 0
        self.health: dict[str, Any] = {}
        self.look()

    def forget(self) -> None:
        """Streams that have lost their last file to retention: they do not come back.

        Where no stream has any, it is not that: a disk was taken away, for instance.
        """
        if self.tail.present and self.tail.streams:
            for stream in self._absences.gone(self.positions, self.tail.streams):
                del self.positions[stream]

    def look(self) -> None:
        """The files, without reading them."""
        sealed = live = dead = size = newest = 0
        for segment in segments_in(self.tail.folder):
            try:
                stat = segment.path.stat()
            except OSError:
                continue  # sealed or deleted just now
            size += stat.st_size
            newest = max(newest, stat.st_mtime_ns if stat.st_size else 0)
            if segment.sealed:
                sealed += 1
            elif is_locked(segment.path):
                live += 1
            else:
                dead += 1
        torn = self.tail.torn()
        self.health = {
            "present": self.tail.folder.is_dir(),
            "sealed": sealed,
            "live": live,
            "unsealed": dead,
            "bytes": size,
            "durable": newest / 1e9,
            "torn": [{"name": path.name, "bytes": count} for path, count in torn[:20]],
            "torn_bytes": sum(count for _, count in torn),
            "problems": list(self.tail.problems)[-20:],
            "problem_count": self.tail.problem_count,
        }


class Watcher:
    """What the journal in a directory says, kept up to date.

    Safe from many threads. Reads only; locks of segments are looked at, not held.

    Args:
        directory: where choices write their journals; it may be empty, and vanish for a while.
        only: patterns of the names of those that are followed, as of a shell; none: all.
    """

    def __init__(self, directory: Path, only: Sequence[str] = ()) -> None:
        self.directory = directory
        self._only = tuple(only)
        self.version = 0
        self.reading = True
        self._choices: dict[str, _Followed] = {}
        self._left_out = 0
        self._present = True
        self._trouble = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="acumen-watch", daemon=True)
        self._looked = 0.0

    def start(self) -> None:
        """Begins to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def poll(self) -> bool:
        """Takes what is new; whether there was anything. The thread does this by itself."""
        busy = self._find()
        for followed in list(self._choices.values()):
            for batch in followed.tail.read(followed.positions):
                followed.positions[batch.info.stream] = batch.last
                busy = True
                with self._lock:
                    self._take(followed, batch)
                    self.version += 1
                if self._stop.is_set():
                    return busy
        if busy or time.monotonic() - self._looked > HEALTH_SECONDS:
            self._looked = time.monotonic()
            for followed in list(self._choices.values()):
                followed.forget()
                followed.look()
            self.version += 1
        self.reading = False
        return busy

    def overview(self) -> dict[str, Any]:
        """Every choice in a line."""
        now = time.time()
        with self._lock:
            choices = [summary(f.view, now) for f in self._choices.values()]
        return {
            "source": "journal",
            "directory": str(self.directory),
            "present": self._present,
            "reading": self.reading,
            "now": now,
            "left_out": self._left_out,
            "trouble": self._trouble,
            "choices": sorted(choices, key=lambda c: c["name"]),
        }

    def state(self, choice: str | None, span: str) -> dict[str, Any]:
        """All that the page shows: the overview, and one choice whole (the first, if unnamed)."""
        found = self.overview()
        names = [c["name"] for c in found["choices"]]
        name = choice if choice in names else next(iter(names), None)
        found["selected"] = None
        if name is not None:
            followed = self._by_name(name)
            if followed is not None:
                with self._lock:
                    found["selected"] = details(followed.view, span, found["now"])
                found["selected"]["health"] = followed.health | {"refused": followed.refused}
        return found

    def _by_name(self, name: str) -> _Followed | None:
        return next((f for f in self._choices.values() if f.view.name == name), None)

    def _take(self, followed: _Followed, batch: Any) -> None:
        try:
            followed.view.take(batch)
        # Whatever a stream that its checksums vouch for says of itself, the others are shown.
        except Exception as error:
            followed.refused += 1
            text = f"{batch.info.stream}: events {batch.first} to {batch.last}: {error}"
            followed.tail.problems.append(text[:300])
            followed.tail.problem_count += 1

    def _find(self) -> bool:
        """New choices; whether there were any."""
        try:
            folders = sorted(e.name for e in os.scandir(self.directory) if self._is_wanted(e))
            self._present = True
        except OSError:
            self._present = False
            return False
        found = False
        for name in folders:
            if name in self._choices or not segments_in(self.directory / name):
                continue
            if len(self._choices) >= CHOICES_MAX:
                self._left_out = len(folders) - len(self._choices)
                break
            followed = _Followed(self.directory / name)
            with self._lock:
                self._choices[name] = followed
            found = True
        return found

    def _is_wanted(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_dir():
            return False
        name = choice_of(Path(entry.name))
        return not self._only or any(fnmatchcase(name, pattern) for pattern in self._only)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                busy = self.poll()
                self._trouble = ""
            # The page must not go blind because of one unforeseen file; it says so.
            except Exception as error:
                busy = False
                self._trouble = f"Something here cannot be followed: {error}"[:300]
            self._stop.wait(0.05 if busy and self.reading else POLL_SECONDS)


__all__ = ["RANGES", "Watcher"]
