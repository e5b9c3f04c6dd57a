"""Killed at any moment: some of the trials that benchmarks/journal_crash.py does by the hundred."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_nothing_durable_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", ROOT / "benchmarks" / "journal_crash.py"]
    command += ["--trials", "15", "--seed", "1000", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [int(n) for n in re.findall(r"\d+", done.stdout)]
    assert counts[:2] == [15, 0]
    assert counts[2] > 5  # trials in which something had been durable
