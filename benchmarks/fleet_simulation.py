"""How the load of a fleet's hubs grows with its size, in virtual time, from real costs.

    python benchmarks/fleet_simulation.py [--json FILE] [--seed N] [--call-us MICROSECONDS]

First the real `Hub` and `Root` are timed: a batch of events (read, checked, learned, answered), a
model with its checkpoint, and what the root does for one hub. Then calls of up to 10,000 machines,
each at its own phase, queue before hubs that work on one at a time; every second a hub stops to
publish, and the root asks all hubs and merges. A call's way through the network is not in these
costs; what the cluster's own machinery adds to each is --call-us (see docs/results/fleet.md).

A model is the same for all, and comes with the caller's own positions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import acumen
from acumen.core.twin import twin
from acumen.evaluation.results import describe_machine
from acumen.fleet import Hub, Root
from acumen.fleet.hub import Shown
from acumen.fleet.wire import encode
from journal_overhead import FIELDS, make

DECISIONS_PER_SECOND = 10  # of a machine: 20 events
PERIOD_S = 1.0  # between two calls of a machine
PUBLISH_S = 1.0
SECONDS = 30
STREAMS = 10_000
SIZES = (100, 1_000, 10_000)
SHARDS = (1, 2, 4, 8, 16, 32, 64)


def batches_of(folder: Path, decisions: int, count: int, seed: int) -> list[bytes]:
    """Batches as an uplink sends them, of streams of their own."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        choice = make(acumen.Journal(folder / f"{decisions}-{number}"), pending_max=512)
        rows = rng.normal(size=(decisions, FIELDS))
        choice.feedback_many(choice.choose_many(rows).ids, reward=np.full(decisions, 0.5))
        assert choice.journal is not None
        assert choice.journal.close(30)
        found += [encode(batch) for batch in acumen.Journal(choice.journal.journal.path).events()]
    return found


