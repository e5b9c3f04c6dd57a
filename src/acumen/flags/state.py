"""What a tuning keeps beside its search, in the same file: whose it is, and what was spent."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from acumen.flags.subject import TuneError
from acumen.learners.search.store import is_alive, this_process


class State:
    """A few facts in a table of their own; in memory without a file.

    Args:
        file: the search's SQLite file, already made; None: nothing is kept.
        fingerprint: whose it is.

    Raises:
        TuneError: the file is another tuning's, is in use, or cannot be written.
    """

    def __init__(self, file: Path | None, fingerprint: str) -> None:
        self._file = file
        self._connection = sqlite3.connect(
            ":memory:" if file is None else file, timeout=30, isolation_level=None
        )
        try:
            self._open(fingerprint)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, fingerprint: str) -> None:
        with self._explained():
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS tuning (name TEXT PRIMARY KEY, content TEXT NOT NULL)"
            )
            self._connection.execute("BEGIN IMMEDIATE")
            found = dict(self._connection.execute("SELECT name, content FROM tuning"))
            if found.get("subject", fingerprint) != fingerprint:
                raise TuneError(
                    f"{self._file} belongs to another tuning: its command, metric or check differs"
                )
            user = found.get("user")
            # A process that is no more holds nothing.
            if user and user != this_process() and is_alive(user):
                host, pid, _ = json.loads(user)
                raise TuneError(f"{self._file} is in use: process {pid} of {host} tunes with it")
            self._set("subject", fingerprint)
            self._set("user", this_process())
            self._connection.execute("COMMIT")
        try:
            self.spent = float(found.get("spent", "0"))
            self.confirmations = int(found.get("confirmations", "0"))
        except ValueError:
            raise TuneError(f"{self._file}: what was spent is no number") from None

    def save_spent(self, seconds: float) -> None:
        """Notes down how long it has taken, all parts together."""
        self._set("spent", repr(seconds))

    def count_confirmation(self) -> int:
        """Notes down that a comparison begins; the how manieth it is, all parts together."""
        self.confirmations += 1
        self._set("confirmations", str(self.confirmations))
        return self.confirmations

    def close(self) -> None:
        """Closes the file, for whoever is next."""
        with contextlib.suppress(TuneError):
            self._set("user", "")
        self._connection.close()

    def _set(self, name: str, content: str) -> None:
        with self._explained():
            self._connection.execute("INSERT OR REPLACE INTO tuning VALUES (?, ?)", (name, content))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise TuneError(f"{self._file}: {error}") from error
