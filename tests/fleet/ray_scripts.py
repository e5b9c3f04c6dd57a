"""Programs that play with a Ray cluster, each in a network of its own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMESPACE = ["unshare", "--net", "--map-root-user"]


def why_not() -> str:
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: acumen[fleet]"
    if shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"]).returncode:
        return "Ray listens on all addresses, and here is no network namespace to keep it in"
    return ""


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
