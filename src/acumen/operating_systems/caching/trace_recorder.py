"""Records a real page trace from a real database engine, within seconds.

SQLite builds the database of a shop (customers, items, orders with two indexes) and then serves
visits: a customer is looked up, looks at popular items, asks for earlier orders, orders, asks
where the newest order is; now and then a report scans the last day's orders or the whole stock.
SQLite's own page cache is kept at its least, so that nearly every page which its B-trees touch
passes through a virtual file system (apsw), which notes it.

What is real: the engine, its B-trees, its indexes, its file. What is made up: the visits, with
Zipf popularity and a preference for what is new, as in YCSB's workloads (Cooper et al., SoCC
2010), from a seed.
"""

from __future__ import annotations

import importlib.util
import itertools
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acumen.evaluation import WorkloadError
from acumen.operating_systems.caching.trace_files import Keys

PAGE_BYTES = 4096
CUSTOMERS = 60_000
ITEMS = 30_000
ORDERS = 300_000
VISITS = 40_000
REQUESTS_MAX = 500_000
# A trace of several files: the file's number stands above the page's.
_FILE_SHIFT = 40
_ZIPF = 0.99


def is_installed() -> bool:
    """Whether apsw is there."""
    return importlib.util.find_spec("apsw") is not None


def record(folder: Path, seed: int = 0, requests_max: int = REQUESTS_MAX) -> Iterator[Keys]:
    """Page requests of SQLite at work, one batch, uint64: page number per file.

    Args:
        folder: where the database is built; it stays there.
        seed: of the questions and of the rows' order.
        requests_max: where recording stops.

    Raises:
        WorkloadError: apsw is not installed.
    """
    if not is_installed():
        raise WorkloadError("needs apsw to record from SQLite: pip install 'acumen[race]'")
    random = np.random.default_rng(seed)
    notes = array("Q")
    recorder = _recorder(notes)
    try:
        connection = _open(str(folder / "shop.db"), recorder.vfs_name)
        try:
            _build(connection, random)
            del notes[:]
            _work(connection, random, lambda: len(notes) >= requests_max)
        finally:
            connection.close()
    finally:
        recorder.unregister()
    yield np.frombuffer(notes, dtype=np.uint64)[:requests_max].copy()


