"""What a tuning keeps beside its search, in the search's own file: whose it is, and time spent."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from acumen.flags.subject import TuneError


class State:
    """Two facts in a table of their own; in memory without a file.

    Args:
        file: the search's SQLite file, already made; None: nothing is kept.
        fingerprint: whose it is.

    Raises:
        TuneError: the file is another tuning's.
    """

    def __init__(self, file: Path | None, fingerprint: str) -> None:
        self._connection = sqlite3.connect(
            ":memory:" if file is None else file, timeout=30, isolation_level=None
        )
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS tuning (name TEXT PRIMARY KEY, content TEXT NOT NULL)"
        )
        found = dict(self._connection.execute("SELECT name, content FROM tuning"))
        if found.get("subject", fingerprint) != fingerprint:
            self._connection.close()
            raise TuneError(
                f"{file} belongs to another tuning: its command, metric or check differs"
            )
        self._set("subject", fingerprint)
        try:
            self.spent = float(found.get("spent", "0"))
        except ValueError:
            raise TuneError(f"{file}: the time that was spent is no number") from None

    def save_spent(self, seconds: float) -> None:
        """Notes down how long it has taken, all parts together."""
        self._set("spent", repr(seconds))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _set(self, name: str, content: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO tuning VALUES (?, ?)", (name, content))
