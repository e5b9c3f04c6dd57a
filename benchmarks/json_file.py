"""Where a benchmark's figures are written: with the machine they are of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acumen.evaluation.results import describe_machine, describe_versions


def write_rows(path: Path | None, rows: Sequence[Any]) -> None:
    """Nothing if no file was asked for."""
    if path is None:
        return
    document = {"machine": describe_machine(), "versions": describe_versions(), "rows": rows}
    path.write_text(json.dumps(document, indent=1) + "\n")
