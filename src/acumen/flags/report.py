"""The page of a tuning: the verdict, every pair behind it, the search, which flags matter."""

from __future__ import annotations

from pathlib import Path

from acumen.evaluation.results import write_atomically
from acumen.flags.subject import Subject
from acumen.flags.tuner import Tuned


def write_report(tuned: Tuned, subject: Subject, path: Path) -> None:
    """For now."""
    write_atomically(path, [tuned.verdict.words])
