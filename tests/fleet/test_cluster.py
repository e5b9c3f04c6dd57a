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


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize("scenario", ["ray_scenario.py", "watch_scenario.py"])
def test_a_fleet_survives_kills_and_pauses(scenario: str) -> None:
    with tempfile.TemporaryDirectory() as short:  # as Ray's sockets want it, and pytest's is not
        command = [*NAMESPACE, sys.executable, str(HERE / scenario), short]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        logs = "".join(path.read_text()[-2000:] for path in Path(short).glob("*.err"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert done.stdout.startswith("ok: ")
