"""The fleet on Ray, real processes: nothing acknowledged is lost, choosing and looking go on."""

import importlib.util
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


def test_a_hub_belongs_to_a_kind_of_choice() -> None:
    assert fleet.hub_name(make()) == fleet.hub_name(make(seed=8))
    assert fleet.hub_name(make()) != fleet.hub_name(make(arms=["a", "b"]))


def run(scenario: str) -> str:
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory() as short:  # as Ray's sockets want it, and pytest's is not
        command = [*NAMESPACE, sys.executable, str(HERE / scenario), short]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        logs = "".join(path.read_text()[-2000:] for path in Path(short).glob("*.err"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert done.stdout.startswith("ok: ")
    return done.stdout


def test_a_fleet_survives_kills_and_pauses() -> None:
    run("ray_scenario.py")


@pytest.fixture(scope="module")
def watched() -> str:
    """One cluster for all that a page shows of it."""
    return run("watch_scenario.py")


def test_a_page_shows_a_fleet_through_kills_and_pauses(watched: str) -> None:
    assert "lessons" in watched


@pytest.mark.skipif(importlib.util.find_spec("grpc") is None, reason="ray:// needs grpcio")
def test_a_page_by_way_of_ray_client(watched: str) -> None:
    assert "ray:// too" in watched
