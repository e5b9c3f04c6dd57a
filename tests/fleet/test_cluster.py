"""The fleet on Ray, real processes: nothing acknowledged is lost, choosing and looking go on."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from journaled import make

from acumen import fleet

HERE = Path(__file__).parent
NAMESPACE = ["unshare", "--net", "--map-root-user"]
SCENARIOS = ("ray_scenario.py", "watch_scenario.py")


def why_not() -> str:
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: acumen[fleet]"
    if shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"]).returncode:
        return "Ray listens on all addresses, and here is no network namespace to keep it in"
    return ""


class Scenario:
    """A script that plays with a cluster in a network of its own; it says in the end how it was."""

    def __init__(self, script: str, files: ExitStack) -> None:
        # Short, as Ray's sockets want it, and pytest's is not.
        self._folder = files.enter_context(tempfile.TemporaryDirectory())
        self._process = subprocess.Popen(
            [*NAMESPACE, sys.executable, str(HERE / script), self._folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        files.callback(self._process.kill)

    def said(self) -> str:
        said, errors = self._process.communicate(timeout=300)
        logs = "".join(path.read_text()[-2000:] for path in Path(self._folder).glob("*.err"))
        assert self._process.returncode == 0, said + errors + logs
        assert said.startswith("ok: ")
        return said


@pytest.fixture(scope="module")
def scenarios() -> Iterator[dict[str, Scenario]]:
    """All at once: most of the time each waits for something."""
    if reason := why_not():
        pytest.skip(reason)
    with ExitStack() as files:
        yield {script: Scenario(script, files) for script in SCENARIOS}


@pytest.fixture(scope="module")
def watched(scenarios: dict[str, Scenario]) -> str:
    return scenarios["watch_scenario.py"].said()


def test_a_hub_belongs_to_a_kind_of_choice() -> None:
    assert fleet.hub_name(make()) == fleet.hub_name(make(seed=8))
    assert fleet.hub_name(make()) != fleet.hub_name(make(arms=["a", "b"]))


def test_a_fleet_survives_kills_and_pauses(scenarios: dict[str, Scenario]) -> None:
    assert "lessons" in scenarios["ray_scenario.py"].said()


def test_a_page_shows_a_fleet_through_kills_and_pauses(watched: str) -> None:
    assert "lessons" in watched


@pytest.mark.skipif(importlib.util.find_spec("grpc") is None, reason="ray:// needs grpcio")
def test_a_page_by_way_of_ray_client(watched: str) -> None:
    assert "ray:// too" in watched