def median_s(call: Any, arguments: list[Any]) -> float:
    times = []
    for argument in arguments:
        start = time.perf_counter()
        call(argument)
        times.append(time.perf_counter() - start)
    return float(np.median(times[len(times) // 5 :]))


def costs(folder: Path, seed: int) -> dict[str, float]:
    """Seconds of each thing that hubs and the root do."""
    never = 1e9
    settled = make(pending_max=512)
    hub = Hub(str(folder / "hub"), publish_seconds=never, pending_max=1 << 14)
    for contents in batches_of(folder, 600, 1, seed):
        hub.exchange([(contents, 0)], (0, 0), [])

    def take(contents: bytes) -> None:
        hub.exchange([(contents, 0)], (1 << 62, 0), [])

    small = median_s(take, batches_of(folder, 10, 60, seed + 1))
    large = median_s(take, batches_of(folder, 100, 30, seed + 2))
    per_event = max((large - small) / 180, 0.0)
    publish = median_s(lambda _: publish_all(hub), list(range(10)))
    small_model = shown_by(hub)
    small_bytes, own_bytes = reply_bytes(hub)
    # What every stream more adds: its position, and its count of lessons, to a checkpoint.
    assert hub.trainer is not None
    known = dict(hub.trainer.positions), dict(hub.trainer.lessons)
    more = {f"{number:012x}-{number:06x}": 1 for number in range(STREAMS)}
    hub.trainer.positions |= more
    hub.trainer.lessons |= more
    crowded = median_s(lambda _: publish_all(hub), list(range(10)))
    crowded_bytes, _ = reply_bytes(hub)
    shown = shown_by(hub)
    relayed_bytes = len(json.dumps((dict(shown.positions), dict(shown.lessons))))
    hub.trainer.positions, hub.trainer.lessons = known
    root = Root(twin(settled))
    root.take("a", small_model)
    merge_one = median_s(lambda _: root.merged(), list(range(10)))
    return {
        "batch_s": small - 20 * per_event,
        "event_s": per_event,
        "publish_s": publish,
        "merge_one_s": merge_one,
        "model_bytes": small_bytes,
        "own_bytes": own_bytes,
        "publish_stream_s": max(crowded - publish, 0.0) / STREAMS,
        "relay_stream_bytes": relayed_bytes / STREAMS,
        "model_stream_bytes": (crowded_bytes - small_bytes) / STREAMS,
    }


def reply_bytes(hub: Hub) -> tuple[int, int]:
    """Of a model that is sent, and of what is sent with it to a machine with one process."""
    assert hub.trainer is not None
    stream = next(iter(hub.trainer.positions))
    reply = hub.exchange([], (0, 0), [stream])
    assert reply.model is not None
    own = (reply.taken, reply.durable, reply.positions, reply.lessons, reply.stamp)
    return len(reply.model), len(json.dumps(own))


def publish_all(hub: Hub) -> None:
    """A model and its checkpoint, as if there were news."""
    hub._modelled, hub._durable = -1, {}
    hub.tend(force=True)


def shown_by(hub: Hub) -> Shown:
    shown, *_ = hub.model_since((0, 0))
    assert shown is not None
    return shown


def served(arrivals: NDArray[Any], service: NDArray[Any]) -> NDArray[Any]:
    """When each is done, of what arrives in order and is worked on one at a time (Lindley)."""
    worked = np.cumsum(service)
    begun = np.maximum.accumulate(arrivals - np.concatenate([[0.0], worked[:-1]]))
    done: NDArray[Any] = begun + worked
    return done


def queue(
    calls: NDArray[Any], call_s: float, every_s: float, work_s: float
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """When calls are answered, when the regular work is done, and the server's utilisation."""
    ticks = np.arange(every_s, SECONDS, every_s)
    arrivals = np.concatenate([calls, ticks])
    service = np.concatenate([np.full(len(calls), call_s), np.full(len(ticks), work_s)])
    order = np.argsort(arrivals, kind="stable")
    done = np.empty(len(arrivals))
    done[order] = served(arrivals[order], service[order])
    return done[: len(calls)], done[len(calls) :], float(service.sum() / SECONDS)


def simulate(
    machines: int, shards: int, cost: dict[str, float], call_s: float, seed: int
) -> dict[str, Any]:
    """One fleet. A machine sends a batch and asks for a model once a period, at its own phase."""
    rng = np.random.default_rng(seed)
    phases = np.sort(rng.uniform(0, PERIOD_S, machines))
    hub_of = rng.integers(shards, size=machines)
    periods = np.arange(0, SECONDS - PERIOD_S, PERIOD_S)
    batch_s = call_s + cost["batch_s"] + 2 * DECISIONS_PER_SECOND * PERIOD_S * cost["event_s"]
    waits, uses, models = [], [], []
    for shard in range(shards):
        mine = phases[hub_of == shard]
        calls = np.sort((periods[:, None] + mine[None, :]).ravel())
        work_s = cost["publish_s"] + len(mine) * cost["publish_stream_s"]
        if shards > 1:  # the root asks for the model, and brings another
            work_s += 2 * call_s
        done, published, use = queue(calls, batch_s, PUBLISH_S, work_s)
        waits.append(np.maximum(done - calls - batch_s, 0.0))
        uses.append(use)
        models.append(published)
    wait = np.concatenate(waits)
    said: dict[str, Any] = {
        "machines": machines,
        "shards": shards,
        "hub_use": round(max(uses), 4),
        "wait_p50_ms": round(1e3 * float(np.percentile(wait, 50)), 2),
        "wait_p99_ms": round(1e3 * float(np.percentile(wait, 99)), 2),
        "root_use": 0.0,
    }
    if shards > 1:
        # It asks every hub, adds up what they say, and passes that on to every hub.
        hubs_s = shards * (2 * call_s + cost["merge_one_s"])
        merge_s = hubs_s + cost["publish_s"] + machines * cost["publish_stream_s"]
        _, merged, use = queue(np.empty(0), 0.0, PUBLISH_S, merge_s)
        said["root_use"] = round(use, 4)
        models = [merged]
    size = cost["model_bytes"] + cost["own_bytes"] + machines * cost["model_stream_bytes"]
    said["model_kb"], said["out_mb_per_s"] = round(size / 1e3), round(machines * size / 1e6, 1)
    relay = cost["model_bytes"] + machines * cost["relay_stream_bytes"]
    said["root_mb_per_s"] = round(shards * relay / 1e6 if shards > 1 else 0.0, 1)
    said["model_age_s"] = round(_age(models, periods, phases), 2)
    said["overloaded"] = max(*uses, said["root_use"]) >= 1
    return said


def _age(models: list[NDArray[Any]], periods: NDArray[Any], phases: NDArray[Any]) -> float:
    """Median time between a lesson and its arrival elsewhere: three waits for a turn."""
    rng = np.random.default_rng(1)
    published = np.sort(models[0])
    lessons = rng.uniform(2, SECONDS / 2, 4000)
    sent = np.ceil((lessons - rng.choice(phases, 4000)) / PERIOD_S) * PERIOD_S
    sent += rng.choice(phases, 4000)
    sent = np.maximum(sent, lessons)
    at = published[np.minimum(np.searchsorted(published, sent), len(published) - 1)]
    other = rng.choice(phases, 4000)
    asked = np.ceil((at - other) / PERIOD_S) * PERIOD_S + other
    return float(np.median(np.maximum(asked, at) - lessons))


def show(report: dict[str, Any], console: Console) -> None:
    console.print({name: float(f"{value:.3g}") for name, value in report["costs"].items()})
    names = list(report["rows"][0])
    table = Table(*names)
    for row in report["rows"]:
        table.add_row(*(str(row[name]) for name in names))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--call-us", type=float, default=0.0, help="what a call costs besides")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fleet-"))
    try:
        cost = costs(folder, options.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    call_s = options.call_us / 1e6
    rows = [simulate(n, s, cost, call_s, options.seed) for n in SIZES for s in SHARDS]
    report = {
        "benchmark": "fleet_simulation",
        "seed": options.seed,
        "call_us": options.call_us,
        "machine": describe_machine(),
        "costs": cost,
        "rows": rows,
    }
    show(report, Console(width=150))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
