"""Models named as text: what their factories answer, and `acumen place` on one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="models need torch")

from acumen.cli import main  # noqa: E402
from acumen.placement.pytorch import CaptureError  # noqa: E402
from acumen.placement.pytorch.model_source import load_example, microbatches  # noqa: E402


@pytest.fixture(autouse=True)
def _models_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)


def test_a_factory_makes_the_same_every_time_and_nothing_on_meta() -> None:
    one, other = (load_example("running_models:mlp", "cpu") for _ in range(2))
    assert torch.equal(one.inputs[0], other.inputs[0])
    assert torch.equal(one.model[0].weight, other.model[0].weight)
    bare = load_example("running_models:mlp")
    assert bare.inputs[0].is_meta
    assert all(weight.is_meta for weight in bare.model.parameters())


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("running_models", "write package.module:factory"),
        ("no.such:model", "No module named 'no'"),
        ("running_models:missing", "no attribute 'missing'"),
        ("running_models:NUMBER", "is a int, not a function"),
        ("running_models:fails", "running_models:fails fails: ValueError: on purpose"),
        ("running_models:answers_seven", r"must answer \(module, inputs"),
        ("running_models:answers_text", "answers a str, not an nn.Module"),
        ("running_models:wrong_optimizer", "no optimiser 'rmsprop'"),
    ],
)
def test_what_is_no_model_is_refused(source: str, says: str) -> None:
    with pytest.raises(CaptureError, match=says):
        load_example(source)


def test_batches_are_cut_into_equal_parts() -> None:
    x = torch.arange(6).reshape(6, 1)
    first, second = microbatches({"x": x, "deep": [x + 1], "scale": 2.0}, 2)
    assert first["x"].flatten().tolist() == [0, 1, 2]
    assert second["deep"][0].flatten().tolist() == [4, 5, 6]
    assert second["scale"] == 2.0
    assert microbatches((), 3) == [(), (), ()]
    with pytest.raises(CaptureError, match="batch of 6 cannot be cut into 4"):
        microbatches((x,), 4)


def test_the_command_places_a_model(tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    command = ["place", "running_models:mlp", "--budget", "0.1s", "--out", str(out)]
    run = CliRunner().invoke(main, [*command, "--devices", "gpu:k80*2,cpu"])
    assert run.exit_code == 0, run.output
    operators = json.loads(out.read_text())["operators"]
    assert f"mlp: {len(operators)} operators" in run.output
    assert "2/addmm" in operators
    for more, says in (
        ([], "say which with --devices"),
        (["--devices", "gpu,cpu", "--run"], "of one family"),
        (["--devices", "cpu*2", "--run", "--microbatches", "3"], "cut into 3 equal parts"),
    ):
        run = CliRunner().invoke(main, [*command, *more])
        assert run.exit_code == 2
        assert says in run.output
