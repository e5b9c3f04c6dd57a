"""The fleet on Ray, real processes: nothing acknowledged is lost, choosing and looking go on."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from journaled import make

from acumen import fleet

HERE = Path(__file__).parent
NAMESPACE = ["unshare", "--net", "--map-root-user"]


def why_not() -> str:
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: acumen[fleet]"
    if shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"]).returncode:
        return "Ray listens on all addresses, and here is no network namespace to keep it in"
    return ""


@pytest.fixture(scope="module")
def said() -> str:
    """What the script said that plays with a cluster in a network of its own."""
    return played("ray_scenario.py")


def played(script: str) -> str:
    if reason := why_not():
        pytest.skip(reason)
    # Short, as Ray's sockets want it, and pytest's is not.
    with tempfile.TemporaryDirectory() as folder:
        command = [*NAMESPACE, sys.executable, str(HERE / script), folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        logs = "".join(path.read_text()[-2000:] for path in Path(folder).glob("*.err"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert done.stdout.splitlines()[-1].startswith("ok: ")
    return done.stdout


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


def test_a_search_and_a_tuning_survive_killed_workers() -> None:
    found = re.search(r"8 trials, (\d+) workers killed; tuned to 1", played("ray_trials.py"))
    assert found is not None
    assert int(found[1]) >= 1


@pytest.mark.skipif(importlib.util.find_spec("grpc") is None, reason="ray:// needs grpcio")
def test_a_page_by_way_of_ray_client(said: str) -> None:
    assert "ray:// too" in said