def _recorder(notes: array[int]) -> Any:
    """A virtual file system that notes the pages read and written, and leaves the rest alone."""
    import apsw

    files: dict[str, int] = {}
    serial = next(_SERIAL)

    class File(apsw.VFSFile):
        def __init__(self, parent: str, name: Any, flags: list[int]) -> None:
            super().__init__(parent, name, flags)
            path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
            self.base = files.setdefault(path, len(files)) << _FILE_SHIFT

        def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
            # Shorter reads are SQLite looking at its header for changes by other programs.
            if amount == PAGE_BYTES:
                notes.append(self.base + offset // PAGE_BYTES + 1)
            data: bytes = super().xRead(amount, offset)
            return data

        def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
            if len(data) == PAGE_BYTES:
                notes.append(self.base + offset // PAGE_BYTES + 1)
            super().xWrite(data, offset)

    class Recorder(apsw.VFS):
        def __init__(self) -> None:
            self.vfs_name = f"acumen-recorder-{serial}"
            super().__init__(self.vfs_name, base="")

        def xOpen(self, name: Any, flags: list[int]) -> File:  # noqa: N802
            return File("", name, flags)

    return Recorder()


_SERIAL = itertools.count()


def _open(path: str, vfs: str) -> Any:
    import apsw

    connection = apsw.Connection(path, vfs=vfs)
    # A cache of no pages keeps only what a statement holds on to; the journal stays in memory,
    # because no buffer pool would hold it.
    for setting in (
        f"page_size={PAGE_BYTES}",
        "cache_size=0",
        "mmap_size=0",
        "journal_mode=MEMORY",
        "synchronous=OFF",
        "temp_store=MEMORY",
        "locking_mode=EXCLUSIVE",
    ):
        connection.execute(f"PRAGMA {setting}").fetchall()
    return connection


def _build(connection: Any, random: np.random.Generator) -> None:
    # While it is built, the database may use a cache: building is not part of the trace.
    connection.execute("PRAGMA cache_size=-65536").fetchall()
    connection.execute(
        """
        CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, balance REAL, note TEXT);
        CREATE TABLE item (id INTEGER PRIMARY KEY, title TEXT, price REAL, stock INTEGER);
        CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INTEGER, item INTEGER,
                               day INTEGER, note TEXT);
        """
    )
    note = "x" * 120
    buyers = _popular(random, CUSTOMERS, ORDERS)
    bought = _popular(random, ITEMS, ORDERS)
    with connection:
        connection.executemany(
            "INSERT INTO customer VALUES (?, ?, 0, ?)",
            ((i, f"customer {i}", note) for i in range(1, CUSTOMERS + 1)),
        )
        connection.executemany(
            "INSERT INTO item VALUES (?, ?, 1, 100)",
            ((i, f"item {i} {note}") for i in range(1, ITEMS + 1)),
        )
        connection.executemany(
            "INSERT INTO purchase VALUES (?, ?, ?, ?, ?)",
            (
                (i + 1, buyer, item, i // 800, note)
                for i, (buyer, item) in enumerate(
                    zip(buyers.tolist(), bought.tolist(), strict=True)
                )
            ),
        )
        connection.execute(
            "CREATE INDEX by_customer ON purchase(customer); CREATE INDEX by_item ON purchase(item)"
        )
    connection.execute("PRAGMA cache_size=0").fetchall()


def _popular(random: np.random.Generator, distinct: int, count: int) -> npt.NDArray[np.int64]:
    """Ids 1 to `distinct` with Zipf popularity; which ones are popular is random too."""
    weights = np.arange(1, distinct + 1, dtype=np.float64) ** -_ZIPF
    ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(count))
    return (random.permutation(distinct) + 1)[np.minimum(ranks, distinct - 1)]


def _work(connection: Any, random: np.random.Generator, enough: Callable[[], bool]) -> None:
    """Visits, one after the other, until there are none left or the trace is long enough."""
    newest = ORDERS
    customers = _popular(random, CUSTOMERS, VISITS).tolist()
    items = _popular(random, ITEMS, 4 * VISITS).reshape(VISITS, 4)
    # What is popular changes: a quarter of the catalogue is passed through in the whole trace.
    items = ((items + np.arange(VISITS)[:, None] * (ITEMS // 4) // VISITS) % ITEMS + 1).tolist()
    viewed = random.integers(1, 5, VISITS).tolist()
    chances = random.random((VISITS, 4)).tolist()
    ages = random.geometric(1 / 200, VISITS).tolist()
    for visit, customer in enumerate(customers):
        history, order, status, report = chances[visit]
        basket = items[visit][: viewed[visit]]
        statements: list[tuple[str, tuple[int, ...]]] = [(_CUSTOMER, (customer,))]
        statements += [(_ITEM, (item,)) for item in basket]
        if history < 0.5:
            statements.append((_HISTORY, (customer,)))
        if order < 0.3:
            newest += 1
            statements.append((_ORDER, (newest, customer, basket[0], visit // 800)))
            statements += [(_STOCK, (item,)) for item in basket]
            statements.append((_BALANCE, (customer,)))
        if status < 0.3:
            statements.append((_STATUS, (newest - ages[visit],)))
        if report < 0.02:
            statements.append((_REVIEWS, (basket[0],)))
        if report < 0.003:
            statements.append((_DAY, (newest - 8000,)))
        if report < 0.0005:
            statements.append((_STOCK_TAKING, ()))
        for sql, arguments in statements:
            for _ in connection.execute(sql, arguments):
                pass
        if enough():
            return


_CUSTOMER = "SELECT name, balance FROM customer WHERE id = ?"
_ITEM = "SELECT title, price FROM item WHERE id = ?"
_HISTORY = "SELECT day, note FROM purchase WHERE customer = ? ORDER BY rowid DESC LIMIT 20"
_ORDER = "INSERT INTO purchase VALUES (?, ?, ?, ?, 'by return of post, please')"
_STOCK = "UPDATE item SET stock = stock - 1 WHERE id = ?"
_BALANCE = "UPDATE customer SET balance = balance + 1 WHERE id = ?"
_STATUS = "SELECT day, note FROM purchase WHERE id = ?"
_REVIEWS = "SELECT count(note) FROM (SELECT note FROM purchase WHERE item = ? LIMIT 50)"
_DAY = "SELECT sum(length(note)) FROM purchase WHERE id > ?"
_STOCK_TAKING = "SELECT sum(stock) FROM item"
