"""The page of a plan: what its boxes stand for, that it is whole, and that a browser draws it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_cases import task_of

from acumen.placement import boxes
from acumen.placement.boxes import Lane, merge, picture
from acumen.placement.page import save_page
from acumen.placement.plan import Plan, PlanError, Task
from acumen.placement.portfolio import Result, Row
from acumen.placement.simulator import Simulator

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HOSTILE = "</script><img src=x onerror=alert(1)>&\"'"


def long_task(n: int = 40) -> tuple[Task, Plan]:
    """A chain that goes to and fro between two devices, with one operator that is long."""
    seconds = np.full(n, 1e-3)
    seconds[n // 2] = 1.0
    edges = [(i, i + 1) for i in range(n - 1)]
    task = task_of(
        seconds, edges, 5, [1000, 1000, None], bytes_per_second=1e5, backward=np.arange(n) > n // 2
    )
    return task, Plan((np.arange(n) // 4 % 2).astype(np.int32))


def result_of(task: Task, plan: Plan) -> Result:
    score = Simulator(task).score(plan)
    single = Simulator(task).score(Plan(np.zeros(len(task.graph), np.int32)))
    rows = (Row("single", 0.1, single), Row("metis", 0.2, None, HOSTILE), Row("refine", 1, score))
    return Result(plan, score, score.seconds / 2, rows)


def data_of(path: Path) -> Any:
    found = re.search(r'id="plan">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), max_size=30),
    st.sampled_from([0.0, 1.0, 5.0, 64.0]),
)
def test_boxes_hide_nothing(drawn: list[tuple[int, int]], tolerance: float) -> None:
    """Gaps and lengths, one after the other."""
    gaps, lengths = np.array(drawn, np.float64).reshape(-1, 2).T
    end = np.cumsum(gaps + lengths)
    start = end - lengths
    lane = Lane(0, "compute", "compute", start, end, np.arange(len(drawn)))
    found = merge(lane, tolerance)
    assert found.busy.sum() == lengths.sum()
    assert found.first[-1] == len(drawn)
    sizes = np.diff(found.first)
    if tolerance == 0.0:
        assert (sizes == 1).all()
    for box, (first, last) in enumerate(zip(found.first, found.first[1:], strict=False)):
        assert lengths[found.longest[box]] == lengths[first:last].max()
        if last - first > 1:  # nothing long is merged, and what is merged is short
            assert lengths[first:last].max() < tolerance
            assert end[last - 1] - start[first] < 2 * tolerance


def test_a_picture_keeps_to_its_number_of_boxes() -> None:
    task, plan = long_task(400)
    timeline = Simulator(task).timeline(plan)
    whole = picture(task, plan, timeline)
    assert (whole.tolerance, whole.merged) == (0.0, 0)
    assert sum(map(len, whole.boxes)) == 400 + len(timeline.copies)
    few = picture(task, plan, timeline, boxes_max=60)
    assert sum(map(len, few.boxes)) <= 60
    assert few.merged > 0
    for one, other in zip(whole.boxes, few.boxes, strict=True):
        assert other.busy.sum() == pytest.approx(one.busy.sum(), rel=1e-12)
        long = np.flatnonzero(other.busy > 0.5)  # the second that one operator takes: alone still
        assert len(long) == (one.busy > 0.5).sum()
        assert (np.diff(other.first)[long] == 1).all()


def test_a_coarse_curve_keeps_every_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    task, plan = long_task(300)
    timeline = Simulator(task).timeline(plan)
    fine = picture(task, plan, timeline).curves
    monkeypatch.setattr(boxes, "POINTS_MAX", 20)
    coarse = picture(task, plan, timeline)
    assert coarse.coarse
    for (times, held), (edges, top) in zip(fine, coarse.curves, strict=True):
        assert len(edges) <= max(20, 1)
        assert top.max() == held.max()
        at = np.searchsorted(edges, times, side="right") - 1
        assert (top[at] >= held).all()


def test_the_page_is_self_contained_and_says_it_all(tmp_path: Path) -> None:
    task, plan = long_task()
    path = tmp_path / "plan.html"
    save_page(path, task, result_of(task, plan), [f"part{i // 20}" for i in range(40)])
    page = path.read_text("utf-8")
    bare = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)\s*=|url\(|@import", bare.replace("src=x", ""))
    assert "<img" not in page
    for words in ("at most 50.0% are left", "data flow back and forth", "Speed-up over one device"):
        assert words in page
    data = data_of(path)
    assert [device["name"] for device in data["devices"]] == ["d0", "d1", "d2"]
    first, second, idle = data["devices"]
    assert first["lanes"][0]["name"][:4] == ["op0", "op1", "op2", "op3"]
    assert [lane["label"] for lane in second["lanes"]] == ["compute", "to d0"]
    assert (idle["lanes"], idle["peak"], idle["limit"]) == ([], 0, None)
    # The seconds of the step, from when the last operator ends.
    last = max(max(lane["end"]) for one in data["devices"] for lane in one["lanes"])
    assert last == data["ticks"]
    assert data["seconds"] == result_of(task, plan).score.seconds


def test_a_plan_that_never_ends_has_no_page(tmp_path: Path) -> None:
    task = task_of([[1, np.inf], [1, 1]], [(0, 1)], 1, [None, None])
    score = Simulator(task).score(Plan(np.zeros(2, np.int32)))
    result = Result(Plan(np.zeros(2, np.int32)), score, 0.0, ())
    with pytest.raises(PlanError, match="never run"):
        save_page(tmp_path / "plan.html", task, result)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_chromium_draws_the_timeline_and_answers_the_pointer(tmp_path: Path) -> None:
    task, plan = long_task()
    path = tmp_path / "plan.html"
    save_page(path, task, result_of(task, plan))
    ask = """<script>
    const row = document.querySelectorAll("#timeline canvas")[2], box = row.getBoundingClientRect();
    row.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + 400,
                                                       clientY: box.top + 10}));
    </script></body>"""
    path.write_text(path.read_text("utf-8").replace("</body>", ask), "utf-8")
    assert CHROMIUM is not None
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1000,900"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [CHROMIUM, *flags, profile, "--virtual-time-budget=1000", "--dump-dom"]
    done = subprocess.run(
        [*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert 'data-drawn="yes"' in done.stdout
    assert "<p>op20</p>" in done.stdout  # the long one, in the middle of the step
    assert "Nothing runs on d2." in done.stdout
