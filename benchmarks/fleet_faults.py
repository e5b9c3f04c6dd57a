"""What faults of a fleet do to those who choose: real processes, one fault after the other.

    unshare --net --map-root-user python benchmarks/fleet_faults.py [--json FILE] [--seed N]
        [--seconds S] [--pause S] [--faults NAME,NAME]

For every fault there are two fleets, in directories of their own, with a trainer and two processes
that bring news all the time. One of them has the fault. A process that takes part in both chooses
in blocks of 100 calls, whose order is drawn anew in every pass: in a choice of the faulted fleet,
in one of the other, and in one more of the other (A/A). So the machine's noise is in all three, and
what is left is the fault's. Given are the 99th percentiles of single calls and their ratios, with
95 % intervals, bootstrapped over the passes.

Afterwards all are told to end, and it is counted whether the fleet's newest model has every lesson
that is durable in a journal, from every process once, those that were killed included.

The clock's jumps are made for the faulted choice's blocks only: a library that is loaded before
the C library adds to its wall clock. The hub's faults need Ray, and a network of their own
(`unshare`), because Ray listens on all addresses. What cannot be done here is left out and said.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import acumen
from acumen.core import model_file
from acumen.core.journal_format import FATES, JournalError
from acumen.core.published import MODELS, ModelFolder
from acumen.evaluation.results import describe_machine
from fleet_calls import loopback_up, token_for_ray
from fleet_process import ANSWER, CLOCK, FIELDS, NAMES

PROCESS = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("fleet_process.py"))]
TRAIN = [sys.executable, "-c", "from acumen.cli import main; main()", "train"]
PATIENCE_SECONDS = 1.0
LIMIT = 2.0
DRAWS = 400
CLOCK_SOURCE = Path(__file__).parent / "native" / "jumping_clock.c"


class UnavailableError(Exception):
    """This fault cannot be made here."""


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)
    return found


Process = subprocess.Popen[str]


class Fleets(ExitStack):
    """Two fleets, one of which is to have a fault, and who measures; they end with the block."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__()
        self.folder, self.seed = folder, seed
        self.faulted, self.control = folder / "faulted", folder / "control"
        self.hub: list[str] = []
        self.environment: dict[str, str] = {}
        self.peers: list[Process] = []
        self.trainers: list[Process] = []
        self._log = (folder / "errors").open("ab")
        self.callback(self._log.close)

    def run(self, *command: str | Path) -> Process:
        """A process whose input and output are ours."""
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | self.environment,
        )
        self.callback(end, process)
        return process

    def peer(self, folder: Path, *more: str) -> Process:
        """A process that brings a fleet its news."""
        self.seed += 1
        if self.hub and folder == self.faulted:
            # A machine of its own.
            folder, more = folder / f"m{self.seed}", (*more, "--hub", *self.hub)
        return self.run(*PROCESS, "peer", folder, str(self.seed), *more)

    def trainer(self, folder: Path) -> Process:
        """One more candidate."""
        settings = ("--patience-seconds", str(PATIENCE_SECONDS), "--pending-max", str(1 << 18))
        return self.run(*TRAIN, folder, "--watch", "--quiet", *settings)

    def measured(self, *more: str) -> Process:
        """A process of both fleets."""
        self.seed += 10
        folder = self.faulted
        if self.hub:
            folder, more = folder / "m0", (*more, "--hub", *self.hub)
        process = self.run(*PROCESS, "measured", folder, self.control, str(self.seed), *more)
        assert heard(process) == "begun"
        return process

    def start(self) -> Process:
        """Everybody; returns who measures, when news reaches all of its choices."""
        measured = self.measured()
        self.peers = [self.peer(self.faulted) for _ in range(2)]
        self.others = [self.peer(self.control) for _ in range(2)]
        if not self.hub:
            self.trainers = [self.trainer(self.faulted)]
            wait_for("an elected trainer", lambda: list(self.faulted.glob("*/_models/*/*.term")))
            self.trainers.append(self.trainer(self.faulted))
        self.others.append(self.trainer(self.control))
        assert heard(measured) == "ready"
        return measured


def end(process: Process) -> None:
    """Ends a process, paused or not; a cluster ends when its input does, and takes a moment."""
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()
    if process.args[-2] == "head":  # type: ignore[index]
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
    process.kill()
    process.wait()


