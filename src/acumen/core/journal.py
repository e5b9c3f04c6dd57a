"""`Journal`: what was chosen, with which probability, and what came of it; durable, replayable."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from acumen.core.journal_format import JournalError, JournalInfo
from acumen.core.journal_sealing import Recovery, merge, recover
from acumen.core.journal_segments import (
    SEALED,
    Reading,
    Segment,
    SegmentReader,
    choice_of,
    folder_of,
    is_locked,
    new_stream,
    segments_in,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from acumen.core.choice import Choice

FULL = ("drop_newest", "drop_oldest")
LISTINGS_MAX = 100  # of a folder that others put together or delete while it is read


@dataclass(frozen=True)
class SegmentReport:
    """What `Journal.verify` says of one segment.

    Attributes:
        path: the file.
        choice: whose journal it is.
        state: ``sealed``, ``live`` (a process is writing it) or ``open`` (nobody is; only where
            the journal cannot be written).
        bytes: of the file.
        rows: events in good batches.
        first: number of the first event, 0 if there is none.
        last: number of the last.
        torn_bytes: behind the last whole batch; of a live segment they are being written.
        problems: what is wrong, in words; empty if nothing is.
    """

    path: Path
    choice: str
    state: str
    bytes: int
    rows: int
    first: int
    last: int
    torn_bytes: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """What `Journal.verify` found.

    Attributes:
        segments: one report a file.
        recovered: segments that dead processes had left, sealed just now.
        missing: stretches of events that no segment has, in words. (Retention deletes the oldest.)
    """

    segments: tuple[SegmentReport, ...]
    recovered: tuple[Recovery, ...]
    missing: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is damaged or missing. What a kill has torn off is no damage."""
        return not (
            self.missing
            or any(s.problems for s in self.segments)
            or any(r.problems for r in self.recovered)
        )


@dataclass(frozen=True)
class EventBatch:
    """Some events of one stream, in order.

    Attributes:
        info: whose.
        first: number of the first, gaps before it included.
        last: number of the last.
        rows: the events; see `acumen.core.journal_format` for the columns.
    """

    info: JournalInfo
    first: int
    last: int
    rows: pa.RecordBatch


