from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from toy_race import METRIC

from acumen.evaluation import Result, Row
from acumen.evaluation.report import Page, write_report

pytest.importorskip("plotly", reason="the report needs plotly")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HOSTILE = "</script><img src=x onerror=alert(1)>&\"'"


def page(*, empty: bool = False) -> Page:
    rows = []
    for workload in ("alpha", HOSTILE):
        for setting in (0.01, 0.1) if workload == "alpha" else (0.1,):
            rows += [
                Row(workload, setting, "old", "heuristic", 0.5, 0.5, 0.5, 1e6, 1.0),
                Row(workload, setting, "better", "heuristic", 0.4, 0.4, 0.4, 1e6, 1.0),
                Row(workload, setting, "new", "learned", 4 * setting, 0.3, 0.5, 2e6, 1.0),
                Row(workload, setting, "top", "bound", 0.01, 0.01, 0.01, 1e6, 1.0),
            ]
    result = Result("toy", METRIC, 0, "a machine", [] if empty else rows)
    return Page(result, "which toy", "old", {"alpha": "a detail"}, {"new": "learns"}, [HOSTILE])


def test_the_page_is_self_contained_and_shows_everything(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(page(), path)
    text = path.read_text(encoding="utf-8")
    ours = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)\s*=", ours.replace(HOSTILE, "").replace("src=x", ""))
    assert "<img" not in ours
    assert "a detail" in ours
    for word in ("won", "lost", "better", "new", "0.4000"):
        assert word in ours


def test_a_tie_in_the_worst_cell_is_shown_as_a_tie(tmp_path: Path) -> None:
    rows = [
        Row("alpha", 0.1, "old", "heuristic", 0.50, 0.50, 0.50, 1e6, 1.0),
        Row("alpha", 0.1, "new", "learned", 0.51, 0.45, 0.55, 1e6, 1.0),
    ]
    path = tmp_path / "report.html"
    write_report(Page(Result("toy", METRIC, 0, "a machine", rows), default="old"), path)
    assert '<span class="tied-text">+2.0%</span>' in path.read_text(encoding="utf-8")


def test_an_empty_race_still_gives_a_page(tmp_path: Path) -> None:
    write_report(page(empty=True), tmp_path / "report.html")
    assert "no cell was run" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("empty", [False, True])
def test_chromium_draws_the_plots_offline(tmp_path: Path, empty: bool) -> None:
    path = tmp_path / "report.html"
    write_report(page(empty=empty), path)
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert 'data-drawn="yes"' in done.stdout
    # Two cards, the cells and the standings; nothing of that without rows.
    assert done.stdout.count('class="main-svg"') >= (0 if empty else 4)
    assert "<img src=x" not in done.stdout.replace(HOSTILE, "")
