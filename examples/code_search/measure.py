"""The service under load: SQLite's planner against the learned choice, from its first request on.

    python measure.py [--requests N] [--rate PER_SECOND] [--seed N] [--files N] [--json FILE]

Requests come at random moments at a fixed rate, however slow the answers are (an open loop): a
latency counts from the moment at which the request was due, so nobody gains by holding up the
queue. Both services get the same requests, in alternating blocks. Answers are compared, too.
"""

import argparse
import contextlib
import http.client
import json
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import apsw

import index

BLOCKS = 8
WORKERS = 16
PERCENTILES = (0.5, 0.9, 0.95, 0.99)


def searches(database: Path, count: int, seed: int) -> list[str]:
    """What people look for: half the time some name, else one that they have just read."""
    rng = random.Random(seed)
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    names = [name for (name,) in connection.execute("SELECT DISTINCT name FROM uses ORDER BY 1")]
    (uses,) = next(connection.execute("SELECT count(*) FROM uses"))
    one = "SELECT name, package, kind FROM uses WHERE rowid = ?"
    urls = []
    for _ in range(count):
        if rng.random() < 0.5:
            asked = {"name": rng.choice(names)}
        else:
            name, package, kind = next(connection.execute(one, (rng.randint(1, uses),)))
            asked = {"name": name}
            if rng.random() < 0.5:
                asked["package"] = package
            if rng.random() < 0.3:
                asked["kind"] = kind
        urls.append("/search?" + urlencode(asked))
    return urls


@contextlib.contextmanager
def service(database: Path, plans: str) -> Iterator[int]:
    """A service in a process of its own; its port."""
    script = Path(__file__).with_name("service.py")
    command = [sys.executable, str(script), str(database), "--plans", plans]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class Load:
    """Workers with connections that stay open."""

    def __init__(self, port: int) -> None:
        self.due: queue.Queue[tuple[float, int, str] | None] = queue.Queue()
        self.latencies: dict[int, float] = {}
        self.answers: dict[int, bytes] = {}
        self.errors = 0
        self.threads = [threading.Thread(target=self._work, args=(port,)) for _ in range(WORKERS)]
        for thread in self.threads:
            thread.start()

    def _work(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while (job := self.due.get()) is not None:
            when, number, url = job
            try:
                connection.request("GET", url)
                response = connection.getresponse()
                self.answers[number] = response.read()
                self.errors += response.status != 200
            except OSError:
                self.errors += 1
            self.latencies[number] = time.perf_counter() - when
            self.due.task_done()
        connection.close()

    def run(self, urls: list[str], first: int, rate: float, rng: random.Random) -> None:
        """Sends the requests when they are due, and waits for the last answer."""
        when = time.perf_counter()
        for number, url in enumerate(urls, first):
            when += rng.expovariate(rate)
            time.sleep(max(0.0, when - time.perf_counter()))
            self.due.put((when, number, url))
        self.due.join()

    def stop(self) -> None:
        """Ends the workers."""
        for _ in self.threads:
            self.due.put(None)
        for thread in self.threads:
            thread.join()


def percentiles(latencies: list[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(latencies)
    said = {f"p{100 * p:g}": 1000 * ordered[int(p * len(ordered))] for p in PERCENTILES}
    return said | {"mean": 1000 * sum(ordered) / len(ordered)}


def measure(requests: int, rate: float, seed: int, files: int | None) -> dict[str, object]:
    """Builds the index, runs both services, compares them."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        database = Path(folder) / "uses.sqlite"
        uses = index.build(database, files)
        urls = searches(database, requests, seed)
        ports = {p: stack.enter_context(service(database, p)) for p in ("planner", "learned")}
        loads = {plans: Load(port) for plans, port in ports.items()}
        rng = random.Random(seed)
        size = -(-len(urls) // BLOCKS)
        for first in range(0, len(urls), size):
            for plans in rng.sample(sorted(loads), len(loads)):
                moments = random.Random(f"{seed} {first}")  # the same for both
                loads[plans].run(urls[first : first + size], first, rate, moments)
        asked = http.client.HTTPConnection("127.0.0.1", ports["learned"])
        asked.request("GET", "/comparison")
        comparison = json.loads(asked.getresponse().read())
        asked.close()
        for load in loads.values():
            load.stop()
    same = sum(loads["planner"].answers[i] == loads["learned"].answers[i] for i in range(requests))
    half = requests // 2
    return {
        "uses": uses,
        "requests": requests,
        "rate": rate,
        "seed": seed,
        "errors": sum(load.errors for load in loads.values()),
        "same_answers": same,
        "comparison": comparison,
        "all": {p: percentiles(list(load.latencies.values())) for p, load in loads.items()},
        "second half": {
            p: percentiles([load.latencies[i] for i in range(half, requests)])
            for p, load in loads.items()
        },
    }


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=4000, help="to each service")
    parser.add_argument("--rate", type=float, default=80.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, help="of the library, at most: a smaller index")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = measure(options.requests, options.rate, options.seed, options.files)
    print(f"{report['uses']:,} uses of names; {report['requests']:,} requests to each service at ")
    print(f"{report['rate']:g} a second; {report['same_answers']:,} answers alike, ", end="")
    print(f"{report['errors']} errors\n")
    print(
        "latency, ms                 " + "".join(f"{f'p{100 * p:g}':>9}" for p in PERCENTILES),
        "    mean",
    )
    for part in ("all", "second half"):
        for plans, row in report[part].items():
            print(f"{plans:12}{part:16}" + "".join(f"{value:9.2f}" for value in row.values()))
    print(f"\nlearned against its own holdback: {report['comparison']}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
