"""Trials in worker processes: killed, hanging, raising; and decisions of a `Choice`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import acumen
from acumen.learners.search import Categorical, Flag, Integer, Search, Space, run_in_processes

SPACE = Space({"n": Integer(1, 40, default=1), "folder": Categorical(["."])})


def hostile(setting: dict[str, Any]) -> float:
    """Trial 0 (n = 1) kills its worker once; others hang, raise, or end their worker always."""
    folder = Path(os.environ["ACUMEN_TEST_FOLDER"])
    n = setting["n"]
    if n == 1 and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if n % 5 == 2:
        os._exit(3)
    if n % 5 == 3:
        raise RuntimeError("wrong output")
    if n % 5 == 4:
        child = subprocess.Popen(["sleep", "60"])
        (folder / f"child-{child.pid}").touch()
        time.sleep(60)
    return float(n)


def test_workers_may_die_hang_and_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACUMEN_TEST_FOLDER", str(tmp_path))
    search = Search(SPACE, budget=9, seed=5, file=tmp_path / "search.sqlite")
    run_in_processes(search, hostile, workers=2, timeout=2.0, attempts=2)
    assert (tmp_path / "killed").exists()
    assert search.trials[0].state == "done"  # it was given to another worker
    seen = set()
    for trial in search.trials:
        kind = trial.setting["n"] % 5
        seen.add(kind)
        words = {2: "exit status 3", 3: "RuntimeError: wrong output", 4: "timed out after 2 s"}
        assert words.get(kind, "") in (trial.reason or ""), trial
        assert trial.state == ("failed" if kind in words else "done")
    assert len(seen) >= 3, seen
    for path in tmp_path.glob("child-*"):
        assert gone(int(path.name.removeprefix("child-")))


def gone(pid: int) -> bool:
    """Whether a process has ended; its parent being dead, somebody else buries it soon."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


def test_a_search_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="budget"):
        run_in_processes(Search(SPACE), hostile)


def test_a_search_over_arms_is_the_choice_deciding(tmp_path: Path) -> None:
    seconds = {"none": 3.0, "lz4": 1.0, "zstd": 2.0}
    codec = acumen.Choice(
        "codec",
        arms=list(seconds),
        context={"size": float},
        default="none",
        metric=acumen.minimize("seconds"),
        journal=tmp_path / "journal",
        seed=1,
    )
    search = codec.search(budget=60, context={"size": 3.0}, seed=1)
    for trial in search:
        assert 0 < trial.propensity <= 1
        search.tell(trial, seconds=seconds[trial.setting["arm"]])
    assert search.best is not None
    assert search.best.setting == {"arm": "lz4"}
    assert codec.counters()["feedback_learned"] == 60
    assert codec.learner.version == 60
    assert codec.journal is not None
    assert codec.journal.sequence >= 120  # decisions and feedback
    assert codec.journal.dropped == 0


def test_a_search_over_a_space_is_decided_between_suggestion_and_control() -> None:
    space = Space({f"f{i}": Flag() for i in range(8)} | {"n": Integer(1, 100)})
    tuned = acumen.Choice(
        "tuned", arms=space, context={}, metric=acumen.minimize("seconds"), seed=3
    )
    search = tuned.search(budget=120, seed=3)
    for trial in search:
        value = 10.0 + abs(trial.setting["n"] - 70) - 3.0 * trial.setting["f3"]
        if trial.number == 5:
            search.fail(trial, "crashed")
        else:
            search.tell(trial, seconds=value)
    trials = search.trials
    shares = {t.learner: t.propensity for t in trials[1:]}
    assert trials[0].setting == space.default
    drawn = [t for t in trials if t.learner == "control"]
    assert 3 <= len(drawn) <= 28  # of 119, a tenth: four standard deviations
    assert shares["control"] == pytest.approx(0.098, abs=1e-6)
    assert search.best is not None
    assert search.best.setting["f3"]
    assert search.best.setting["n"] == 70
    counters = tuned.counters()
    assert counters["feedback_learned"] == 119


def test_choices_over_other_candidates_have_no_space() -> None:
    choice = acumen.Choice(
        "c", arms=acumen.Candidates(3), context={}, metric=acumen.minimize("seconds")
    )
    with pytest.raises(TypeError, match="Space"):
        choice.search(budget=3)


PATIENT = """
import os, subprocess, sys
from acumen.learners.search import Integer, Search, Space, run_in_processes

def measure(setting):
    child = subprocess.Popen(["sleep", "60"])
    with open("pids.new", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename("pids.new", "pids")
    child.wait()
    return 1.0

if __name__ == "__main__":
    run_in_processes(Search(Space({"n": Integer(1, 9)}), budget=2), measure, workers=1)
"""


def test_workers_end_with_who_is_killed(tmp_path: Path) -> None:
    (tmp_path / "patient.py").write_text(PATIENT)
    parent = subprocess.Popen([sys.executable, "patient.py"], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pids").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    pids = (tmp_path / "pids").read_text().split()
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_running(pid) for pid in pids)


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_failure_is_a_decision_without_feedback() -> None:
    level = acumen.Choice(
        "level",
        arms=Space({"level": Integer(1, 9)}),
        context={},
        metric=acumen.minimize("seconds"),
        seed=1,
    )
    search = level.search(budget=12, seed=1)
    for trial in search:
        if trial.number % 3 == 0:
            search.fail(trial, "crashed")
        else:
            search.tell(trial, seconds=float("nan") if trial.number % 3 == 1 else 1.0)
    assert [trial.state for trial in search.trials[:3]] == ["failed", "failed", "done"]
    counters = level.counters()
    assert (counters["feedback_learned"], counters["feedback_bad"]) == (4, 0)
    assert not search._decisions  # nothing piles up
