"""Steps with measured times, and modules that a model wants whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="measuring needs torch")

from acumen.placement.costs import DEVICE_KINDS  # noqa: E402
from acumen.placement.devices import parse_devices  # noqa: E402
from acumen.placement.formats.captured_step import loaded  # noqa: E402
from acumen.placement.no_split import keep_whole  # noqa: E402
from acumen.placement.plan import Task  # noqa: E402
from acumen.placement.portfolio import place  # noqa: E402
from acumen.placement.pytorch import (  # noqa: E402
    Captured,
    capture_inference,
    capture_training_step,
    device_map,
    load,
    measure,
    parameter_devices,
    save,
    to_graph,
)
from acumen.placement.pytorch.measured_step import devices_by_kind, measured_step  # noqa: E402

nn = torch.nn


class Block(nn.Module):  # type: ignore[misc, name-defined]
    """Two layers and what goes around them."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return x + self.down(torch.relu(self.up(x)))


class Model(nn.Module):  # type: ignore[misc, name-defined]
    """As a model of transformers names what must not be split."""

    _no_split_modules = ("Block",)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x.sum()


def step() -> Captured:
    return capture_training_step(Model, (torch.empty(4, 8),))


def test_kinds_that_are_not_here_are_named(tmp_path: Path) -> None:
    captured, cache = step(), tmp_path / "times.json"
    assert devices_by_kind()["cpu"] == "cpu"
    found = measured_step(captured, ["cpu", "tpu-v2"], cache)
    assert found.notes == (
        "times of a cpu were measured, on cpu of this machine",
        "no tpu-v2 is here: its times were not measured, but are estimates by a roofline",
    )
    times = {"cpu": measure(captured, "cpu", cache), "tpu-v2": DEVICE_KINDS["tpu-v2"]}
    expected = to_graph(captured, times)
    for kind in ("cpu", "tpu-v2"):
        assert (found.graph.seconds[kind] == expected.seconds[kind]).all()
    assert set(found.graph.kinds) == {"cpu", "tpu-v2"}
    assert found.modules is not None
    assert len(found.modules) == len(found.graph)


def test_gpus_are_of_the_kind_that_their_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["Tesla V100-SXM2-16GB", "NVIDIA A100 80GB PCIe", "NVIDIA H200", "Tesla V100-PCIE"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)
    assert devices_by_kind() == {"cpu": "cpu", "v100": "cuda:0", "a100": "cuda:1"}


def test_modules_that_a_model_wants_whole_come_with_it(tmp_path: Path) -> None:
    captured = step()
    blocks = {f"layers.{i}": "Block" for i in range(3)}
    assert captured.no_split == blocks
    assert capture_inference(Model, (torch.empty(4, 8),)).no_split == blocks
    save(captured, tmp_path / "step.json")
    assert load(tmp_path / "step.json").no_split == blocks
    assert loaded(captured).no_split == blocks


def test_the_plan_that_is_scored_is_the_one_that_is_loaded() -> None:
    captured, cluster = step(), parse_devices("gpu:k80*2")
    graph = to_graph(captured, {"k80": DEVICE_KINDS["k80"]})
    pins = {"layers.0": "gpu:0", "layers.1.up": "gpu:1", "layers.2": "gpu:0"}
    task = Task(keep_whole(graph, captured.no_split), cluster, "latency", pins)
    plan = place(task, 0.2).plan
    wanted = parameter_devices(captured, plan, cluster)
    with torch.device("meta"):
        model = Model()
    free = device_map(model, wanted)
    assert free == {"layers.0": 0, "layers.1": 1, "layers.2": 0}
    assert device_map(model, wanted, ["Block"]) == free
    whole = [name for name in graph.operators if name.startswith("layers.1.")]
    there = [plan.device[graph.operators.index(name)] for name in whole]
    assert np.unique(there).tolist() == [1]
