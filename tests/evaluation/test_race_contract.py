"""Every race, found by itself, against the contract; and the toy race of these tests."""

import pytest
from toy_race import ToyRace

from acumen.testing import RaceContract, discover_races

pytest.importorskip("apsw", reason="without data and apsw there is nothing to race on")

for _race in discover_races():
    # Belady must admit every miss, and contenders need not: up to one object's worth beyond.
    _body = {"race": _race, "bound_slack": 0.01}
    globals()[f"Test{_race.domain.title()}"] = type(_race.domain, (RaceContract,), _body)


class TestToy(RaceContract):
    race = ToyRace()


def test_races_are_found() -> None:
    assert "caching" in [race.domain for race in discover_races()]
