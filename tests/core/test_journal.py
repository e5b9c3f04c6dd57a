"""Writing a journal: what it says, that others can read it, and everything that may go wrong."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from journaled import events, live, make, wait_for, write_segments

import acumen
from acumen.core.journal_segments import segments_in

FAST = {"commit_seconds": 0.001}


def writer_of(choice: acumen.Choice) -> Any:
    assert choice.journal is not None
    return choice.journal


def test_events_say_what_happened(tmp_path: Path) -> None:
    choice = make(tmp_path)
    decision = choice.choose(size=2.5, kind="json", level=None, hot=True)
    decision.feedback(seconds=0.5, bytes=7.0)
    decision.feedback(seconds=0.6)
    choice.feedback(99, seconds=1.0)
    choice.choose(size=1.0, kind="json", hot=False).feedback(seconds=float("nan"))
    choice.set_mode("canary", 0.25)
    choice.kill()
    choice.objective = acumen.maximize("bytes")
    assert writer_of(choice).flush()
    rows = events(tmp_path)
    assert [row["kind"] for row in rows] == [
        *("start", "name", "seen", "decision", "feedback", "feedback", "feedback"),
        *("decision", "feedback", "mode", "mode", "objective"),
    ]
    assert [row["sequence"] for row in rows] == list(range(1, 13))
    first, told = rows[3], rows[4]
    assert first["id"] == decision.id == told["id"]
    assert (first["arm"], first["suggested"]) == (decision.index, decision.suggested)
    assert first["propensity"] == decision.propensity
    assert first["reason"] == decision.reason
    assert first["default_arm"] == 1
    assert first["learned_share"] == pytest.approx(0.98)
    assert first["usable"]
    assert first["episode"] is None
    assert first["context.size"] == 2.5
    assert first["context.level"] is None
    assert first["context.kind"] == 16.0  # its code, 10, had not been seen before
    assert (rows[2]["field"], rows[2]["number"]) == (1, int(choice.code("kind", "json")))
    assert (rows[1]["field"], rows[1]["text"]) == (1, "json")
    assert rows[7]["context.kind"] == choice.code("kind", "json")
    assert (told["metric.seconds"], told["metric.bytes"]) == (0.5, 7.0)
    fates = [row["fate"] for row in rows if row["kind"] == "feedback"]
    assert fates == ["learned", "duplicate", "unknown", "bad"]
    assert '"canary": 0.25' in rows[9]["text"]
    assert '"killed": true' in rows[10]["text"]
    assert abs(rows[0]["time"].timestamp() - time.time()) < 60
    assert acumen.Journal(tmp_path).names() == {"kind": {rows[1]["number"]: ("json",)}}


def test_it_agrees_with_the_ring(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 400)
    assert writer_of(choice).flush()
    ours, ring = acumen.Journal(tmp_path).decisions(), choice.records()
    for name in ring.column_names:
        mine = ours[name]
        theirs = ring[name]
        if name.startswith("context."):
            mine = mine.fill_null(np.nan)
        if name.startswith("metric."):
            mine = mine.fill_null(np.nan)
        np.testing.assert_array_equal(mine.to_numpy(), theirs.to_numpy(), name)
    assert ours.schema.metadata[b"choice"] == b"codec"


def test_others_can_read_it(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 12, **FAST))
    write_segments(choice, 5, rounds=100)
    assert writer_of(choice).close()
    folder = tmp_path / "codec"
    sealed = sorted(folder.glob("*.arrow"))
    assert len(sealed) > 1
    assert list(folder.glob("*.arrows")) == []
    whole = pa.concat_tables([pa.ipc.open_file(path).read_all() for path in sealed])
    assert whole.num_rows == writer_of(choice).sequence
    assert whole["sequence"].to_pylist() == list(range(1, whole.num_rows + 1))
    assert feather.read_table(sealed[0]).num_rows == pa.ipc.open_file(sealed[0]).read_all().num_rows
    duckdb = pytest.importorskip("duckdb")
    counted = duckdb.sql("select count(*) from whole where kind = 'decision'").fetchall()
    assert counted == [(500,)]


def test_a_live_segment_is_an_arrow_stream(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 50)
    assert writer_of(choice).flush()
    (path,) = (tmp_path / "codec").glob("*.arrows")
    table = pa.ipc.open_stream(path.read_bytes()).read_all()
    assert table.num_rows == writer_of(choice).durable_sequence


def test_bulk_calls_are_journaled(tmp_path: Path) -> None:
    choice = acumen.Choice(
        "bulk",
        arms=[1, 2],
        context={"x": float},
        default=1,
        metric=acumen.maximize("reward"),
        journal=acumen.Journal(tmp_path, commit_bytes=1 << 12),
        seed=1,
    )
    made = choice.choose_many(np.ones((20_000, 1)))
    choice.feedback_many(made.ids, reward=1.0)
    assert writer_of(choice).flush()
    table = acumen.Journal(tmp_path).decisions()
    np.testing.assert_array_equal(table["id"].to_numpy(), made.ids)
    np.testing.assert_array_equal(table["propensity"].to_numpy(), made.propensities)
    # Those that had left the ring count as heard too late, not as unheard.
    assert set(table["state"].to_pylist()) == {"done"}


def test_names_of_choices_become_folders(tmp_path: Path) -> None:
    names = ["a b", "../up", "x/y", "..", "ü%.", "CON", "n" * 150]
    for name in names:
        choice = make(tmp_path, name=name)
        choice.choose(size=1.0, kind="x", hot=True)
        assert writer_of(choice).close()
    assert sorted(acumen.Journal(tmp_path).choices()) == sorted(names)
    assert not list(tmp_path.parent.glob("up*"))
    assert all(p.parent == tmp_path for p in tmp_path.iterdir())
    with pytest.raises(acumen.JournalError, match="several choices: name one"):
        acumen.Journal(tmp_path).decisions()
    with pytest.raises(acumen.JournalError, match="no choice 'other'"):
        acumen.Journal(tmp_path).decisions("other")


@pytest.mark.parametrize(
    "change",
    [
        {"full": "wait"},
        {"ring_bytes": 10},
        {"commit_seconds": 0},
        {"segment_bytes": -1},
        {"keep_bytes": -1},
        {"keep_seconds": float("nan")},
    ],
)
def test_wrong_settings(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        acumen.Journal(tmp_path, **change)


def test_segments_rotate_by_size_and_age(tmp_path: Path) -> None:
    small = make(acumen.Journal(tmp_path / "small", segment_bytes=1 << 12, **FAST))
    write_segments(small, 4)
    young = make(acumen.Journal(tmp_path / "young", segment_seconds=0.01, **FAST))
    for part in range(3):
        young.choose(size=1.0, kind="x", hot=True)
        wait_for(lambda: writer_of(young).health.sealed > part)  # noqa: B023 (called at once)
    for choice, folder in ((small, "small"), (young, "young")):
        assert writer_of(choice).close()
        numbers = [row["sequence"] for row in events(tmp_path / folder)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_retention(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 12, keep_bytes=100_000, **FAST))
    write_segments(choice, 12, rounds=100)
    assert writer_of(choice).close()
    assert writer_of(choice).health.retired > 3
    kept = sum(s.path.stat().st_size for s in segments_in(tmp_path / "codec"))
    assert 20_000 < kept <= 100_000
    numbers = [row["sequence"] for row in events(tmp_path)]
    assert numbers == list(range(numbers[0], writer_of(choice).sequence + 1))  # the newest
    again = make()
    report = again.replay(tmp_path)
    assert not report.exact
    assert "are gone" in report.notes[0]
    assert acumen.Journal(tmp_path, keep_seconds=0.001).retire("codec") > 0
    assert segments_in(tmp_path / "codec") == []


@pytest.mark.parametrize("full", ["drop_newest", "drop_oldest"])
def test_a_full_ring(tmp_path: Path, full: str) -> None:
    """While nobody writes, the ring drops what its owner says, and the journal says how much."""
    journal = acumen.Journal(tmp_path, full=full, ring_bytes=1 << 12, commit_seconds=30)
    choice = make(journal)
    writer = writer_of(choice)
    live(choice, 300)
    assert writer.dropped > 100
    total = writer.sequence
    assert writer.flush()
    assert writer.durable_sequence >= total
    rows = events(tmp_path)
    gaps = [row for row in rows if row["kind"] == "gap"]
    assert sum(row["number"] for row in gaps) == writer.dropped
    assert sum(row["kind"] != "gap" for row in rows) == total - writer.dropped
    kept = [row["sequence"] for row in rows if row["kind"] != "gap"]
    assert (kept[-1] == total) == (full == "drop_oldest")
    assert (kept[0] == 1) == (full == "drop_newest")
    report = make().replay(tmp_path)
    assert report.lost == writer.dropped
    assert not report.exact


def heal(choice: acumen.Choice, break_it: Any, mend_it: Any, root: Path) -> None:
    """Writes, breaks, writes, mends: nothing is lost, and there is one warning."""
    writer = writer_of(choice)
    live(choice, 20)
    assert writer.flush()
    wait_for(lambda: writer._seal_steps is None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        break_it()
        live(choice, 20, seed=1)
        wait_for(lambda: writer.health.errors > 1)
        assert not writer.flush(0.05)
        assert writer.durable_sequence < writer.sequence
        live(choice, 20, seed=2)
        mend_it()
        assert writer.flush()
    warned = [w for w in caught if issubclass(w.category, RuntimeWarning)]
    assert len(warned) == 1
    assert "cannot be written" in str(warned[0].message)
    assert writer.health.healed == 1
    assert writer.health.last_error
    assert writer.dropped == 0
    assert writer.close()
    numbers = [row["sequence"] for row in events(root)]
    assert numbers[-1] == writer.sequence
    assert len(set(numbers)) == len(numbers)


def test_a_folder_that_is_no_folder_for_a_while(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    choice = make(acumen.Journal(journal, **FAST))
    folder = journal / "codec"

    def replace_by_a_file() -> None:
        shutil.rmtree(journal)
        journal.write_text("in the way")
        time.sleep(0.15)  # it looks now and then whether its file is still there

    heal(choice, replace_by_a_file, journal.unlink, journal)
    assert folder.is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, segment_seconds=0.001, **FAST))
    folder = tmp_path / "codec"
    writer_of(choice).flush()
    heal(choice, lambda: folder.chmod(0o500), lambda: folder.chmod(0o700), tmp_path)


def test_a_deleted_directory_is_made_again(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    choice = make(acumen.Journal(journal, **FAST))
    live(choice, 20)
    assert writer_of(choice).flush()
    time.sleep(0.15)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        shutil.rmtree(journal)
        live(choice, 20, seed=1)
        wait_for(lambda: writer_of(choice).health.errors > 0)
        live(choice, 20, seed=2)
        assert writer_of(choice).flush()
    assert "deleted" in writer_of(choice).health.last_error
    assert events(journal)[-1]["sequence"] == writer_of(choice).sequence


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        choice = make(tmp_path / "file" / "journal")
        live(choice, 20)  # choosing goes on
        wait_for(lambda: writer_of(choice).health.errors > 0)
    assert choice.counters()["feedback_learned"] > 5
    assert not writer_of(choice).flush(0.01)


FULL_DISK = """
import resource, signal, sys, warnings
sys.path.insert(0, {tests!r})
import acumen
from journaled import events, live, make, wait_for, write_segments
from test_journal import heal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
choice = make(acumen.Journal({root!r}, commit_seconds=0.001))
limit = lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
heal(choice, lambda: limit(2000), lambda: limit(resource.RLIM_INFINITY), {root!r})
print("healed")
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """Files may not grow beyond a size: writes fail in the middle of a batch."""
    program = FULL_DISK.format(tests=str(Path(__file__).parent), root=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "healed\n", done.stderr
    verification = acumen.Journal(tmp_path).verify()
    assert verification.good, verification


def test_a_read_only_file_system(tmp_path: Path) -> None:
    """As above, for whoever may mount: root, for one."""
    folder = tmp_path / "journal"
    folder.mkdir()
    if shutil.which("mount") is None or run("mount", "--bind", folder, folder):
        pytest.skip("nothing can be mounted here")
    try:
        # Every commit needs a new file.
        choice = make(acumen.Journal(folder, segment_seconds=0.001, **FAST))
        options = "remount,bind,{}".format
        heal(
            choice,
            # Busy as long as a segment is open for writing.
            lambda: wait_for(lambda: run("mount", "-o", options("ro"), folder) == 0),
            lambda: run("mount", "-o", options("rw"), folder),
            folder,
        )
        assert "Read-only" in writer_of(choice).health.last_error
    finally:
        run("umount", "-l", folder)


def run(*command: Any) -> int:
    return subprocess.run(list(map(str, command)), capture_output=True).returncode


def test_a_full_file_system(tmp_path: Path) -> None:
    """A file system of 256 KiB, where it can be mounted."""
    small = tmp_path / "small"
    small.mkdir()
    mounting = ("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small)
    if shutil.which("mount") is None or run(*mounting):
        pytest.skip("nothing can be mounted here")
    try:
        choice = make(acumen.Journal(small / "journal", **FAST))
        filler = small / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))

        heal(choice, fill, filler.unlink, small / "journal")
    finally:
        run("umount", "-l", small)


