"""Plans run in processes: what they make is the model's, and what fails is said and ended."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="running models needs torch")

from acumen.placement import Plan, PlanError, parse_devices  # noqa: E402
from acumen.placement.pytorch.capture import capture_training_step, on_fakes  # noqa: E402
from acumen.placement.pytorch.model_source import load_example  # noqa: E402
from acumen.placement.pytorch.pipeline_cut import (  # noqa: E402
    Cut,
    exported_modules,
    split_model,
)
from acumen.placement.pytorch.processes import RunError, StageProcesses  # noqa: E402
from acumen.placement.pytorch.rehearsal import Bench, check_allowed, check_same  # noqa: E402


@pytest.fixture(autouse=True)
def _models_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Factories are looked for in the current folder, by the processes too."""
    monkeypatch.chdir(Path(__file__).parent)


def halves(bench: Bench) -> Plan:
    """The first two layers on the first device, everything else on the second one."""
    first = [one.module in ("0", "1") for one in bench.captured.operators]
    return Plan(np.where(first, 0, 1).astype(np.int32))


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_two_stages_make_what_the_model_makes() -> None:
    with Bench("running_models:mlp", parse_devices("cpu*2"), parts=4) as bench:
        task = bench.task()
        found = bench.run(halves(bench), steps=3)
        # The same processes, the devices exchanged.
        other = bench.run(Plan(1 - halves(bench).device), steps=1)
        pids = bench.processes.pids
    assert task.objective == "throughput"
    assert found.cut.devices == (0, 1)
    assert found.cut.moved == 0
    assert other.cut.devices == (1, 0)
    assert [list(stage.sends.values()) for stage in found.stages] == [[2 * 8 * 4], []]
    assert [list(stage.returns.values()) for stage in found.stages] == [[], [2 * 8 * 4]]
    assert len(found.steps) == 3
    assert 0 < found.simulated_seconds < 1
    assert min(found.steps) > 0
    assert all(0 < spent < 1 for spent in found.spent_seconds)
    assert all(0 < stage.forward_seconds < 1 for stage in found.stages)
    assert all(0 < stage.accumulate_seconds < 1 for stage in found.stages)
    assert all(gone(pid) for pid in pids)


def test_a_cut_that_breaks_a_pin_is_refused() -> None:
    def make() -> Any:
        return torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3)))

    captured = capture_training_step(make, (torch.empty(2, 4),), torch.sum)
    cut = Cut((1, 0), (2,), 3, 0.0)  # modules 0 and 1 on device 1, module 2 on device 0
    allowed = np.ones((2, len(captured)), np.bool_)
    check_allowed(captured, ["0", "1", "2"], cut, allowed)
    forward = [one.name for one in captured.operators].index("1/addmm")
    allowed[0, forward] = False
    check_allowed(captured, ["0", "1", "2"], cut, allowed)
    allowed[1, forward] = False
    with pytest.raises(PlanError, match="operator '1/addmm' on device 1, which breaks a pin"):
        check_allowed(captured, ["0", "1", "2"], cut, allowed)


def test_what_is_not_the_models_is_an_error() -> None:
    def made(outputs: list[str], **gradients: str) -> dict[str, Any]:
        return {"outputs": outputs, "gradients": gradients}

    whole = made(["x"], a="1", b="2", tied_to_b="2")
    check_same([made([], a="1"), made(["x"], tied_to_b="2")], whole)
    for ran, says in (
        ([made([], a="1"), made(["y"], b="2")], "outputs are not those"),
        ([made([], a="1"), made(["x"], b="3")], "stage 1's gradient of 'b' is not"),
        ([made([], a="1"), made(["x"])], "no stage has a gradient of 'b'"),
    ):
        with pytest.raises(RunError, match=says):
            check_same(ran, whole)


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    processes = StageProcesses(["cpu"], threads=1, seconds_max=0)
    with pytest.raises(RunError, match=r"no answer after 0 s from the process of device 0 \(cpu\)"):
        processes.__enter__()
    assert all(gone(pid) for pid in processes.pids)


def test_a_process_that_fails_or_dies_is_named_and_the_others_end() -> None:
    with StageProcesses(["cpu", "cpu"], threads=1, seconds_max=60) as processes:
        with pytest.raises(RunError, match=r"device 0 \(cpu\): TypeError"):
            processes.ask({0: {"do": "ready", "no": "such"}})
        link = {"do": "link", "meeting": processes.meeting(), "sizes": [8], "repeats": 10**9}
        killer = threading.Timer(0.5, os.kill, (processes.pids[1], signal.SIGKILL))
        killer.start()
        # The other one, which misses it, says so too, and is not who is named.
        with pytest.raises(RunError, match=r"device 1 \(cpu\) was ended by SIGKILL"):
            processes.ask({rank: {**link, "rank": rank} for rank in (0, 1)})
        killer.join()
    assert all(gone(pid) for pid in processes.pids)


@pytest.mark.parametrize(
    ("devices", "says"),
    [
        ("gpu,cpu", "of one family"),
        ("tpu*2", "on CPUs or on GPUs"),
        ("cpu*17", "1 to 16 can be run"),
        ("gpu*16", "16 GPUs are wanted"),
    ],
)
def test_devices_that_cannot_be_used(devices: str, says: str) -> None:
    with pytest.raises(RunError, match=says):
        Bench("running_models:mlp", parse_devices(devices))


@pytest.mark.parametrize(
    ("source", "start", "says"),
    [("tied", 2, "is used by 2 stages"), ("twice", 1, "is used after the first stage")],
)
def test_models_that_cannot_be_cut_there(source: str, start: int, says: str) -> None:
    example = load_example(f"running_models:{source}")
    modules: list[str] = []

    def cut(model: Any, inputs: Any) -> None:
        modules.extend(exported_modules(model, inputs))
        split_model(model, inputs, Cut((0, 1), (start,), len(modules), 0.0))

    with pytest.raises(PlanError, match=says):
        on_fakes(example.model, example.inputs, cut)
    assert modules[0] == ("0" if source == "tied" else "first")
