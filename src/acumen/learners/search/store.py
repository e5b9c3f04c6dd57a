"""Where trials are kept: one SQLite file that several processes may use, and a kill leaves whole.

Write-ahead log, a transaction a change: after ``kill -9`` everything that was told is there; a
power cut may take the last moments, never the file. A trial that was given out by a process that
is no more is given out again.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from acumen.learners.search.space import Setting

APPLICATION_ID = 0x41635365  # "AcSe"
VERSION = 1
WAIT_SECONDS = 30.0
ENDED = ("done", "failed")
_COLUMNS = (
    "number, setting, learner, propensity, fidelity, state, value, metrics, reason, process, "
    "revision"
)
_SCHEMA = """
CREATE TABLE search (name TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,
    setting TEXT NOT NULL,       -- JSON
    learner TEXT NOT NULL,
    propensity REAL NOT NULL,
    fidelity REAL NOT NULL,
    state TEXT NOT NULL,         -- running, waiting, done, failed
    value REAL,                  -- less is better
    metrics TEXT,                -- JSON
    reason TEXT,
    process TEXT NOT NULL,       -- who has it: host, process id, when that started
    started REAL NOT NULL,       -- seconds since 1970
    ended REAL,
    revision INTEGER NOT NULL    -- grows with every change of any trial
);
CREATE INDEX by_revision ON trials (revision);
"""
_BEGIN = (
    "INSERT INTO trials (revision, process, number, setting, learner, propensity, fidelity, state,"
    " started) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CHANGE = (
    "UPDATE trials SET revision = ?, process = ?, state = ?, value = ?, metrics = ?, reason = ?,"
    " ended = ? WHERE number = ?"
)


class SearchFileError(Exception):
    """The file of a search cannot be used, and why."""


@dataclass(frozen=True)
class Trial:
    """One evaluation: what is measured, who suggested it, what came of it.

    Attributes:
        number: 0, 1, … in the order of asking.
        setting: what is to be measured.
        learner: who suggested it: ``default``, ``control`` or a search learner.
        propensity: with which probability that one was asked.
        fidelity: share of a full measurement that is wanted, in (0, 1].
        state: ``running``, ``waiting`` (its process has died), ``done`` or ``failed``.
        value: what is minimised; None unless done.
        metrics: as they were told.
        reason: why it failed.
    """

    number: int
    setting: Setting
    learner: str
    propensity: float = 1.0
    fidelity: float = 1.0
    state: str = "running"
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str | None = None


class Store:
    """Trials in a file, or in memory. Safe from many threads, and after fork().

    What is in the file is mirrored here. Every transaction begins by reading what others have
    changed since the last one, mostly nothing, and whatever it changes is not read again.

    Args:
        path: None: in memory.
        header: what must be the same whenever the file is used: name → JSON value.

    Attributes:
        participant: how often the file had been opened before: tells processes apart.

    Raises:
        SearchFileError: it cannot be opened or written, is damaged, something else, or another
            search's.
    """

    def __init__(self, path: str | os.PathLike[str] | None, header: dict[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self._header = header
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._trials: dict[int, Trial] = {}
        self._revision = 0
        self._processes: dict[int, str] = {}  # of trials that have not ended
        self._news: dict[int, None] = {}
        self._written: list[tuple[Trial, str]] = []
        self._connection = self._connect()

    # ---- the connection ------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        with self._explained():
            connection = sqlite3.connect(
                ":memory:" if self.path is None else self.path,
                timeout=WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")
        if self.path is not None:
            self._check_whose(connection)
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={VERSION}")
                rows = [(name, json.dumps(value)) for name, value in self._header.items()]
                connection.executemany("INSERT INTO search VALUES (?, ?)", rows)
            elif version != VERSION:
                raise SearchFileError(f"{self.path}: version {version}; this reads {VERSION}")
            found = dict(connection.execute("SELECT name, content FROM search"))
            self._compare(found)
            self.participant = int(found.get("participants", "0"))
            counted = ("participants", str(self.participant + 1))
            connection.execute("INSERT OR REPLACE INTO search VALUES (?, ?)", counted)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _check_whose(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and found != APPLICATION_ID:
            raise SearchFileError(f"{self.path}: a database of something else")

    def _compare(self, found: dict[str, str]) -> None:
        for name, value in self._header.items():
            if found.get(name) != json.dumps(value):
                raise SearchFileError(
                    f"{self.path}: made for another search: its {name} is "
                    f"{str(found.get(name))[:300]}, here it is {json.dumps(value)[:300]}"
                )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, json.JSONDecodeError) as error:
            where = "memory" if self.path is None else self.path
            raise SearchFileError(f"{where}: {error}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained():
            if self._owner != os.getpid() and self.path is not None:
                # SQLite connections do not survive fork(). The parent's is left alone: closing it
                # here would drop the parent's locks.
                _inherited.append(self._connection)
                self._connection, self._owner = self._connect(), os.getpid()
            self._connection.execute("BEGIN IMMEDIATE")
            self._written.clear()
            try:
                self._read(self._connection)
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            for trial, process in self._written:
                self._mirror(trial, process)
            self._revision += len(self._written)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    # ---- the mirror ----------------------------------------------------------------------------

    def _read(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM trials WHERE revision > ? ORDER BY revision", (self._revision,)
        ).fetchall()
        for row in rows:
            self._mirror(_trial(row), row[9])
            self._revision = row[10]

    def _mirror(self, trial: Trial, process: str) -> None:
        self._trials[trial.number] = trial
        self._news[trial.number] = None
        if trial.state in ENDED:
            self._processes.pop(trial.number, None)
        else:
            self._processes[trial.number] = process

    def _change(self, connection: sqlite3.Connection, trial: Trial, process: str) -> None:
        said = (trial.state, trial.value, json.dumps(trial.metrics), trial.reason)
        ended = time.time() if trial.state in ENDED else None
        connection.execute(_CHANGE, (self._revision + 1, process, *said, ended, trial.number))
        self._written.append((trial, process))

    # ---- trials --------------------------------------------------------------------------------

    def begin(self, budget: float, suggest: Callable[[int], Trial | None]) -> Trial | None:
        """Gives out a trial: one that is waiting, or a new one.

        Args:
            budget: trials there may be.
            suggest: number → the trial to begin.

        Returns:
            The trial, None if the budget is spent or nothing was suggested.
        """
        with self._transaction() as connection:
            for number, process in sorted(self._processes.items()):
                left = self._trials[number]
                if left.state == "waiting" or not is_alive(process):
                    again = replace(left, state="running")
                    self._change(connection, again, this_process())
                    return copy.deepcopy(again)
            number = len(self._trials)
            trial = None if number >= budget else suggest(number)
            if trial is None:
                return None
            setting, process = json.dumps(trial.setting), this_process()
            named = (number, setting, trial.learner, trial.propensity, trial.fidelity, "running")
            connection.execute(_BEGIN, (self._revision + 1, process, *named, time.time()))
            # Whoever is given the trial may change its setting; what is kept stays as it is.
            kept = {k: list(v) if isinstance(v, list) else v for k, v in trial.setting.items()}
            self._written.append((replace(trial, setting=kept), process))
            return trial

    def end(
        self, number: int, state: str, value: float | None, metrics: dict[str, float], reason: str
    ) -> bool:
        """Writes down what came of a trial; False: it had ended already, and nothing is changed."""
        with self._transaction() as connection:
            trial = self._trials.get(number)
            if trial is None:
                raise ValueError(f"there is no trial {number}")
            if trial.state in ENDED:
                return False
            ended = replace(
                trial, state=state, value=value, metrics=dict(metrics), reason=reason or None
            )
            self._change(connection, ended, self._processes[number])
            return True

    def give_back(self, number: int) -> None:
        """A trial that nobody works on any more: it is given out again."""
        with self._transaction() as connection:
            trial = self._trials.get(number)
            if trial is not None and trial.state == "running":
                waiting = replace(trial, state="waiting")
                self._change(connection, waiting, self._processes[number])

    def refresh(self) -> None:
        """Reads what others have changed."""
        with self._transaction():
            pass

    @property
    def trials(self) -> list[Trial]:
        """All trials in the order of asking, as of the last transaction."""
        with self._lock:
            return [self._trials[number] for number in sorted(self._trials)]

    def news(self) -> list[Trial]:
        """Trials that have changed since the last news, as of the last transaction."""
        with self._lock:
            found = [self._trials[number] for number in self._news]
            self._news.clear()
            return found


def read_trials(path: str | os.PathLike[str]) -> list[Trial]:
    """All trials of a search's file, which is only read.

    Raises:
        SearchFileError: it is not there, damaged or something else.
    """
    place = Path(path)
    try:
        with contextlib.closing(
            sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=WAIT_SECONDS)
        ) as connection:
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise SearchFileError(f"{place}: not the file of a search")
            rows = connection.execute(f"SELECT {_COLUMNS} FROM trials ORDER BY number").fetchall()
        return [_trial(row) for row in rows]
    except (sqlite3.Error, OSError, ValueError) as error:
        raise SearchFileError(f"{place}: {error}") from error


def _trial(row: tuple[Any, ...]) -> Trial:
    number, setting, learner, propensity, fidelity, state, value, metrics, reason, _, _ = row
    return Trial(
        number,
        json.loads(setting),
        learner,
        propensity,
        fidelity,
        state,
        value,
        json.loads(metrics or "{}"),
        reason,
    )


_inherited: list[sqlite3.Connection] = []


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the machine did; None: there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    after = stat.rpartition(")")[2].split()
    return None if after[0] in "ZX" else after[19]


_identity: tuple[int, str] = (0, "")


def this_process() -> str:
    """Names it: its machine, its number, and when it started."""
    global _identity
    pid = os.getpid()
    if _identity[0] != pid:
        _identity = pid, json.dumps([socket.gethostname(), pid, _started(pid)])
    return _identity[1]


def is_alive(process: str) -> bool:
    """Whether whoever has a trial is still there; of other machines nothing is known: it is."""
    if process == this_process():
        return True
    host, pid, started = json.loads(process)
    return bool(host != socket.gethostname() or _started(pid) == started)
