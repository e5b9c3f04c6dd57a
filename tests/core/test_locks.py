"""Threads that wait for the engine's lock, with and without the GIL, do not wait for each other."""

import subprocess
import sys
from pathlib import Path

# One thread holds the lock without the GIL, one waits for it without, one with the GIL.
PROGRAM = """
import sys, threading, time
import numpy as np, acumen

choice = acumen.Choice(
    "c", ["a", "b"], context={"x": float}, default="a", metric=acumen.maximize("r"),
    journal=sys.argv[1],
)
rows = np.random.default_rng(1).standard_normal((5000, 1))
until = time.monotonic() + 1.5

def repeat(act):
    while time.monotonic() < until:
        act()

def live():
    made = choice.choose_many(rows)
    choice.feedback_many(made.ids, r=rows[:, 0])

acts = [live, lambda: choice.set_mode("on"), lambda: choice.records()]
threads = [threading.Thread(target=repeat, args=(act,)) for act in acts]
for thread in threads:
    thread.start()
repeat(lambda: (choice.counters(), choice.comparison()))
for thread in threads:
    thread.join()
print("ended")
"""


def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "ended\n"
