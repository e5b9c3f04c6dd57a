"""A small web service: where is this name used? The twenty most important places first.

    GET /search?name=path[&package=os][&kind=definition]

A search can go through the database in four ways: as SQLite's planner thinks best, or along one
of three indexes. The planner looks at samples of each index by itself; that a name is rare in a
package, or so common that the most important places are found at once, it cannot see. With
--plans learned, an `acumen.Choice` decides. Where its way takes longer than LIMIT_SECONDS, it is
given up and the planner's taken: a learned part may be slow, never wrong.

    python service.py DATABASE --plans planner|learned [--model FILE]
"""

import argparse
import collections
import json
import math
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import apsw

import acumen

PLANS = {
    "planner": "",
    "by_name": "INDEXED BY by_name",
    "by_package": "INDEXED BY by_package",
    "by_importance": "INDEXED BY by_importance",
}
FILTERS = ("name", "package", "kind")
LIMIT_SECONDS = 0.005


class Database:
    """A connection, which knows when to give up."""

    def __init__(self, path: str) -> None:
        self.connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        self.deadline = math.inf
        self.connection.set_progress_handler(self._is_late, 1000)

    def _is_late(self) -> bool:
        return time.perf_counter() > self.deadline

    def search(self, filters: dict[str, str], plan: str) -> list[tuple[str, int]]:
        """The places, whichever plan is named."""
        if plan == "by_package" and "package" not in filters:
            plan = "planner"  # there is no such way
        where = " AND ".join(f"{column} = :{column}" for column in filters)
        query = (
            f"SELECT file, line FROM uses {PLANS[plan]} WHERE {where} "
            "ORDER BY importance DESC, rowid DESC LIMIT 20"
        )
        self.deadline = math.inf if plan == "planner" else time.perf_counter() + LIMIT_SECONDS
        try:
            return list(self.connection.execute(query, filters))
        except apsw.InterruptError:
            return self.search(filters, "planner")

    def counts(self, column: str) -> collections.Counter[str]:
        """How often each value occurs in a column; read once, when the service starts."""
        query = f"SELECT {column}, count(*) FROM uses GROUP BY {column}"
        return collections.Counter(dict(self.connection.execute(query)))


class LearnedPlans:
    """Which plan for which search."""

    def __init__(self, database: Database, model: Path | None) -> None:
        self.names, self.packages = database.counts("name"), database.counts("package")
        self.choice = acumen.Choice(
            "plan",
            arms=list(PLANS),
            context={
                "uses": float,  # of the name
                "in_package": float,  # uses of all names there; of all, where none is asked for
                "product": float,  # tells how many places there are, were the two independent
                "filtered": bool,
                "kind": str,
            },
            default="planner",
            # A search that takes half as long is as good news for a fast one as for a slow one.
            metric=acumen.minimize("log_seconds"),
            model=model if model and model.exists() else None,
        )

    def search(self, database: Database, filters: dict[str, str]) -> list[tuple[str, int]]:
        """Chooses, searches, and learns how long it took."""
        uses = math.log1p(self.names[filters["name"]])
        everything = self.packages.total()
        package = self.packages[filters["package"]] if "package" in filters else everything
        decision = self.choice.choose(
            uses=uses,
            in_package=math.log1p(package),
            product=uses + math.log1p(package),
            filtered="package" in filters,
            kind=filters.get("kind", ""),
        )
        start = time.perf_counter()
        places = database.search(filters, decision.arm)
        decision.feedback(log_seconds=math.log(time.perf_counter() - start))
        return places


def serve(path: str, plans: str, port: int, model: Path | None) -> None:
    """Until SIGTERM. Says on which port it listens."""
    learned = LearnedPlans(Database(path), model) if plans == "learned" else None
    local = threading.local()  # a connection a thread

    class Search(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = {k: v for k, v in parse_qsl(url.query) if k in FILTERS}
            if url.path == "/comparison" and learned:
                return self.answer(200, str(learned.choice.comparison()))
            if url.path != "/search" or "name" not in asked:
                return self.answer(404, "ask for /search?name=...")
            if not hasattr(local, "database"):
                local.database = Database(path)
            if learned:
                places = learned.search(local.database, asked)
            else:
                places = local.database.search(asked, "planner")
            return self.answer(200, [f"{file}:{line}" for file, line in places])

        def answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Search)
    server.daemon_threads = True
    # shutdown() waits for serve_forever(), which the handler interrupts: hence the thread.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(server.server_port, flush=True)
    server.serve_forever()
    if learned and model:
        learned.choice.save(model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("database")
    parser.add_argument("--plans", choices=["planner", "learned"], default="learned")
    parser.add_argument("--port", type=int, default=0, help="0: a free one, which is printed")
    parser.add_argument("--model", type=Path, help="loaded at the start, saved at the end")
    options = parser.parse_args()
    serve(options.database, options.plans, options.port, options.model)