def tell(process: Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def heard(process: Process) -> Any:
    """What a process answers; Ray talks, too."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(ANSWER):
            return json.loads(line.removeprefix(ANSWER))
    raise RuntimeError("a process ended that should not have")


# Faults: each is made while who measures chooses, and is over when its function returns.


def nothing(fleets: Fleets, seconds: float) -> None:
    time.sleep(seconds)


def trainer_killed(fleets: Fleets, seconds: float) -> None:
    for _ in range(2):
        time.sleep(seconds / 4)
        fleets.trainers.pop(0).kill()
        time.sleep(seconds / 4)
        fleets.trainers.append(fleets.trainer(fleets.faulted))


def trainer_paused(fleets: Fleets, seconds: float) -> None:
    paused = fleets.trainers[0]
    paused.send_signal(signal.SIGSTOP)
    time.sleep(max(seconds * 3 / 4, 3 * PATIENCE_SECONDS))
    paused.send_signal(signal.SIGCONT)
    time.sleep(seconds / 4)


def replicas_killed(fleets: Fleets, seconds: float) -> None:
    for _ in range(max(2, int(seconds / 2))):
        fleets.peers.pop(0).kill()
        fleets.peers.append(fleets.peer(fleets.faulted))
        time.sleep(seconds / max(2, int(seconds / 2)))


def clock_jumps(fleets: Fleets, seconds: float) -> None:
    nothing(fleets, seconds)  # who measures makes them itself


def snapshots_damaged(fleets: Fleets, seconds: float) -> None:
    """Models and checkpoints that are torn or altered, newer than all; the trainer is killed."""
    rng = np.random.default_rng(fleets.seed)
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        for models in models_in(fleets.faulted):
            for what in ("model", "checkpoint"):
                for (term, version), path in models.files(what)[-1:]:
                    with suppress(FileNotFoundError):
                        contents = bytearray(path.read_bytes())
                        contents[int(rng.integers(len(contents)))] ^= int(rng.integers(1, 256))
                        torn = (
                            contents[: int(rng.integers(len(contents)))] if count % 2 else contents
                        )
                        name = f"{what}-{term:08d}-{version + 5000 + count:010d}.acumen"
                        (models.folder / name).write_bytes(torn)
        count += 1
        if count == 5:
            fleets.trainers.pop(0).kill()
        time.sleep(0.2)


def versions_mixed(fleets: Fleets, seconds: float) -> None:
    """A rolling upgrade: processes with another schema take the others' places one by one."""
    for _ in range(2):
        more = ("--fields", str(FIELDS + 1), "--train")
        fleets.peers.append(fleets.peer(fleets.faulted, *more))
        time.sleep(seconds / 4)
        fleets.peers.pop(0).kill()
        time.sleep(seconds / 4)


def hub_killed(fleets: Fleets, seconds: float) -> None:
    for _ in range(2):
        with suppress(OSError):
            os.kill(hub_state(fleets)["process"], signal.SIGKILL)
        time.sleep(seconds / 2)


FAULTS: dict[str, Callable[[Fleets, float], None]] = {
    fault.__name__: fault
    for fault in (
        nothing,
        trainer_killed,
        trainer_paused,
        replicas_killed,
        clock_jumps,
        snapshots_damaged,
        versions_mixed,
        hub_killed,
    )
}
PAUSED = "replica_paused"  # of which two processes tell: the others, and the one that was


@contextmanager
def setting(name: str, folder: Path, seed: int) -> Iterator[Fleets]:
    """Fleets with what the fault needs."""
    folder.mkdir()
    with Fleets(folder, seed) as fleets:
        if name == clock_jumps.__name__:
            fleets.environment = jumping_clock(folder)
        if name == hub_killed.__name__:
            fleets.hub = [cluster(fleets), str(folder / "checkpoints")]
        yield fleets


def jumping_clock(folder: Path) -> dict[str, str]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        raise UnavailableError("no C compiler to make a clock that jumps with")
    (folder / "clock").write_bytes(struct.pack("q", 0))
    library = folder / "clock.so"
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", library, CLOCK_SOURCE, "-ldl"], check=True
    )
    return {"LD_PRELOAD": str(library), CLOCK: str(folder / "clock")}


