"""The command `acumen place`, from file to files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from acumen.cli import main
from acumen.placement import Device, PlanError, Task, load_graph, load_plan, loads, parse_devices
from acumen.placement.pytorch import Call, Captured, Operator, Parameter, save

LAYERS = "".join(
    f"node{i} -- Linear(8) -- forward_compute_time=1.0, backward_compute_time=2.0, "
    "activation_size=1000000.0, parameter_size=2000000.000\n"
    for i in range(4)
)
PROFILE = LAYERS + "".join(f"\tnode{i} -- node{i + 1}\n" for i in range(3))


def place(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["place", *map(str, arguments), "--budget", "0.3s"])


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "chain.txt"
    path.write_text(PROFILE)
    return path


def captured(path: Path) -> Path:
    """A step of four layers, forward alone, as `acumen.placement.pytorch.save` writes it."""
    calls = [Call("aten.mm.default", "[[],{}]", 10**9, 10**6, 10**6, "float32")]
    operators = [Operator("input/x", "", "input", -1, (), (0,), (), (), ())]
    for i in range(4):
        name = f"layers.{i}.linear/mm"
        operators.append(
            Operator(name, f"layers.{i}.linear", "forward", 0, (i,), (i + 1,), (), (i,), ())
        )
    weights = [Parameter((f"layers.{i}.linear.weight",), 10**9, 0, 0) for i in range(4)]
    save(Captured("four layers", calls, operators, [10**6] * 5, weights), path)
    return path


def test_a_plan_a_trace_and_a_page(profile: Path, tmp_path: Path) -> None:
    out, trace, page = (tmp_path / name for name in ("plan.json", "trace.json", "plan.html"))
    done = place(
        profile, "--devices", "gpu*2", "--objective", "throughput",
        "--out", out, "--trace", trace, "--html", page,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    assert document["contiguous"] == (document["stages"] is not None)
    assert document["seconds"] < document["single_device_seconds"]
    plan = load_plan(out, Task(load_graph(profile).graph, parse_devices("gpu*2"), "throughput"))
    assert np.bincount(plan.device).tolist() == [one["operators"] for one in document["devices"]]
    assert json.loads(trace.read_text())["traceEvents"]
    assert "<h1>chain</h1>" in page.read_text()


def test_stages_are_printed_with_their_modules(tmp_path: Path) -> None:
    step, out = captured(tmp_path / "step.json.gz"), tmp_path / "plan.json"
    done = place(step, "--devices", "gpu:v100@2500MB*2", "--out", out)
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())["stages"]
    assert [stage["operators"] for stage in found] == [3, 2]
    assert found[1]["module"] == "layers.2"
    assert "from layers.2.linear/mm (module layers.2)" in done.output


def test_contiguous_plans_are_rows_of_stages(tmp_path: Path) -> None:
    # Eight layers; without the row, heavy ones would lie with light ones from afar.
    lines = [line for line in LAYERS.splitlines() for _ in range(2)]
    takes = [9, 1, 8, 1, 7, 2, 6, 3]
    nodes = [
        line.replace(line[:5], f"node{i}").replace("time=1.0", f"time={time}.0")
        for i, (line, time) in enumerate(zip(lines, takes, strict=True))
    ]
    edges = [f"\tnode{i} -- node{i + 1}" for i in range(7)]
    path, out = tmp_path / "uneven.txt", tmp_path / "plan.json"
    path.write_text("\n".join([*nodes, *edges]) + "\n")
    options = ["--devices", "gpu*3", "--objective", "throughput", "--out", out]
    done = place(path, *options, "--contiguous")
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    assert document["contiguous"]
    assert max(stage["load_seconds"] for stage in document["stages"]) == document["seconds"]
    # The best split of a chain: every pair of cuts.
    graph = load_graph(path).graph
    task = Task(graph, parse_devices("gpu*3"), "throughput")
    task = Task(graph, replace(task.cluster, devices=kinds(task.cluster.devices)), "throughput")
    best = min(
        float(loads.loads(task, np.searchsorted([a, b], np.tile(range(8), 2), side="right")).max())
        for a in range(9)
        for b in range(a, 9)
    )
    assert document["seconds"] == pytest.approx(best)


def kinds(devices: Sequence[Device]) -> list[Device]:
    return [replace(device, kind="gpu") for device in devices]


def test_a_captured_step_needs_devices(tmp_path: Path) -> None:
    done = place(captured(tmp_path / "step.json"))
    assert done.exit_code == 2
    assert "say which with --devices" in done.output
    damaged = tmp_path / "damaged.json"
    damaged.write_text((tmp_path / "step.json").read_text()[:-9])
    done = place(damaged, "--devices", "gpu")
    assert done.exit_code == 2
    assert str(damaged) in done.output


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_what_would_fit_is_said(profile: Path, objective: str, tmp_path: Path) -> None:
    done = place(profile, "--devices", "gpu*2", "--memory", "7MB", "--objective", objective)
    assert done.exit_code == 2
    last = done.output.splitlines()[-1]
    assert last.startswith("acumen: no plan fits on 2 devices like gpu:0 of 7.00 MB each: ")
    if objective == "throughput":  # 6 MB a layer, of which two lie together
        assert last.endswith(
            "12.00 MB each are enough, less never fits; of this size 4 devices are enough, fewer "
            "never fits"
        )
    enough = place(profile, "--devices", "gpu*2", "--memory", "100MB", "--objective", objective)
    assert enough.exit_code == 0


@pytest.mark.parametrize("option", ["--out", "--trace", "--html"])
def test_files_that_cannot_be_written_are_refused_at_once(
    profile: Path, option: str, tmp_path: Path
) -> None:
    done = place(profile, "--devices", "gpu", option, tmp_path / "missing" / "file")
    assert done.exit_code == 2
    assert "folder is missing" in done.output
    done = place(profile, "--devices", "gpu", option, profile)
    assert "it is the graph or another output" in done.output
    assert profile.read_text() == PROFILE


def test_pins_and_whole_modules(tmp_path: Path) -> None:
    step, out = captured(tmp_path / "step.json.gz"), tmp_path / "plan.json"
    options = ["--devices", "gpu:v100*2,cpu", "--out", out]
    pins = ["--pin", "layers.0=cpu", "--pin", "layers.[23]=gpu:1"]
    done = place(step, *options, *pins, "--no-split", "layers.*")
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    where = document["operators"]
    assert where["layers.0.linear/mm"] == "cpu:0"
    assert where["layers.2.linear/mm"] == where["layers.3.linear/mm"] == "gpu:1"
    assert document["pins"] == {"layers.0": "cpu", "layers.[23]": "gpu:1"}
    assert "modules that stay whole: layers.*" in document["notes"]
    assert document["single_device_seconds"] is None
    assert "no device runs all of it" in done.output
    task = Task(
        load_graph(step).graph, parse_devices("gpu:v100*2,cpu"), "latency", {"*.1.*": "cpu"}
    )
    if where["layers.1.linear/mm"] != "cpu:0":
        with pytest.raises(PlanError, match="breaks the pin"):
            load_plan(out, task)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--pin", "layers.9=cpu"], "'layers.9=cpu': no operator or module is called that"),
        (["--pin", "layers.0=gpu:9"], "there is no device 'gpu:9'; devices are gpu:0 (v100)"),
        (["--pin", "layers.0"], "write PATTERN=DEVICE, as in 'embedding*=cpu'"),
        (["--pin", "a=cpu", "--pin", "a=gpu"], "--pin 'a' names two devices, cpu and gpu"),
        (["--no-split", "head"], "no module is called 'head'"),
        (["--no-split", "auto"], "the model names no modules that stay whole"),
        (
            ["--pin", "layers.0=gpu:0", "--pin", "layers.1=gpu:1", "--no-split", "layers"],
            "none in common",
        ),
        (
            ["--pin", "layers=gpu:1", "--memory", "2GB"],
            "of 2.00 GB each with the pin 'layers=gpu:1': ",
        ),
    ],
)
def test_constraints_that_cannot_be_heeded(
    options: list[str], complaint: str, tmp_path: Path
) -> None:
    step = captured(tmp_path / "step.json")
    done = place(step, "--devices", "gpu:v100*2,cpu", *options)
    assert done.exit_code == 2
    assert complaint in done.output


def test_times_of_another_kind_are_said(tmp_path: Path, profile: Path) -> None:
    out = tmp_path / "plan.json"
    done = place(profile, "--devices", "gpu:k80", "--out", out)
    assert done.exit_code == 0, done.output
    said = "the graph has no times of a k80: those of its gpu stand"
    assert f"note: {said}" in done.output
    assert said in json.loads(out.read_text())["notes"]


def test_only_a_step_of_pytorch_can_be_measured(profile: Path) -> None:
    done = place(profile, "--measured")
    assert done.exit_code == 2
    assert "say what to measure for with --devices" in done.output
    done = place(profile, "--measured", "--devices", "cpu")
    assert done.exit_code == 2
    assert str(profile) in done.output