def test_append(tmp_path: Path) -> None:
    source = make()
    live(source, 200)
    journal = acumen.Journal(tmp_path / "log")
    stream = journal.append(source.records(), source)
    joined = journal.decisions()
    assert joined.num_rows == 200
    assert set(joined["stream"].to_pylist()) == {stream}
    np.testing.assert_array_equal(joined["arm"].to_numpy(), source.records()["arm"].to_numpy())
    assert journal.verify().good
    learned = make()
    report = learned.replay(journal)
    assert report.decisions == 200
    assert report.lessons == source.counters()["feedback_learned"]
    copy = acumen.Journal(tmp_path / "copy")
    copy.append(joined)
    copied = copy.decisions()
    for name in joined.column_names:
        if name not in ("stream", "replica"):
            assert copied[name].equals(joined[name]), name
    with pytest.raises(acumen.JournalError, match="whose they are"):
        copy.append(joined.replace_schema_metadata(None))
    with pytest.raises(acumen.JournalError, match="no column 'arm'"):
        copy.append(joined.drop_columns(["arm"]))


def sealed_bytes(folder: Path) -> int:
    """Not of the segment that is being written: it may be sealed, and gone, at any moment."""
    return sum(s.path.stat().st_size for s in segments_in(folder) if s.sealed)


