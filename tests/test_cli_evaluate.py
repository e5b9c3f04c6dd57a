"""`acumen evaluate` as its users meet it, once as a process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import acumen
from acumen import learners
from acumen.cli import main
from acumen.learners.described import choice_of_model

ACUMEN = Path(sysconfig.get_path("scripts")) / "acumen"


def evaluate(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["evaluate", *map(str, arguments)]
    with contextlib.chdir(folder):
        done = CliRunner().invoke(main, command)
    return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)


def evaluate_as_a_process(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ACUMEN), "evaluate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that was wrong."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("acumen: ")
    return lines[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs")
    rng = np.random.default_rng(0)
    choice = acumen.Choice(
        "codec",
        arms=["none", "fast", "small"],
        context={"size": float, "kind": acumen.Category(8), "deep": int | None, "hot": bool},
        default="small",
        metric=acumen.minimize("seconds") + acumen.at_most("errors", 0.5),
        learner=learners.EpsilonGreedy(epsilon=0.5),
        seed=1,
        pending_max=4096,
    )
    for _ in range(2500):
        kind = str(rng.choice(["json", "png"]))
        decision = choice.choose(size=rng.normal(), kind=kind, hot=bool(rng.random() < 0.5))
        cost = {"none": 2.0, "fast": 1.0 if kind == "json" else 3.0, "small": 2.0}[decision.arm]
        decision.feedback(seconds=cost + rng.normal(0, 0.3), errors=0.0)
    table = choice.records()
    choice.save(path / "model.acumen")
    pq.write_table(table, path / "log.parquet")
    feather.write_feather(table, path / "log.feather")
    with (
        pa.OSFile(str(path / "log.stream"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as w,
    ):
        w.write_table(table)
    pq.write_table(table.slice(0, 50), path / "short.parquet")
    (path / "mine.py").write_text(
        "def heuristic(context):\n    return 1 if context['hot'] else 2\narm = 2\ntext = 'x'\n"
    )
    (path / "noise.bin").write_bytes(b"nothing of the kind" * 100)
    (path / "cut.parquet").write_bytes((path / "log.parquet").read_bytes()[:3000])
    return path


def test_a_model_against_what_was_served(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = evaluate_as_a_process(
        folder,
        *("log.parquet", "--policy", "model.acumen", "--against", "uniform"),
        *("--minimize", "seconds", "--json", out),
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(out.read_text())
    assert [e["estimator"] for e in said["estimates"]] == ["dr", "switch", "snips", "ips", "direct"]
    assert said["difference"]["verdict"] == "better"
    for e in said["estimates"][:4]:
        assert e["low"] < e["value"] < e["high"]
        assert e["records"] == 2500
    assert said["estimates"][4]["low"] is None
    assert "against uniform: better: +" in done.stdout
    assert "2,500 records; left out: 0 without a reward, 0 duplicates" in done.stdout


def test_every_kind_of_file_says_the_same(folder: Path) -> None:
    answers = {
        evaluate(
            folder, name, "--policy", "arm:1", "--against", "arm:2", "--minimize", "seconds"
        ).stdout
        for name in ("log.parquet", "log.feather", "log.stream")
    }
    assert len(answers) == 1
    assert "against arm:2: " in answers.pop()


def test_policies_of_a_module(folder: Path) -> None:
    few = ("log.parquet", "--minimize", "seconds", "--estimator", "snips", "--estimator", "direct")
    for name in ("mine:heuristic", "mine.py:heuristic", "mine:arm", "uniform", "logged"):
        done = evaluate(folder, *few, "--policy", name)
        assert done.returncode == 0, done.stderr
        assert "snips: -" in done.stdout


def test_a_refusal_is_an_answer(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    ask = ("short.parquet", "--policy", "arm:0", "--minimize", "seconds")
    done = evaluate(folder, *ask, "--json", out)
    assert done.returncode == 1
    assert "not enough data: effective sample size" in done.stdout
    assert "of the 100 needed" in done.stdout
    assert done.stderr == ""
    assert json.loads(out.read_text())["estimates"][0]["value"] is None
    assert evaluate(folder, *ask, "--min-ess", 3).returncode in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "--policy", "uniform"), "nowhere: no such file"),
        (("noise.bin", "--policy", "uniform"), "noise.bin: neither Parquet nor Arrow"),
        (("cut.parquet", "--policy", "uniform"), "cut.parquet: neither Parquet nor Arrow"),
        (("log.parquet", "--policy", "uniform"), "the records name no objective"),
        (("log.parquet", "--policy", "uniform", "--maximize", "hits"), "no column 'metric.hits'"),
        (("log.parquet", "--policy", "arm:7"), "the policy took arm 7; the log has 3 arms"),
        (("log.parquet", "--policy", "arm:x"), "no arm 'x'; the log has 3"),
        (("log.parquet", "--policy", "nowhere"), "no policy 'nowhere': no such file"),
        (("log.parquet", "--policy", "nowhere:x"), "cannot import 'nowhere'"),
        (("log.parquet", "--policy", "mine:y"), "module 'mine' has no 'y'"),
        (("log.parquet", "--policy", "mine:text"), "no policy 'x'"),
        (("log.parquet", "--policy", "noise.bin"), "noise.bin: not a model file"),
        (("log.parquet", "--policy", "default"), "does not tell what the default"),
        (("log.parquet", "--policy", "uniform", "--json", "no/out.json"), "No such file"),
    ],
)
def test_a_wrong_command_gives_one_line(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    if "arm:7" in arguments or "--json" in arguments or arguments[2] not in ("uniform",):
        arguments = (*arguments, "--minimize", "seconds")
    assert message in complaint(evaluate(folder, *arguments))


def test_a_choice_from_its_model_file(folder: Path) -> None:
    choice = choice_of_model(folder / "model.acumen")
    assert choice.arms == ("none", "fast", "small")
    assert choice.schema.version == "size:number,kind:category[8],deep:number?,hot:flag"
    assert [t.metric for t in choice.objective.terms] == ["seconds", "errors"]
    assert choice.objective.terms[1].upper == 0.5


class Home:
    """A learner of somebody's own."""

    version = 0

    def build(self, dimension: int, arms: int, features: int) -> Home:
        self.arms = arms
        return self

    def distribution(self, x: Any, features: Any = None) -> Any:
        return np.full(self.arms, 1 / self.arms, np.float32)

    def learn(self, *lesson: Any) -> None: ...
    def reset(self) -> None: ...
    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, arrays: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    "options",
    [
        {"arms": acumen.Range(1, 8, points=4), "default": 1},
        {"arms": acumen.Candidates(features=2), "default": None},
        {"arms": [frozenset({1}), frozenset({2})], "default": frozenset({1})},
        {"arms": ["a", "b"], "default": "a", "learner": Home()},
    ],
    ids=["range", "candidates", "objects", "learner"],
)
def test_what_a_file_alone_does_not_tell(tmp_path: Path, options: dict[str, Any]) -> None:
    choice = acumen.Choice("c", context={"x": float}, metric=acumen.minimize("s"), **options)
    choice.save(tmp_path / "m")
    with pytest.raises(acumen.ModelError, match="MODULE:NAME"):
        choice_of_model(tmp_path / "m")
