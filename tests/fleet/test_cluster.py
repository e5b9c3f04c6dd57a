"""The fleet on Ray, real processes: nothing acknowledged is lost, choosing and looking go on."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
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


@pytest.fixture
def play() -> Iterator[Callable[[str], str]]:
    """Runs a script that plays with a cluster in a network of its own; it says how it was."""
    if reason := why_not():
        pytest.skip(reason)
    # Short, as Ray's sockets want it, and pytest's is not.
    with tempfile.TemporaryDirectory() as folder:

        def run(script: str) -> str:
            done = subprocess.run(
                [*NAMESPACE, sys.executable, str(HERE / script), folder],
                capture_output=True,
                text=True,
                timeout=300,
            )
            logs = "".join(path.read_text()[-2000:] for path in Path(folder).glob("*.err"))
            assert done.returncode == 0, done.stdout + done.stderr + logs
            assert done.stdout.startswith("ok: ")
            return done.stdout

        yield run


def test_a_hub_belongs_to_a_kind_of_choice() -> None:
    assert fleet.hub_name(make()) == fleet.hub_name(make(seed=8))
    assert fleet.hub_name(make()) != fleet.hub_name(make(arms=["a", "b"]))


def test_a_fleet_survives_kills_and_pauses(play: Callable[[str], str]) -> None:
    assert "lessons" in play("ray_scenario.py")


def test_a_page_shows_a_fleet_through_kills_and_pauses(play: Callable[[str], str]) -> None:
    said = play("watch_scenario.py")
    assert "lessons" in said
    # By way of a Ray client as well, where what that needs is installed.
    assert ("ray:// too" in said) == (importlib.util.find_spec("grpc") is not None)