def test_compact(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 12, **FAST))
    write_segments(choice, 6)
    live(choice, 1)
    assert writer_of(choice).flush()
    journal = acumen.Journal(tmp_path)
    before = events(journal)
    size = sealed_bytes(tmp_path / "codec")
    assert journal.compact() > 2  # while it is being written
    assert sealed_bytes(tmp_path / "codec") < size / 2
    assert events(journal) == before
    live(choice, 60, seed=11)
    assert writer_of(choice).close()
    assert journal.verify().good
    assert journal.compact() >= 1
    assert journal.compact() == 0
    assert len(segments_in(tmp_path / "codec")) == 1
    assert events(journal)[: len(before)] == before
    again = make()
    assert again.replay(journal).exact


def test_a_merge_that_was_killed_repeats_nothing(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 12, **FAST))
    write_segments(choice, 4)
    assert writer_of(choice).close()
    journal, folder = acumen.Journal(tmp_path), tmp_path / "codec"
    before = events(journal)
    shutil.copytree(folder, tmp_path.with_name("kept"))
    assert journal.compact() > 1
    for path in sorted(tmp_path.with_name("kept").glob("*.arrow"))[1:]:
        shutil.copy(path, folder)  # as if it had been killed before they were deleted
    (folder / f".{sorted(folder.glob('*.arrow'))[0].name}.999999999.partial").write_bytes(b"half")
    assert events(journal) == before
    assert journal.verify().good
    assert list(folder.glob(".*.partial")) == []
    assert journal.compact() > 1
    assert events(journal) == before
