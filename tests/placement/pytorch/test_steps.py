"""The talk's models as workloads: the split that people make, and that captures are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from acumen.placement.costs import DEVICE_KINDS
from acumen.placement.pytorch import capture_training_step, models, steps, to_graph


def test_people_put_a_layer_on_each_device() -> None:
    captured = capture_training_step(
        lambda: models.nmt(4, 8, 16),
        (models.words(2, 3), models.words(2, 3)),
        models.cross_entropy,
        (models.labels(2, 3),),
    )
    graph = to_graph(captured, {"k80": DEVICE_KINDS["k80"]}, "variables")
    device = steps.split_by_layers(captured, 4, 8)
    assert len(device) == len(graph)
    by_name = dict(zip(graph.operators, device.tolist(), strict=True))
    for layer in range(4):
        for part in ("encoder", "decoder"):
            here = {d for name, d in by_name.items() if f"{part}.{layer}." in name}
            assert here == {layer}
    for part, layer in (("source", 0), ("target", 0), ("attention", 3), ("keys", 3), ("head", 3)):
        assert {d for name, d in by_name.items() if name.startswith(f"{part}/")} == {layer}
        assert by_name[next(n for n in by_name if n.startswith(f"variable/{part}."))] == layer
    for group in range(graph.group.max() + 1):
        assert len(set(device[graph.group == group].tolist())) == 1
    # neighbours share a device where there are fewer
    assert np.array_equal(steps.split_by_layers(captured, 4, 2), device // 2)


def test_captures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    step = steps.CapturedStep("resnet50", 2)
    first = step.open()
    monkeypatch.delattr(steps, "capture_training_step")  # it is not captured again
    again = step.open()
    assert first.graph.name == "resnet50-k80x2"
    assert again.graph.operators == first.graph.operators
    assert [device.kind for device in first.cluster.devices] == ["k80", "k80", "cpu"]
    # the stretches of equal work lie on GPUs alone, in order
    assert first.expert is not None
    assert set(first.expert.tolist()) == {0, 1}
    assert {one.name for one in steps.captured_steps()} >= {"nmt8-k80x8", "resnet50-k80x2"}
