"""The fleet on Ray, real processes: nothing acknowledged is lost, choosing and looking go on."""

import importlib.util
import re

import pytest
from journaled import make
from ray_scripts import played

from acumen import fleet


@pytest.fixture(scope="module")
def said() -> str:
    """What the script said that plays with a cluster in a network of its own."""
    return played("ray_scenario.py")


def test_a_hub_belongs_to_a_kind_of_choice() -> None:
    assert fleet.hub_name(make()) == fleet.hub_name(make(seed=8))
    assert fleet.hub_name(make()) != fleet.hub_name(make(arms=["a", "b"]))


def test_a_fleet_and_its_page_survive_kills_and_pauses(said: str) -> None:
    assert "lessons" in said
    assert "600 in shards" in said


def test_one_row_reaches_the_hub_and_comes_back_and_many_do(said: str) -> None:
    found = re.search(r"one row (\S+) s; (\d+) records/s", said)
    assert found is not None
    assert float(found[1]) < 10
    assert int(found[2]) > 1000  # a machine at its limits; docs/results/fleet.md has the figures


@pytest.mark.skipif(importlib.util.find_spec("grpc") is None, reason="ray:// needs grpcio")
def test_a_page_by_way_of_ray_client(said: str) -> None:
    assert "ray:// too" in said
