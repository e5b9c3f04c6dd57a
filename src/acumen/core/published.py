"""Models that a trainer has published in a journal's directory, and who the trainer is.

Beside the segments of a choice lies a folder for every kind of it (see `twin.kind_of`)::

    DIR/codec/_models/9f3c02ab77d1/
        lock                                locked (`flock`) by the trainer, who touches it
        00000003.term                       terms that were claimed
        model-00000003-0000000127.acumen    term and version; the newest few are kept
        checkpoint-00000003-0000000120.acumen    the same with all that a successor needs
        home                                the folder's name, where several hubs share the work

Every file is written under another name, synced and renamed, so a reader sees it whole or not at
all. A trainer claims a *term* by creating its file, which only one can; its models bear it, and
readers take the newest (term, version). So a trainer that was paused, and whose lock somebody else
has taken meanwhile, cannot put an older model over a newer one: what it still writes is older.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acumen.core import model_file
from acumen.core.array_file import Arrays, make_folder, sync_folder
from acumen.core.journal_segments import try_lock

MODELS = "_models"  # readers of Arrow pass by what begins so
Stamp = tuple[int, int]
NONE: Stamp = (0, 0)
_NAME = re.compile(r"(model|checkpoint)-([0-9]{8})-([0-9]{10})\.acumen")
_TERM = re.compile(r"([0-9]{8})\.term")


@dataclass(frozen=True)
class Published:
    """A model that a trainer has published.

    Attributes:
        stamp: its trainer's term, and its version.
        header: as `Choice.save` writes it, and `trainer`: see `trainer.Trainer`.
        arrays: the model's.
    """

    stamp: Stamp
    header: dict[str, Any]
    arrays: Arrays


class ModelFolder:
    """The models of one kind of choice in a directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Files that cannot be used are told once, not at every look.
        self._bad: set[str] = set()

    def files(self, what: str = "model") -> list[tuple[Stamp, Path]]:
        """All of them, the newest first; `what`: ``model`` or ``checkpoint``."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(self.folder):
                match = _NAME.fullmatch(entry.name)
                if match and match[1] == what:
                    found.append(((int(match[2]), int(match[3])), self.folder / entry.name))
        return sorted(found, reverse=True)

    def newer(self, than: Stamp, problems: list[str], what: str = "model") -> Published | None:
        """The newest model that can be read and is newer; None if there is none.

        Args:
            than: term and version.
            problems: what cannot be read is told here, once.
            what: ``model`` or ``checkpoint``.

        Raises:
            OSError: the folder cannot be read.
        """
        for stamp, path in self.files(what):
            if stamp <= than:
                break
            if path.name in self._bad:
                continue
            try:
                header, arrays = model_file.read(path)
            except FileNotFoundError:
                continue  # a newer one is there, and this one was too old
            except (model_file.ModelError, OSError) as error:
                self._bad.add(path.name)
                problems.append(str(error))
                continue
            return Published(stamp, header, arrays)
        return None

    def give_up(self, stamp: Stamp, what: str = "model") -> None:
        """A file that can be read, but not used, is not to be read again."""
        self._bad.add(f"{what}-{stamp[0]:08d}-{stamp[1]:010d}.acumen")

    def write(self, published: Published, what: str = "model") -> None:
        """Makes a model, or a checkpoint, visible; durable on return.

        Raises:
            ModelError: it is larger than a model may be; nothing has changed.
            OSError: it cannot be written; likewise.
        """
        make_folder(self.folder)
        term, version = published.stamp
        path = self.folder / f"{what}-{term:08d}-{version:010d}.acumen"
        model_file.write(path, published.header, published.arrays)

    def prune(self, keep: int, upto: Stamp) -> None:
        """Deletes all but the newest `keep` of what is no newer than `upto`, and old terms."""
        for what in ("model", "checkpoint"):
            mine = [path for stamp, path in self.files(what) if stamp <= upto]
            for path in mine[keep:]:
                path.unlink(missing_ok=True)
        for term, path in self._terms():
            if term < upto[0]:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(".*.acumen.*"):  # of writers that were killed
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > 60:
                    path.unlink()

    def home(self) -> str:
        """A name for this folder that it keeps: drawn by whoever asks first.

        Raises:
            OSError: it cannot be read, or written.
        """
        path = self.folder / "home"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text()
        make_folder(self.folder)
        drawn = path.with_name(f".home.{os.getpid()}")
        drawn.write_text(secrets.token_hex(16))
        try:
            with contextlib.suppress(FileExistsError):
                os.link(drawn, path)  # whole, and only once
        finally:
            drawn.unlink()
        sync_folder(self.folder)
        return path.read_text()

    def _terms(self) -> list[tuple[int, Path]]:
        names = [(_TERM.fullmatch(e.name), e.name) for e in os.scandir(self.folder)]
        return sorted((int(match[1]), self.folder / name) for match, name in names if match)

    def claim_term(self) -> int:
        """A term that nobody else has, behind all that there were.

        Raises:
            OSError: the folder cannot be written.
        """
        known = [term for term, _ in self._terms()] + [s[0] for s, _ in self.files()[:1]]
        term = max(known, default=0)
        while True:
            term += 1
            path = self.folder / f"{term:08d}.term"
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                return term


class Candidacy:
    """One process's attempt to be the trainer, and its office once it is.

    Args:
        models: whose trainer.
        patience_s: seconds without a sign of life after which the holder is given up: it hangs,
            or is paused. (The lock of one that died is free at once.)
    """

    def __init__(self, models: ModelFolder, patience_s: float) -> None:
        self._models = models
        self._path = models.folder / "lock"
        self._patience_s = patience_s
        self._descriptor, self._process = -1, 0
        # The holder's last sign of life, and when it was seen, on this process's own clock: what
        # the wall clocks say does not matter.
        self._sign: tuple[int, int] = (0, 0)
        self._seen_s = 0.0

    @property
    def elected(self) -> bool:
        """Whether this process holds the lock that the path names; it may have lost it."""
        if self._descriptor < 0:
            return False
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._descriptor), os.stat(self._path)):
                return True
        self.resign()
        return False

    def stand(self) -> int | None:
        """Tries to become the trainer. The new term, or None: somebody else is it.

        Raises:
            OSError: the folder cannot be written.
        """
        make_folder(self._models.folder)
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        if not try_lock(descriptor):
            sign = os.fstat(descriptor)
            os.close(descriptor)
            if not self._gave_up((sign.st_ino, sign.st_mtime_ns)):
                return None
            descriptor = self._replace()
        self._descriptor, self._process = descriptor, os.getpid()
        # Deleted or replaced before it was locked?
        return self._models.claim_term() if self.elected else None

    def _gave_up(self, sign: tuple[int, int]) -> bool:
        now = time.monotonic()
        if sign != self._sign:
            self._sign, self._seen_s = sign, now
        return now - self._seen_s > self._patience_s

    def _replace(self) -> int:
        """A lock of our own in place of one whose holder shows no life; it will notice."""
        fresh = self._path.with_name(f".lock.{os.getpid()}")
        descriptor = os.open(fresh, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        if not try_lock(descriptor):
            raise OSError(f"{fresh} is locked")
        os.replace(fresh, self._path)
        return descriptor

    def show_life(self) -> None:
        """Tells those who would stand in that the trainer is well."""
        with contextlib.suppress(OSError):
            os.utime(self._descriptor)

    def resign(self) -> None:
        """Lets the lock go; in a forked child only the child's hold on it."""
        if self._descriptor >= 0:
            if self._process == os.getpid():  # children that hold the file too do not keep it
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = -1
