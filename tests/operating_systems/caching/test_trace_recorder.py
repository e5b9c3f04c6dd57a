from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acumen.evaluation import WorkloadError
from acumen.operating_systems.caching import trace_recorder

needs_apsw = pytest.mark.skipif(not trace_recorder.is_installed(), reason="apsw is not installed")


@needs_apsw
def test_a_seed_gives_the_same_trace_and_another_seed_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in (("CUSTOMERS", 800), ("ITEMS", 400), ("ORDERS", 3000), ("VISITS", 400)):
        monkeypatch.setattr(trace_recorder, name, number)
    recorded = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (keys,) = trace_recorder.record(folder, seed)
        recorded.append(keys)
    assert recorded[0].tolist() == recorded[1].tolist()
    assert recorded[0].tolist() != recorded[2].tolist()
    pages = (folder / "shop.db").stat().st_size // trace_recorder.PAGE_BYTES
    assert recorded[2].dtype == np.uint64
    assert 1 <= recorded[2].min() <= recorded[2].max() <= pages
    assert len(recorded[0]) > 2000


@needs_apsw
def test_recording_stops_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUSTOMERS", "ITEMS", "ORDERS"):
        monkeypatch.setattr(trace_recorder, name, 500)
    (keys,) = trace_recorder.record(tmp_path, seed=0, requests_max=1000)
    assert len(keys) == 1000


def test_without_apsw_a_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_recorder, "is_installed", lambda: False)
    with pytest.raises(WorkloadError, match="pip install"):
        next(trace_recorder.record(tmp_path))
