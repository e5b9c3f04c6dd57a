"""A search and a tuning on Ray, real processes: a killed worker costs no trial."""

from __future__ import annotations

import re

from ray_scripts import played


def test_a_search_and_a_tuning_survive_killed_workers() -> None:
    found = re.search(r"8 trials, (\d+) workers killed; tuned to 1", played("ray_trials.py"))
    assert found is not None
    assert int(found[1]) >= 1
