"""What a real gate and a real drift detector write, as the page reads it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_view import agree, look, view_of
from traffic import close, flush

import acumen
from acumen.evaluation.promotion.gate import BY
from acumen.watch.happenings import Happening
from acumen.watch.watcher import Watcher

ROUNDS = 250


def make(directory: Path, **changes: Any) -> acumen.Choice:
    arguments: dict[str, Any] = {
        "arms": ["small", "large"],
        "context": {"size": float},
        "default": "small",
        "metric": acumen.minimize("seconds") + acumen.observe("failed"),
        "holdback": 0.2,
        "seed": 5,
        "journal": acumen.Journal(directory, commit_seconds=0.001),
    }
    return acumen.Choice("replica", **(arguments | changes))


def work(
    choice: acumen.Choice, rng: np.random.Generator, rounds: int = ROUNDS, *,
    fails: float = 0.0, swapped: bool = False, moved: float = 0.0,
) -> None:  # fmt: skip
    """The large one is faster with large requests; unless they have been swapped."""
    for size in rng.lognormal(size=rounds) + moved:
        decision = choice.choose(size=size)
        large = (decision.arm == "large") != swapped
        seconds = (3.0 + size if large else 1.0 + 3 * size) * rng.lognormal(0, 0.2)
        decision.feedback(seconds=seconds, failed=float(large and rng.random() < fails))


def told(directory: Path, choice: acumen.Choice, *kinds: str) -> list[Happening]:
    watcher = Watcher(directory)
    look(watcher, choice)
    return [h for h in view_of(watcher, choice.name).happenings if h.kind in kinds]


def test_a_gate_says_who_and_why(tmp_path: Path) -> None:
    choice = make(tmp_path, mode="shadow")
    guardrails = [acumen.at_most("failed", 0.02)]
    gate = acumen.Promotion(choice, guardrails=guardrails, canary=(0.2, 0.5), probe=0.1,
                            look_seconds=0.0)  # fmt: skip
    rng = np.random.default_rng(1)
    for _ in range(200):
        work(choice, rng)
        flush(choice)
        if gate.step().promoted:
            break
    assert gate.status().promoted
    for _ in range(100):
        work(choice, rng, fails=0.4)
        if not gate.step().promoted:
            break
    transitions = gate.status().transitions
    assert [t.after for t in transitions] == ["canary 0.2", "canary 0.5", "on", "shadow"]
    choice.kill(why="the disks are full", by="Ada")
    flush(choice)
    modes = told(tmp_path, choice, "mode")
    # Shadow with a probe is a canary to the choice; each switch of the gate is one line.
    assert [h.title for h in modes] == [
        "canary 0.1", "canary 0.2", "canary 0.5", "on", "shadow", "killed (was shadow)"
    ]  # fmt: skip
    assert [h.why for h in modes[1:5]] == [t.why for t in transitions]
    assert [h.who for h in modes[:5]] == [f"{BY}, as it stood", *4 * [BY]]
    assert "failed" in modes[4].why
    assert (modes[5].who, modes[5].why) == ("Ada", "the disks are full")
    watcher = Watcher(tmp_path)
    look(watcher, choice)
    assert watcher.overview()["choices"][0]["mode"] == "killed"
    close(choice)


@pytest.mark.parametrize("reaction", ["warn", "explore", "fall_back"])
@pytest.mark.parametrize("what", ["reward", "context"])
def test_a_detector_says_what_and_since_when(tmp_path: Path, reaction: str, what: str) -> None:
    choice = make(tmp_path)
    on = {"on_reward": "warn", "on_context": "warn", f"on_{what}": reaction}
    watch = acumen.DriftWatch(choice, settle=200, decisions_per_alarm=1e5, **on)
    rng = np.random.default_rng(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for i in range(24):
            drifted = i >= 12
            work(choice, rng, swapped=drifted and what == "reward",
                 moved=3.0 if drifted and what == "context" else 0.0)  # fmt: skip
            watch.look()
    flush(choice)
    alarms = told(tmp_path, choice, "drift")
    assert [(h.title, h.why) for h in alarms] == [
        (f"drift: {a.reaction}", a.reason) for a in watch.alarms
    ]
    assert any(a.reaction == reaction for a in watch.alarms)
    watcher = Watcher(tmp_path)
    look(watcher, choice)
    agree(view_of(watcher, "replica"), choice)  # forgetting begins the comparison anew
    line = watcher.overview()["choices"][0]
    assert line["alarms"] == len(watch.alarms)
    forgot = [h.why for h in told(tmp_path, choice, "forget", "objective")]
    assert forgot == [
        f"the latest {a.since:,} decisions teach anew; {a.reason}"
        for a in watch.alarms
        if a.reaction == "explore"
    ]
    modes = told(tmp_path, choice, "mode")
    if reaction == "fall_back":
        [switch] = modes
        reason = next(a.reason for a in watch.alarms if a.reaction == reaction)
        assert (switch.title, switch.who, switch.why) == ("shadow", "DriftWatch", reason)
        assert line["mode"] == "shadow"
    else:
        assert modes == []
    close(choice)
