"""The worked example of a web service: real processes, real requests, a small index."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("apsw", reason="the service's database needs apsw")
FOLDER = Path(__file__).parent.parent / "examples" / "code_search"


def test_both_services_answer_alike_and_the_learned_one_learns(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-W", "error", str(FOLDER / "measure.py"), "--files", "60"]
    command += ["--requests", "200", "--rate", "200", "--json", str(report)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    said = json.loads(report.read_text())
    assert said["errors"] == 0
    assert said["same_answers"] == said["requests"] == 200
    assert said["all"]["learned"]["p50"] > 0
    assert "learned" in said["comparison"]
    assert "p99" in run.stdout


def test_a_model_is_kept_and_a_wrong_path_is_no_search(tmp_path: Path) -> None:
    sys.path.insert(0, str(FOLDER))
    try:
        import index
    finally:
        sys.path.remove(str(FOLDER))
    database, model = tmp_path / "uses.sqlite", tmp_path / "plan.acumen"
    assert index.build(database, files_max=20) > 1000
    command = [sys.executable, str(FOLDER / "service.py"), str(database), "--model", str(model)]
    from http.client import HTTPConnection

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout
        connection = HTTPConnection("127.0.0.1", int(service.stdout.readline()), timeout=30)
        for path, status in (("/search?name=self", 200), ("/search", 404), ("/", 404)):
            connection.request("GET", path)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            assert answer.status == status
        assert body.startswith("ask for")
        connection.close()
        service.terminate()
        assert service.wait(30) == 0
    assert model.exists()