def cluster(fleets: Fleets) -> str:
    """Ray, in a network of its own, with a token that is made for this run."""
    if importlib.util.find_spec("ray") is None:
        raise UnavailableError("Ray is not installed: acumen[fleet]")
    try:
        loopback_up()
    except (OSError, SystemExit) as error:
        raise UnavailableError(f"Ray listens on all addresses, and {error}") from None
    token_for_ray(fleets.folder)
    import ray  # its settings are read now

    temporary = Path(tempfile.mkdtemp(prefix="ray-"))  # Ray's sockets want a short path
    fleets.callback(shutil.rmtree, temporary, ignore_errors=True)
    process = fleets.run(*PROCESS, "head", temporary)
    address: str = heard(process)
    ray.init(address=address, namespace="acumen", log_to_driver=False, logging_level="ERROR")
    fleets.callback(ray.shutdown)
    return address


def hub_state(fleets: Fleets) -> dict[str, Any]:
    from acumen import fleet
    from fleet_process import make

    return fleet.hub_state(make(fleets.folder / "asks", 0), timeout=20)


# What came of it.


def models_in(folder: Path) -> list[ModelFolder]:
    return [ModelFolder(path) for path in folder.glob(f"**/{MODELS}/*") if path.is_dir()]


def lessons_in(folder: Path) -> tuple[dict[str, int], int]:
    """Stream → lessons that the newest models have, and all lessons in the newest of each kind.

    A hub's model names in every machine's directory that machine's own streams only.
    """
    named: dict[str, int] = {}
    newest: dict[str, tuple[Any, int]] = {}
    for models in models_in(folder):
        found, kind = models.newer((0, 0), []), models.folder.name
        if found is not None:
            named |= found.header["trainer"]["lessons"]
            whole = (found.stamp, int(found.arrays["lessons"][0]))
            newest[kind] = max(newest.get(kind, whole), whole)
    return named, sum(count for _, count in newest.values())


def durable_in(folder: Path) -> dict[str, int]:
    """Stream → feedback in its journal that taught its process something."""
    counts: dict[str, int] = {}
    for journal in {path.parent.parent for path in folder.glob("**/*.arrow*")}:
        for batch in acumen.Journal(journal).events("fleet"):
            fates = batch.rows.column("fate").indices.to_pylist()
            if taught := fates.count(FATES.index("learned")):
                counts[batch.info.stream] = counts.get(batch.info.stream, 0) + taught
    return counts


def settled(fleets: Fleets, measured: list[Process]) -> dict[str, int]:
    """Everybody stops choosing; what is durable, and how much of it the fleet does not have."""
    living = [*measured, *fleets.peers]
    for process in living:
        tell(process, "flush")
    for process in living:
        heard(process)
    durable = durable_in(fleets.faulted)

    def wrong() -> int:
        lessons, learned = lessons_in(fleets.faulted)
        streams = sum(abs(lessons.get(s, 0) - durable.get(s, 0)) for s in lessons | durable)
        return max(streams, abs(learned - sum(durable.values())))

    with suppress(TimeoutError):
        wait_for("all is learned", lambda: wrong() == 0, 60)
    return {"durable": sum(durable.values()), "streams": len(durable), "wrong": wrong()}


def ratio(times: dict[str, NDArray[Any]], one: str, other: str, column: int, seed: int) -> Any:
    """Of the 99th percentiles of single calls, with an interval from whole passes drawn anew."""
    rng = np.random.default_rng(seed)
    a, b = (np.ascontiguousarray(times[name][:, :, column], float) for name in (one, other))
    draws = []
    for _ in range(DRAWS):
        chosen = rng.integers(len(a), size=len(a))
        draws.append(np.percentile(a[chosen], 99) / np.percentile(b[chosen], 99))
    low, high = np.percentile(draws, [2.5, 97.5])
    found = np.percentile(a, 99) / np.percentile(b, 99)
    return {"ratio": round(found, 3), "low": round(low, 3), "high": round(high, 3)}


