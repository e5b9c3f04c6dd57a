"""Faults of a fleet, real processes: a short version of benchmarks/fleet_faults.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAULTS = "trainer_killed,snapshots_damaged"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of Unix are sent")
def test_nobody_who_chooses_notices_and_nothing_is_lost(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "fleet_faults.py")]
    command += ["--seconds", "2", "--faults", FAULTS, "--json", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(report.read_text())["rows"]
    assert len(rows) == 2
    for row in rows:
        assert row["wrong"] == 0, row
        assert row["durable"] > 1000, row
        assert row["models_taken"] > 0, row
        # Proof of a p99 that is more than twice the one without the fault, in spite of all noise:
        # the interval's lower end, beside what two choices without a fault differ by.
        for call in ("choose", "feedback"):
            assert row[call]["low"] <= 2.0 * max(1.0, row[f"{call} A/A"]["high"]), (call, row)
    damaged = next(row for row in rows if row["fault"] == "snapshots_damaged")
    assert damaged["refused"] > 0
