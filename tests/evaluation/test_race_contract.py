"""Every race, found by itself, against the contract; and the toy race of these tests."""

from importlib.util import find_spec

import pytest
from toy_race import ToyRace

from acumen.testing import RaceContract, discover_races

needs_apsw = pytest.mark.skipif(
    find_spec("apsw") is None, reason="without data and apsw there is nothing to race on"
)

for _race in discover_races():
    # Belady must admit every miss, and contenders need not: up to one object's worth beyond.
    # Times of short runs vary, the bound's as well.
    _body = {"race": _race, "bound_slack": 0.5 if _race.metric.timed else 0.01}
    _class = type(_race.domain, (RaceContract,), _body)
    globals()[f"Test{_race.domain.title()}"] = (
        needs_apsw(_class) if _race.domain == "caching" else _class
    )


class TestToy(RaceContract):
    race = ToyRace()


def test_races_are_found() -> None:
    assert "caching" in [race.domain for race in discover_races()]