def figures(name: str, path: Path, health: dict[str, Any], seed: int) -> dict[str, Any]:
    with np.load(path) as loaded:
        times = {n: loaded[n.replace(" ", "_")] for n in NAMES}
    row: dict[str, Any] = {
        "fault": name,
        "calls": int(times["faulted"].shape[0] * times["faulted"].shape[1]),
        "models_taken": health["taken"],
    } | {name: health[name] for name in ("refused", "behind", "missed", "caught_up", "errors")}
    for column, call in enumerate(("choose", "feedback")):
        for which in NAMES:
            ninety_nine, worst = np.percentile(times[which][:, :, column], [99, 100])
            row[f"{call} p99 ns, {which}"] = round(float(ninety_nine))
            row[f"{call} slowest ms, {which}"] = round(float(worst) / 1e6, 2)
        row[call] = ratio(times, "faulted", "control", column, seed)
        row[f"{call} A/A"] = ratio(times, "control again", "control", column, seed)
    return row


def measure(name: str, folder: Path, seconds: float, seed: int) -> list[dict[str, Any]]:
    """A fault, and what it did to who chose."""
    with setting(name, folder, seed) as fleets:
        measured = fleets.start()
        tell(measured, "begin clock" if name == clock_jumps.__name__ else "begin")
        FAULTS[name](fleets, seconds)
        row = finished(name, fleets, measured, seed)
        return [row | settled(fleets, [measured])]


def measure_pause(folder: Path, seconds: float, pause: float, seed: int) -> list[dict[str, Any]]:
    """A replica is paused: what it does to the others, and to itself when it is awake again."""
    with setting(PAUSED, folder, seed) as fleets:
        measured = fleets.start()
        sleeper = fleets.measured("--still")
        assert heard(sleeper) == "ready"
        tell(measured, "begin")
        sleeper.send_signal(signal.SIGSTOP)
        tell(sleeper, "begin")
        time.sleep(max(pause, seconds))
        others = finished(f"{PAUSED}: the others", fleets, measured, seed)
        sleeper.send_signal(signal.SIGCONT)
        time.sleep(seconds)
        itself = finished(f"{PAUSED}: itself, awake again", fleets, sleeper, seed)
        found = settled(fleets, [measured, sleeper])
        return [others | found, itself | found]


def finished(name: str, fleets: Fleets, measured: Process, seed: int) -> dict[str, Any]:
    path = fleets.folder / f"times-{measured.pid}.npz"
    tell(measured, f"end {path}")
    return figures(name, path, heard(measured), seed)


def show(rows: list[dict[str, Any]], console: Console) -> None:
    names = ("fault", "calls", "p99 ns", "A/A", "choose", "feedback", "durable", "wrong")
    table = Table(*names)
    for row in rows:
        found = [row[key] for key in ("choose A/A", "choose", "feedback")]
        said = [f"{f['ratio']:.2f} ({f['low']:.2f} … {f['high']:.2f})" for f in found]
        table.add_row(
            row["fault"],
            f"{row['calls']:,}",
            f"{row['choose p99 ns, control']:,}",
            *said,
            f"{row['durable']:,}",
            str(row["wrong"]),
        )
    console.print(table)


def main() -> None:
    parser, names = argparse.ArgumentParser(description=__doc__), [*FAULTS, PAUSED]
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=12.0, help="of measuring, for each fault")
    parser.add_argument("--pause", type=float, default=12.0, help="how long a replica is paused")
    parser.add_argument("--faults", default=",".join(names), help="which")
    options = parser.parse_args()
    chosen = [name for name in options.faults.split(",") if name]
    if unknown := set(chosen) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    console, rows, left_out = Console(), [], {}
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        for name in chosen:
            try:
                if name == PAUSED:
                    rows += measure_pause(
                        folder / name, options.seconds, options.pause, options.seed
                    )
                else:
                    rows += measure(name, folder / name, options.seconds, options.seed)
            except UnavailableError as error:
                left_out[name] = str(error)
                console.print(f"{name} is left out: {error}")
            except (TimeoutError, RuntimeError, JournalError, model_file.ModelError):
                console.print((folder / name / "errors").read_text()[-4000:])
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(rows, Console(width=150))
    report = {
        "benchmark": "fleet_faults",
        "seed": options.seed,
        "seconds": options.seconds,
        "pause": options.pause,
        "machine": describe_machine(),
        "load": os.getloadavg(),
        "left_out": left_out,
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if any(row["wrong"] for row in rows):
        sys.exit("what the fleet has learned is not what its journals say")


if __name__ == "__main__":
    main()
