"""Space files: their words, and that those which come with the package fit their programs."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acumen.flags import Piece, TemplateError, load_space, make_template, shipped
from acumen.learners.search import Categorical

GOOD = """
about = "for tests"
join = "; "
constraints = ["size * count <= 100"]
[flags]
mode = "mode [fast,slow*]"
size = "size [1..64=8]"
count = "count [1..16=4]"
deep = "deep [1..9]"
very = "very?"
[when]
very = { mode = ["slow", "fast"] }
deep = { mode = "slow" }
"""


def test_a_space_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(GOOD)
    space = load_space(tmp_path / "own.toml")
    assert (space.about, space.join) == ("for tests", "; ")
    command = make_template(["prog"], [tmp_path / "own.toml"])
    assert command.environment(command.space().default) == {
        "ACUMEN_FLAGS": "mode slow; size 8; count 4"
    }
    fast = command.space().complete({"mode": "fast", "very": True})
    assert "use_deep" not in fast
    assert command.environment(fast)["ACUMEN_FLAGS"].endswith("very")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "there are no [flags]"),
        ("[flags]\na = 3", "a table of texts"),
        ('[flag]\na = "-x?"', "unknown: flag"),
        ('[flags]\na = "-x"', "nothing may vary"),
        ('[flags]\na = "-x?"\n[when]\nb = { a = true }', "needs a flag"),
        ('[flags]\na = "-x?"\n[when]\na = { b = true }', "there is no flag b"),
        ("[flags", "own.toml: Expected"),
        ('[flags]\na = "-x?"\nb = "-y?"\n[when]\na = { b = "often" }', "is none of"),
        ('constraints = ["open(1)"]\n[flags]\na = "-x?"', "Call is not allowed"),
    ],
)
def test_what_is_wrong_is_explained(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "own.toml").write_text(content)
    with pytest.raises(TemplateError) as error:
        make_template(["x"], [tmp_path / "own.toml"]).space()
    assert message in str(error.value)


def test_who_is_not_there() -> None:
    with pytest.raises(TemplateError, match="shipped are clang, gcc"):
        load_space("gccc")
    with pytest.raises(TemplateError, match="no space file"):
        load_space("nowhere/gcc")
    with pytest.raises(TemplateError, match="flags of the same name"):
        make_template(["x"], ["sqlite", "sqlite-durable"])


def test_all_that_is_shipped_can_be_read() -> None:
    found = shipped()
    assert {"gcc", "clang", "sqlite", "zstd", "xz", "postgresql"} <= found.keys()
    for name, about in found.items():
        assert about
        assert make_template(["x", "{flags}"], [name]).space().size() > 500


def texts(piece: Piece) -> Iterator[str]:
    """What a flag can say, at its ends."""
    parameter = piece.parameter
    if parameter is None:
        yield piece.before
    elif isinstance(parameter, Categorical):
        yield from (f"{piece.before}{value}{piece.after}" for value in parameter.values)
    else:
        for value in (parameter.low, parameter.high):
            yield f"{piece.before}{value}{piece.after}"


def rows(name: str) -> list[list[str]]:
    """Sets of flags in which each flag says each thing once."""
    columns = [list(texts(piece)) for piece in load_space(name).pieces.values()]
    most = max(map(len, columns))
    return [[column[i % len(column)] for column in columns] for i in range(most)]


@pytest.mark.parametrize("name", ["gcc", "gcc-fast-math", "clang"])
def test_compilers_know_their_flags(name: str, tmp_path: Path) -> None:
    compiler = name.partition("-")[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    for row in rows(name):
        flags = [word for text in row for word in shlex.split(text)]
        done = subprocess.run(
            [compiler, "-Werror", "-O3", *flags, "-c", "a.c"],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "program"), [("zstd", "zstd -qc"), ("xz", "xz -c")])
def test_compressors_know_their_flags(name: str, program: str, tmp_path: Path) -> None:
    words = program.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    (tmp_path / "data").write_bytes(b"hello, world " * 1000)
    for piece in load_space(name).pieces.values():
        for text in texts(piece):
            done = subprocess.run(
                [*words, *shlex.split(text), "data"], cwd=tmp_path, capture_output=True
            )
            assert done.returncode == 0, (text, done.stderr)
            assert len(done.stdout) < 2000


@pytest.mark.parametrize("name", ["sqlite", "sqlite-durable"])
def test_sqlite_knows_its_pragmas(name: str, tmp_path: Path) -> None:
    for number, row in enumerate(rows(name)):
        with sqlite3.connect(tmp_path / f"{number}.db", isolation_level=None) as database:
            database.executescript(" ".join(row))
            database.execute("CREATE TABLE t (a)")
            if "journal_mode=wal;" in " ".join(row):
                assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.close()
