"""`acumen watch` as a command: help, errors in one line, and a clean end."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from acumen.cli import main


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(main, ["watch", *map(str, arguments)], env=environment)


def test_help_teaches() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for words in ("acumen watch DIR --port 0", "--token-file", "ssh -L", "journal="):
        assert words in result.output
    assert "watch" in CliRunner().invoke(main, ["--help"]).output


def complains(result: Result, words: str) -> None:
    assert result.exit_code == 2
    assert words in result.output
    assert len(result.output.splitlines()) == 1
    assert result.output.startswith("acumen: ")


def test_what_cannot_be_watched(tmp_path: Path) -> None:
    complains(run(tmp_path / "missing"), "no such directory")
    (tmp_path / "file").write_text("x")
    complains(run(tmp_path / "file"), "no directory")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        complains(run(tmp_path, "--port", taken.getsockname()[1]), "cannot listen on 127.0.0.1")
    complains(run(tmp_path, "--host", "no such host", "--port", 0), "cannot listen on no such host")


def test_tokens_that_are_none(tmp_path: Path) -> None:
    complains(run(tmp_path, "--token-file", tmp_path / "missing"), "No such file")
    for text in (b"", b"short", b"\xff" * 30, "ä".encode() * 20, b"a\x00b" * 10):
        (tmp_path / "token").write_bytes(text)
        result = run(tmp_path, "--token-file", tmp_path / "token")
        assert result.exit_code == 2
        assert len(result.output.splitlines()) == 1
    complains(run(tmp_path, ACUMEN_WATCH_TOKEN="short"), "at least 16")


def test_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    complains(run(tmp_path), "pip install 'acumen[watch]'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "acumen.cli", "watch", str(tmp_path), "--port", "0"]
    command[1:3] = ["-c", "from acumen.cli import main; main()"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline()
        assert str(tmp_path) in said
        port = int(said.split("http://127.0.0.1:")[1].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/api/events")  # a page that is open does not hold it up
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.readline().startswith(b"data: ")
        process.send_signal(number)
        out, errors = process.communicate(timeout=15)
        connection.close()
    assert process.returncode == 0
    assert (out, errors) == ("", "")


def test_for_others_it_makes_a_token_up(tmp_path: Path) -> None:
    code = "from acumen.cli import main; main()"
    command = [sys.executable, "-c", code, "watch", str(tmp_path), "--port", "0"]
    with subprocess.Popen(
        [*command, "--host", "0.0.0.0"], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        port = int(process.stdout.readline().split("/  ")[0].rpartition(":")[2])
        token = process.stdout.readline().strip().partition("#")[2]
        assert len(token) >= 40
        statuses = []
        for headers in ({}, {"Authorization": f"Bearer {token}"}):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", "/api/state", headers=headers)
            statuses.append(connection.getresponse().status)
            connection.close()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
    assert statuses == [401, 200]
    assert process.returncode == 0