class Journal:
    """A directory in which choices keep what was chosen and what came of it.

    Give it to a `Choice` to be written, or read it: `scan`, `decisions`, `Choice.replay`. Any
    number of processes and choices may share a directory. Files are Arrow IPC; sealed ones
    (``*.arrow``) can be opened by anything that reads Arrow or Feather.

    Args:
        path: the directory; made when it is first written.
        full: what a full ring drops while the disk cannot keep up: ``drop_newest`` or
            ``drop_oldest``. Either way it is counted, and a ``gap`` event says so.
        ring_bytes: memory between the choosing thread and the disk, for each choice.
        commit_seconds: events are written and synced together this often.
        commit_bytes: and at most about so many at once.
        segment_bytes: a segment is sealed when it is larger,
        segment_seconds: or older.
        keep_bytes: the oldest sealed segments of a choice are deleted beyond this; None: never.
        keep_seconds: sealed segments are deleted at this age; None: never.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        full: str = "drop_newest",
        ring_bytes: int = 8 << 20,
        commit_seconds: float = 0.02,
        commit_bytes: int = 8 << 20,
        segment_bytes: int = 64 << 20,
        segment_seconds: float = 3600.0,
        keep_bytes: int | None = None,
        keep_seconds: float | None = None,
    ) -> None:
        if full not in FULL:
            raise ValueError(f"full must be one of {FULL}, not {full!r}")
        self.path = Path(path)
        self.full = full
        self.ring_bytes = _within("ring_bytes", ring_bytes, 1 << 12, 1 << 32)
        self.commit_seconds = _within("commit_seconds", commit_seconds, 1e-4, 60)
        self.commit_bytes = _within("commit_bytes", commit_bytes, 1 << 12, 1 << 30)
        self.segment_bytes = _within("segment_bytes", segment_bytes, 1 << 12, 1 << 31)
        self.segment_seconds = _within("segment_seconds", segment_seconds, 1e-3, math.inf)
        self.keep_bytes = keep_bytes and _within("keep_bytes", keep_bytes, 0, math.inf)
        self.keep_seconds = keep_seconds and _within("keep_seconds", keep_seconds, 0, math.inf)

    def __repr__(self) -> str:
        """The directory."""
        return f"Journal({str(self.path)!r})"

    def choices(self) -> list[str]:
        """Names of the choices that were journaled here."""
        with contextlib.suppress(FileNotFoundError):
            folders = [f for f in sorted(self.path.iterdir()) if f.is_dir() and segments_in(f)]
            return [choice_of(folder) for folder in folders]
        return []

    def events(
        self,
        choice: str | None = None,
        *,
        after: Mapping[str, int] | None = None,
        problems: list[str] | None = None,
    ) -> Iterator[EventBatch]:
        """All events, stream by stream in order of their start, each in its own order.

        Args:
            choice: its name; None where the journal has one choice only.
            after: stream → number of the last event that is not wanted.
            problems: what is damaged or missing is told here, in words; None: by a RuntimeWarning.

        Raises:
            JournalError: there is no such choice, or several and none is named.
            OSError: the directory cannot be read.
        """
        found: list[str] = []
        seen: dict[str, int] = dict(after or {})
        folder = folder_of(self.path, self._one_choice(choice))
        for _ in range(LISTINGS_MAX):
            # What is gone was too old, or is a part of one before it now: that is read again then.
            with contextlib.suppress(FileNotFoundError):
                for segment in segments_in(folder):
                    yield from read_segment(segment, seen, found)
                break
        else:
            found.append("segments vanish faster than they can be read")
        found = list(dict.fromkeys(found))
        if problems is not None:
            problems.extend(found)
        elif found:
            message = f"the journal {self.path} is incomplete: {'; '.join(found[:5])}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def scan(
        self, choice: str | None = None, *, after: Mapping[str, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """All events as Arrow record batches; see `events`.

        Streams of programs that had other fields or metrics come with other columns.
        """
        for batch in self.events(choice, after=after):
            yield batch.rows

    def decisions(self, choice: str | None = None) -> pa.Table:
        """Every decision with what came of it, one a row; columns as in `Choice.records()`.

        Besides: `time`, `feedback_time`, `suggested`, `default_arm`, `learned_share`, `usable`,
        `episode`, `step`, `replica`, `stream`, and `feature.*` of candidates. `state` is
        ``waiting``, ``done`` or ``timed_out``. Feedback counts from whichever process heard it;
        of several the first that was accepted, else the first that came too late to be learned.

        Args:
            choice: its name; None where the journal has one choice only.

        Raises:
            JournalError: there is no such choice, or several and none is named.
        """
        from acumen.core.journal_join import decisions_of

        return decisions_of(self.events(choice))

    def names(self, choice: str | None = None) -> dict[str, dict[int, tuple[str, ...]]]:
        """The names behind the codes of categories: field → code → names met.

        Two names mean that the bucket is shared (by these, and perhaps by more). What came in rows
        of floats has no name.
        """
        names: dict[str, dict[int, dict[str, None]]] = {}
        for batch in self.events(choice):
            for name, codes in batch.info.names.items():
                for code, texts in codes.items():
                    known = names.setdefault(name, {}).setdefault(int(code), {})
                    known.update(dict.fromkeys(texts))
            for name, number, text in _name_events(batch):
                names.setdefault(name, {}).setdefault(number, {})[text] = None
        return {n: {c: tuple(t) for c, t in codes.items()} for n, codes in names.items()}

    def append(self, records: pa.Table | pa.RecordBatch, choice: Choice | None = None) -> str:
        """Adds decisions that were made elsewhere, as a stream of its own; durable on return.

        Args:
            records: columns as of `decisions` or `Choice.records()`; at least `arm`,
                `propensity`, the `context.*` and the `metric.*`. A row with metrics, unless its
                `state` says otherwise, becomes a decision and its feedback.
            choice: whose decisions they are; None: what a table from `decisions` says itself.

        Returns:
            The stream's name.

        Raises:
            JournalError: columns are missing, or it is not said whose they are.
            OSError: it cannot be written.
        """
        from acumen.core.journal_join import append_records
        from acumen.core.journaling import describe

        info = None if choice is None else describe(choice, new_stream(set()))
        return append_records(self, records, info)

    def verify(self, choice: str | None = None) -> Verification:
        """Reads and checks everything; seals what dead processes have left.

        Args:
            choice: its name; None: all.

        Raises:
            JournalError: there is no such choice.
        """
        segments: list[SegmentReport] = []
        recovered: list[Recovery] = []
        missing: list[str] = []
        for name in [self._one_choice(choice)] if choice is not None else self.choices():
            folder = folder_of(self.path, name)
            with contextlib.ExitStack() as alone:
                with contextlib.suppress(OSError):  # where nobody may write, nobody is at it
                    alone.enter_context(_alone_in(folder))
                    recovered += recover(folder)[0]  # what is in the way, the report shows
                reports = [r for s in segments_in(folder) if (r := _report(name, s))]
            segments += reports
            missing += _holes(reports)
        return Verification(tuple(segments), tuple(recovered), tuple(missing))

    def compact(self, choice: str | None = None, *, compression: str | None = "zstd") -> int:
        """Seals what dead processes have left, and puts small sealed segments into larger ones.

        Args:
            choice: its name; None: all.
            compression: ``zstd``, ``lz4`` or None; every reader of Arrow knows both.

        Returns:
            How many files there are fewer.

        Raises:
            JournalError: there is no such choice.
            OSError: the directory cannot be written.
        """
        fewer = 0
        for name in [self._one_choice(choice)] if choice is not None else self.choices():
            folder = folder_of(self.path, name)
            with _alone_in(folder):
                _, failures = recover(folder)
                if failures:
                    raise failures[0]
                before = len(segments_in(folder))
                for group in _groups(segments_in(folder), self.segment_bytes):
                    # What is damaged stays as it is: verify() tells of it. What is gone was old.
                    with contextlib.suppress(JournalError, FileNotFoundError):
                        merge(group, compression)
                fewer += before - len(segments_in(folder))
        return fewer

    def retire(self, choice: str) -> int:
        """Deletes sealed segments that are beyond `keep_bytes` or `keep_seconds`; how many."""
        if self.keep_bytes is None and self.keep_seconds is None:
            return 0
        stats: list[tuple[float, int, Path]] = []
        for path in [s.path for s in segments_in(folder_of(self.path, choice)) if s.sealed]:
            with contextlib.suppress(FileNotFoundError):  # others retire, too
                found = path.stat()
                stats.append((found.st_mtime, found.st_size, path))
        stats.sort()
        total = sum(size for _, size, _ in stats)
        retired = 0
        for modified, size, path in stats:
            too_many = self.keep_bytes is not None and total > self.keep_bytes
            too_old = self.keep_seconds is not None and time.time() - modified > self.keep_seconds
            if not (too_many or too_old):
                break
            path.unlink(missing_ok=True)
            total -= size
            retired += 1
        return retired

    def _one_choice(self, choice: str | None) -> str:
        known = self.choices()
        if choice is None and len(known) == 1:
            return known[0]
        if choice is None or choice not in known:
            which = f"no choice {choice!r}" if choice is not None else "no choice"
            if choice is None and known:
                which = "several choices: name one"
            listed = f"; there are {', '.join(known)}" if known else ""
            raise JournalError(f"{self.path}: {which}{listed}")
        return choice


def open_journal(journal: Journal | str | os.PathLike[str]) -> Journal:
    """A journal, or the one in a directory."""
    return journal if isinstance(journal, Journal) else Journal(journal)


_Number = TypeVar("_Number", int, float)


def _within(name: str, value: _Number, least: float, most: float) -> _Number:
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least} and {most}, not {value}")
    return value


def read_segment(
    segment: Segment, seen: dict[str, int], problems: list[str]
) -> Iterator[EventBatch]:
    """The events of one segment that were not seen; `seen` moves on.

    Raises:
        FileNotFoundError: it is gone.
    """
    try:
        reader = _reader(segment)
    except FileNotFoundError:
        raise
    except (JournalError, OSError) as error:
        problems.append(f"{segment.path.name}: {error}")
        return
    begun = False
    for first, last, rows in reader:
        before = seen.get(segment.stream, 0)
        if last <= before:
            continue
        if before and first > before + 1 and not begun:
            problems.append(f"{segment.stream}: events {before + 1} to {first - 1} are missing")
        begun = True
        if first <= before:
            rows = rows.filter(_greater(rows.column("sequence"), before))
            first = before + 1
        seen[segment.stream] = last
        yield EventBatch(reader.info, first, last, rows)
    problems.extend(f"{segment.path.name}: {text}" for text in reader.reading.problems)


def _reader(segment: Segment) -> SegmentReader:
    try:
        return SegmentReader(segment.path)
    except FileNotFoundError:
        if segment.sealed:
            raise
        return SegmentReader(segment.path.with_suffix(SEALED))  # sealed just now


def _greater(column: Any, number: int) -> Any:
    import pyarrow.compute as pc

    return pc.greater(column, number)


def _name_events(batch: EventBatch) -> Iterable[tuple[str, int, str]]:
    import pyarrow.compute as pc

    rows = batch.rows
    if rows.column("text").null_count == rows.num_rows:
        return
    for row in rows.filter(pc.equal(rows.column("kind").cast("string"), "name")).to_pylist():
        if 0 <= row["field"] < len(batch.info.fields):
            yield batch.info.fields[row["field"]], row["number"], row["text"] or ""


def _report(choice: str, segment: Segment) -> SegmentReport | None:
    """What there is to say of a segment; None if it was deleted for its age just now."""
    problems: tuple[str, ...]
    reading = Reading()
    path = segment.path
    try:
        reader = _reader(segment)
        path, reading = reader.path, reader.reading
        for _ in reader:
            pass
        problems = tuple(reading.problems)
    except FileNotFoundError:
        return None
    except (JournalError, OSError) as error:
        problems = (str(error),)
    size = path.stat().st_size if path.exists() else 0
    state = "sealed" if path.suffix == SEALED else "live" if is_locked(path) else "open"
    if state == "live" and not reading.rows:
        problems = ()  # its first batch is on the way
    return SegmentReport(
        path=path,
        choice=choice,
        state=state,
        bytes=size,
        rows=reading.rows,
        first=reading.first,
        last=reading.last,
        torn_bytes=reading.torn_bytes,
        problems=problems,
    )


def _holes(reports: list[SegmentReport]) -> list[str]:
    holes = []
    last: dict[str, int] = {}
    for report in reports:
        stream = report.path.name.rpartition("-")[0]
        if report.rows == 0:
            continue
        if stream in last and report.first > last[stream] + 1:
            holes.append(f"{stream}: events {last[stream] + 1} to {report.first - 1} are missing")
        last[stream] = max(last.get(stream, 0), report.last)
    return holes


def _groups(segments: list[Segment], bytes_max: int) -> list[list[Segment]]:
    """Runs of sealed segments of one stream that together are no larger than one should be."""
    live = {(s.stream, s.number) for s in segments if not s.sealed}
    groups: list[list[Segment]] = []
    size = 0
    for segment in segments:
        if not segment.sealed or (segment.stream, segment.number) in live:
            continue
        own = segment.path.stat().st_size
        last = groups[-1] if groups else None
        if last and last[0].stream == segment.stream and size + own <= bytes_max:
            last.append(segment)
            size += own
        else:
            groups.append([segment])
            size = own
    return [group for group in groups if len(group) > 1]


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time puts segments together, or takes stock of them."""
    descriptor = os.open(folder / ".compact.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
