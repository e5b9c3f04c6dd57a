"""The hierarchical planner beside every heuristic, on training steps of the talk's models.

    python benchmarks/placement_hierarchical.py [MODEL …] [--devices SPEC …] [--seconds S]
        [--seed N] [--cold] [--unlearned] [--local] [--cache DIR] [--json FILE]

Models: nmt2, nmt4, nmt8 (layers; 40 words), nmt8_deep (134 words: 80,829 operators), rnnlm,
inception_v3, resnet50; in single precision with Adam, 64 sentences or 32 images a step, every
weight an operator of its own. Costs are rooflines. Milliseconds of a step, simulated with
contention; "!": it does not fit. Seconds are this process's own time, of all threads: on a machine
that is shared, other clocks say little. `--unlearned`: the same search, whose policies do not
learn; `--local`: local search (`refine`) in as much time, from the same plan.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from acumen.placement import DEVICE_KINDS, Simulator, lower_bound, parse_devices
from acumen.placement.graph import Graph
from acumen.placement.plan import Deadline, Plan, PlanError, Score, Task
from acumen.placement.planners import hierarchical, hierarchical_policy, refine
from acumen.placement.portfolio import LATENCY_PLANNERS
from acumen.placement.pytorch import cached, capture_training_step, models, to_graph
from json_file import write_rows

HEURISTIC_SECONDS = 4.0


class OwnTime(Deadline):
    """Until when, in this process's own time."""

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self.at - time.process_time())


def sentences(make: Callable[[], Any], length: int, inputs: int) -> Callable[[], Any]:
    words = (models.words(64, length),) * inputs
    targets = (models.labels(64, length),)
    return lambda: capture_training_step(make, words, models.cross_entropy, targets, "adam")


def pictures(make: Callable[[], Any], size: int) -> Callable[[], Any]:
    images, targets = (models.images(32, size),), (models.labels(32),)
    return lambda: capture_training_step(make, images, models.cross_entropy, targets, "adam")


def captures() -> dict[str, Callable[[], Any]]:
    return {
        "resnet50": pictures(models.resnet50, 224),
        "inception_v3": pictures(models.inception_v3, 299),
        "rnnlm": sentences(models.rnnlm, 40, 1),
        "nmt2": sentences(lambda: models.nmt(2), 40, 2),
        "nmt4": sentences(lambda: models.nmt(4), 40, 2),
        "nmt8": sentences(lambda: models.nmt(8), 40, 2),
        "nmt8_deep": sentences(lambda: models.nmt(8), 134, 2),
    }


def graph_of(name: str, folder: Path | None) -> Graph:
    capture = captures()[name]
    captured = cached(folder / f"{name}.json.gz", capture) if folder else capture()
    return to_graph(captured, {kind: DEVICE_KINDS[kind] for kind in ("k80", "cpu")}, "variables")


def best_of(plans: Iterator[Plan], score: Callable[[Plan], Score]) -> tuple[Plan, Score] | None:
    best: tuple[Plan, Score] | None = None
    try:
        for plan in plans:
            worth = score(plan)
            if best is None or worth.better_than(best[1]):
                best = plan, worth
    except PlanError as error:
        print(f"  {error}")
    return best


def compare(task: Task, given: argparse.Namespace) -> dict[str, float]:
    score, row, start = Simulator(task).score, {}, None
    found: dict[str, tuple[Plan, Score] | None] = {}
    for name, planner in LATENCY_PLANNERS.items():
        until = OwnTime(time.process_time() + HEURISTIC_SECONDS)
        begun = time.process_time()
        found[name] = mine = best_of(planner(task, until, given.seed), score)
        row[f"{name}_seconds"] = time.process_time() - begun
        if mine is not None and (start is None or mine[1].better_than(start[1])):
            start = mine
    if start is None:
        raise SystemExit("no heuristic has a plan")
    until = OwnTime(time.process_time() + given.seconds)
    if given.local:
        plans = refine.plan(task, until, given.seed, start[0], score)
    elif given.cold:
        plans = hierarchical.plan(task, until, given.seed, taught=False)
    else:
        plans = hierarchical.improve(task, until, given.seed, start[0], score)
    found["local" if given.local else "hierarchical"] = best_of(plans, score) or start
    for name, one in found.items():
        if one is not None:
            mark = "!" if one[1].excess_bytes else ""
            print(f" {name} {1e3 * one[1].seconds:.1f}{mark}", end="")
            row[name] = one[1].seconds
    row["bound"] = lower_bound(task)
    row["peak_gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f" bound {1e3 * row['bound']:.1f} ({row['peak_gigabytes']:.2f} GB)", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=list(captures())[:-1])
    specs = [f"gpu:k80*{count},cpu" for count in (2, 4, 8)]
    parser.add_argument("--devices", nargs="+", default=specs, metavar="SPEC")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    for name in ("cold", "unlearned", "local"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where captured steps are kept")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.unlearned:
        hierarchical_policy.LEARNING_RATE = 0.0
    rows = []
    for name in given.models:
        graph = graph_of(name, given.cache)
        for spec in given.devices:
            print(f"{name}, {len(graph):,} operators, {spec}:", end="")
            task = Task(graph, parse_devices(spec), "latency")
            rows.append({"model": name, "devices": spec, **compare(task, given)})
    if given.json:
        write_rows(given.json, rows)


if __name__ == "__main__":
    main()
