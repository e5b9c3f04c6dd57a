"""A search on Ray, real processes: a killed worker costs no trial."""

from __future__ import annotations

import re

from ray_scripts import played


def test_a_search_survives_killed_workers() -> None:
    found = re.search(r"16 trials, (\d+) workers killed", played("ray_trials.py"))
    assert found is not None
    assert int(found[1]) >= 1
