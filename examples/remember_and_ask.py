"""What was chosen, and why? A journal remembers; a new process goes on where the last one ended.

A service picks one of three replicas to ask. Its decisions go into a journal, from which the model
is made again after a restart, and from which anybody can see what came of them.

    python examples/remember_and_ask.py
"""

import random
import tempfile
from pathlib import Path

import pyarrow.compute as pc

import acumen

REPLICAS = ["near", "far", "busy"]


def seconds(replica: str, size: float, rng: random.Random) -> float:
    """How long a replica takes: the near one is slow with large answers."""
    fixed, per_unit = {"near": (0.01, 0.02), "far": (0.05, 0.001), "busy": (0.06, 0.01)}[replica]
    return fixed + per_unit * size + rng.expovariate(200)


def open_choice(journal: Path) -> acumen.Choice:
    """The choice, as every start of the service declares it."""
    return acumen.Choice(
        "replica",
        arms=REPLICAS,
        context={"size": float},
        default="near",
        metric=acumen.minimize("seconds", log=True),
        journal=journal,
    )


def serve(choice: acumen.Choice, requests: int, seed: int) -> float:
    """Serves requests; returns their mean time."""
    rng = random.Random(seed)
    total = 0.0
    for _ in range(requests):
        size = rng.choice([1.0, 10.0])
        decision = choice.choose(size=size)
        took = seconds(decision.arm, size, rng)
        decision.feedback(seconds=took)
        total += took
    return total / requests


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal"
        first = open_choice(journal)
        print(f"first day:      {1000 * serve(first, 2000, seed=1):.1f} ms a request")
        first.journal.close()  # a program that just ends does the same

        second = open_choice(journal)
        print(f"after restart:  {second.replay(journal)}")
        print(f"second day:     {1000 * serve(second, 2000, seed=2):.1f} ms a request")
        second.journal.flush()

        table = acumen.Journal(journal).decisions()
        for size in (1.0, 10.0):
            asked = table.filter(pc.equal(table["context.size"], size)).group_by("arm")
            counted = asked.aggregate([("metric.seconds", "mean"), ("id", "count")]).sort_by("arm")
            for row in counted.to_pylist():
                mean, times = 1000 * row["metric.seconds_mean"], row["id_count"]
                print(f"size {size:4}  {REPLICAS[row['arm']]:5} {times:5} times, {mean:6.1f} ms")
        second.journal.close()
