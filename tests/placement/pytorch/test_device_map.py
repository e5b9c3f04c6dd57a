"""Plans as device maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="device maps are of torch's modules")

from acumen.placement.costs import DEVICE_KINDS  # noqa: E402
from acumen.placement.devices import parse_devices  # noqa: E402
from acumen.placement.plan import Plan, PlanError  # noqa: E402
from acumen.placement.pytorch import (  # noqa: E402
    capture_training_step,
    check_device_map,
    device_map,
    models,
    parameter_devices,
    to_graph,
)

nn = torch.nn


def gpt() -> Any:
    with torch.device("meta"):
        return models.gpt2(layers=4, width=8, heads=2, vocabulary=20, context=16)


def names(model: Any) -> list[str]:
    return [
        name
        for kind in (model.named_parameters, model.named_buffers)
        for name, _ in kind(remove_duplicate=False)
    ]


def by_layer(model: Any, border: int) -> dict[str, str | int]:
    def layer(name: str) -> int:
        return int(name.split(".")[1]) if name.startswith("blocks.") else 0

    return {name: 0 if layer(name) < border else 1 for name in names(model)}


def test_modules_that_agree_are_one_entry() -> None:
    model = gpt()
    assert device_map(model, by_layer(model, 4)) == {"": 0}
    assert device_map(model, by_layer(model, 2)) == {
        **dict.fromkeys(("tokens", "places", "blocks.0", "blocks.1", "norm", "head"), 0),
        **dict.fromkeys(("blocks.2", "blocks.3"), 1),
    }


def test_a_module_that_must_stay_whole_goes_where_most_of_it_is() -> None:
    model = gpt()
    devices = by_layer(model, 4)
    devices |= {name: 1 for name in devices if name.startswith("blocks.1.mlp")}
    split = device_map(model, devices)
    assert split["blocks.1.mlp"] == 1
    assert split["blocks.1.attention"] == 0
    # The two matrices of the perceptron outweigh those of the attention, two to one.
    assert device_map(model, devices, ["Transformer"])["blocks.1"] == 1
    assert device_map(model, devices, ["GPT2"]) == {"": 0}


def test_tied_weights_bring_their_modules_together() -> None:
    model = gpt()
    devices = by_layer(model, 4) | {"head.weight": 1}
    assert device_map(model, devices) == {"": 0}
    devices["tokens.weight"] = 1
    found = device_map(model, devices)
    assert found["head"] == found["tokens"] == 1


def test_what_a_module_owns_beside_its_parts_has_an_entry_of_its_own() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Parameter(torch.zeros(3))
            self.register_buffer("mask", torch.zeros(2), persistent=False)
            self.part = nn.Linear(2, 2)
            self.idle = nn.ReLU()

    devices: dict[str, str | int] = {"first": 0, "mask": "cpu", "part.weight": 1, "part.bias": 0}
    assert device_map(Model(), devices) == {"first": 0, "mask": "cpu", "part": 1}
    with pytest.raises(PlanError, match=r"no device for 'part\.bias'"):
        device_map(Model(), {"first": 0, "mask": 0, "part.weight": 0})


def test_a_map_with_gaps_or_overlaps_is_refused() -> None:
    model = gpt()
    for wrong, says in (
        ({"tokens": 0}, "'places.weight' appears 0 times"),
        ({"": 0, "head": 1}, "appears 2 times"),
        ({"": 0, "tail": 1}, "'tail' is no part"),
    ):
        with pytest.raises(PlanError, match=says):
            check_device_map(model, wrong)


def test_from_model_to_plan_to_map() -> None:
    model = gpt()
    step = capture_training_step(
        model, (models.words(2, 8),), models.cross_entropy, (models.labels(2, 8),), "adam"
    )
    cluster = parse_devices("gpu:k80*2,cpu")
    kinds = {kind: DEVICE_KINDS[kind] for kind in ("k80", "cpu")}
    for weights in ("with_users", "variables"):
        graph = to_graph(step, kinds, weights)  # type: ignore[arg-type]
        place = [1 if "blocks.3/" in name or "blocks.3." in name else 0 for name in graph.operators]
        devices = parameter_devices(step, Plan(np.array(place, np.int32)), cluster)
        assert set(devices) == set(names(model))
        found = device_map(model, devices)
        assert found == {
            **dict.fromkeys(("tokens", "places", "norm", "head"), 0),
            **{f"blocks.{layer}": int(layer == 3) for layer in range(4)},
        }
    with pytest.raises(PlanError, match="a plan for 3 operators"):
        parameter_devices(step, Plan(np.zeros(3, np.int32)), cluster)


MODEL = gpt()


@given(st.data())
@settings(max_examples=25)
def test_every_tensor_appears_exactly_once(data: Any) -> None:
    places = st.sampled_from([0, 1, "cpu"])
    devices = {name: data.draw(places) for name in names(MODEL)}
    whole = data.draw(st.sampled_from([[], ["Transformer"], ["Attention", "Sequential"]]))
    check_device_map(MODEL, device_map(MODEL, devices, whole))
