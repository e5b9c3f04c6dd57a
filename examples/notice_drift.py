"""The world changes under a learned choice: it notices, says so, and learns anew.

A service asks one of two replicas; the large one is faster with large requests. At half time
somebody swaps their disks. Without a watch the model unlearns what it knew slowly; with one it
forgets at once.

    python examples/notice_drift.py
"""

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np

import acumen


def serve(choice: acumen.Choice, watch: acumen.DriftWatch | None, rounds: int = 10_000) -> float:
    """Milliseconds a request, in the second half."""
    rng = np.random.default_rng(1)
    late = []
    for i in range(rounds):
        size = float(rng.lognormal(0, 1))
        decision = choice.choose(size=size)
        swapped = i >= rounds // 2
        is_large = (decision.arm == "large") != swapped
        milliseconds = (3.0 + size if is_large else 1.0 + 3 * size) * rng.lognormal(0, 0.2)
        decision.feedback(milliseconds=milliseconds)
        if watch is not None and i % 100 == 99:
            watch.look()  # or watch.start(), which looks every second in a thread of its own
        if swapped:
            late.append(milliseconds)
    return float(np.mean(late))


def make(journal: Path | None = None) -> acumen.Choice:
    """The choice, as the service declares it."""
    return acumen.Choice(
        "replica",
        arms=["small", "large"],
        context={"size": float},
        default="small",
        metric=acumen.minimize("milliseconds"),
        journal=journal,
        seed=1,
    )


with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the watch warns; here the journal is read instead
    choice = make(Path(folder))
    watched = serve(choice, acumen.DriftWatch(choice, on_context="warn", on_reward="explore"))
    print(f"unwatched {serve(make(), None):.2f} ms, watched {watched:.2f} ms a request")
    assert choice.journal is not None
    choice.journal.flush()
    for batch in acumen.Journal(folder).scan():
        for event in batch.to_pylist():
            if event["kind"] == "note":
                print(json.loads(event["text"])["drift"]["reason"])
    choice.journal.close()
