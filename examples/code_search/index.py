"""The data: names in the sources of Python's library, where each is used, how much that matters."""

import collections
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import apsw

NAME = re.compile(r"[A-Za-z_]\w{2,}")
IMPORT = re.compile(r"\s*(?:from\s+(\w+)[\w.]*\s+import|import\s+(\w+))")
LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "__pycache__"}


def sources(files_max: int | None) -> Iterator[tuple[str, str, list[str]]]:
    """Package, file and lines of the library's modules."""
    library = Path(sysconfig.get_path("stdlib"))
    found = sorted(p for p in library.rglob("*.py") if not LEFT_OUT & set(p.parts))
    for path in found[:files_max]:
        relative = path.relative_to(library)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        yield relative.parts[0].removesuffix(".py"), str(relative), lines


def kind_of(line: str) -> str:
    """What sort of line a name stands in."""
    starts = {"#": "comment", "def ": "definition", "class ": "definition"}
    starts |= {"import ": "import", "from ": "import"}
    bare = line.lstrip()
    return next((kind for start, kind in starts.items() if bare.startswith(start)), "code")


def build(database: Path, files_max: int | None = None) -> int:
    """Fills the database and lets it gather statistics; the number of uses."""
    modules = list(sources(files_max))
    imported: collections.Counter[str] = collections.Counter()
    for _, _, lines in modules:
        matches = map(IMPORT.match, lines)
        imported.update(match[1] or match[2] for match in matches if match)
    rows = (
        # More important: in a module that more others import, and further up in it.
        (name, package, kind_of(line), imported[package] + 1 / number, file, number)
        for package, file, lines in modules
        for number, line in enumerate(lines, 1)
        for name in dict.fromkeys(NAME.findall(line))
    )
    connection = apsw.Connection(str(database))
    with connection:
        connection.execute(
            "CREATE TABLE uses"
            "(name TEXT, package TEXT, kind TEXT, importance REAL, file TEXT, line INT)"
        )
        connection.executemany("INSERT INTO uses VALUES(?, ?, ?, ?, ?, ?)", rows)
        for column in ("name", "package", "importance"):
            connection.execute(f"CREATE INDEX by_{column} ON uses({column})")
    connection.execute("ANALYZE")  # with samples of every index (STAT4): the planner at its best
    (count,) = next(connection.execute("SELECT count(*) FROM uses"))
    connection.close()
    return int(count)
