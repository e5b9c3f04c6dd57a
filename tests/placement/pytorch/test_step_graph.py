"""Captured steps as graphs for planners, and as files. Needs no torch."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acumen.placement.costs import DEVICE_KINDS
from acumen.placement.pytorch import (
    Call,
    Captured,
    CaptureError,
    Operator,
    Parameter,
    cached,
    load,
    save,
    to_graph,
)


def operator(name: str, phase: Any, call: int, **numbers: tuple[int, ...]) -> Operator:
    fields = dict.fromkeys(("reads", "makes", "replaces", "parameters", "after"), ())
    return Operator(name, name.partition("/")[0], phase, call, **(fields | numbers))


def step() -> Captured:
    """x -> a (weight w) -> relu in place -> loss; back to w's gradient and its update."""
    calls = [
        Call("aten.mm.default", "[[],{}]", 10**9, 4000, 400, "float32"),
        Call("aten.relu_.default", "[[],{}]", 0, 400, 400, "float32"),
    ]
    return Captured(
        "tiny",
        calls,
        [
            operator("x/input", "input", -1, makes=(0,)),
            operator("a/mm", "forward", 0, reads=(0,), makes=(1,), parameters=(0,)),
            operator("b/relu_", "forward", 1, reads=(1,), makes=(2,), replaces=(1,)),
            operator("b/backward", "backward", 1, reads=(2,), makes=(3,)),
            operator("a/dx", "backward", 0, reads=(3,), makes=(4,), parameters=(0,)),
            operator("a/dw", "backward", 0, reads=(3, 0), makes=(5,)),
            operator("a/update", "update", 1, reads=(5,), parameters=(0,), after=(1, 4)),
        ],
        [40, 400, 400, 400, 40, 4000],
        [Parameter(("a.weight",), 4000, 4000, 8000), Parameter(("a.unused",), 12, 0, 0)],
    )


def reads(graph: Any) -> set[tuple[str, str, int]]:
    tensors = graph.tensors
    return {
        (graph.operators[a], graph.operators[b], int(tensors.size_bytes[t]))
        for a, b, t in zip(*graph.edges, tensors.reads, strict=True)
    }


DATA = {
    ("x/input", "a/mm", 40),
    ("x/input", "a/dw", 40),
    ("a/mm", "b/relu_", 400),
    ("b/relu_", "b/backward", 400),
    ("b/backward", "a/dx", 400),
    ("b/backward", "a/dw", 400),
    ("a/dw", "a/update", 4000),
}


def test_weights_stay_with_their_users() -> None:
    graph = to_graph(step(), {"k80": DEVICE_KINDS["k80"]})
    waits = {("a/mm", "a/update", 0), ("a/dx", "a/update", 0), ("a/dw", "a/update", 0)}
    assert reads(graph) == DATA - {("a/dw", "a/update", 4000)} | waits
    # The gradient is made where the weight is, and stays there.
    assert graph.group.tolist() == [-1, 0, 0, -1, 0, 0, 0]
    # What no operator uses is where the others of its module are.
    assert graph.resident_bytes.tolist() == [0, 16012, 0, 0, 0, 0, 0]
    assert graph.backward.tolist() == [False] * 3 + [True] * 4
    launch = DEVICE_KINDS["k80"].launch_seconds
    product = launch + 1e9 / 4.37e12
    relu = launch + 800 / 240e9
    expected = [0, product, relu, relu, product, product, relu]
    np.testing.assert_allclose(graph.seconds["k80"], expected)


def test_weights_as_variables_are_copied_to_readers() -> None:
    graph = to_graph(step(), {"k80": DEVICE_KINDS["k80"]}, "variables")
    assert graph.operators[:2] == ("variable/a.weight", "variable/a.unused")
    weight = {("variable/a.weight", name, 4000) for name in ("a/mm", "a/dx")}
    assert reads(graph) == DATA | weight
    assert graph.group.tolist() == [0, -1, -1, 1, 1, -1, -1, -1, 0]
    assert graph.resident_bytes.tolist() == [12000, 12] + [0] * 7
    assert graph.seconds["k80"][:3].tolist() == [0, 0, 0]


def test_measured_times_take_the_place_of_the_roofline() -> None:
    graph = to_graph(step(), {"cpu": np.array([0.5, 0.25]), "v100": DEVICE_KINDS["v100"]})
    assert graph.seconds["cpu"].tolist() == [0, 0.5, 0.25, 0.25, 0.5, 0.5, 0.25]
    with pytest.raises(CaptureError, match="1 times on cpu for 2 calls"):
        to_graph(step(), {"cpu": np.array([0.5])})


@pytest.mark.parametrize("name", ["step.json", "step.json.gz", "step.json.zst"])
def test_a_file_holds_the_whole_step(tmp_path: Path, name: str) -> None:
    save(step(), tmp_path / name)
    assert load(tmp_path / name) == step()
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_step_is_captured_once(tmp_path: Path) -> None:
    times = []

    def capture() -> Captured:
        times.append(1)
        return step()

    path = tmp_path / "deep" / "step.json.gz"
    assert cached(path, capture) == cached(path, capture) == step()
    assert len(times) == 1
    path.write_bytes(path.read_bytes()[:-20])
    assert cached(path, capture) == cached(path, capture) == step()
    assert len(times) == 2


def damaged(change: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "format": "acumen captured step",
        "version": 1,
        "name": "tiny",
        **{key: list(getattr(step(), key)) for key in ("calls", "operators", "parameters")},
        "tensor_bytes": list(step().tensor_bytes),
    }
    whole = json.loads(json.dumps(whole))
    change(whole)
    return whole


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda whole: whole.update(format="other"), "no captured step"),
        (lambda whole: whole.update(version=2), "version 2"),
        (lambda whole: whole.pop("calls"), "calls"),
        (lambda whole: whole["operators"].reverse(), "points to what is not there"),
        (lambda whole: whole["operators"].clear(), "without operators"),
        (lambda whole: whole["operators"].append(whole["operators"][-1]), "same name"),
        (lambda whole: whole["operators"][1].__setitem__(3, 2), "'a/mm' points"),
        (lambda whole: whole["operators"][1].__setitem__(2, "sideways"), "'a/mm' points"),
        (lambda whole: whole["operators"][6].__setitem__(8, [6]), "'a/update' points"),
        (lambda whole: whole["operators"][6].__setitem__(7, [2]), "'a/update' points"),
        (lambda whole: whole["operators"][2].__setitem__(6, [0]), "'b/relu_' points"),
        (lambda whole: whole["operators"][1].__setitem__(4, [0.0]), "where int must stand"),
        (lambda whole: whole["tensor_bytes"].__setitem__(0, -1), "negative size: -1"),
        (lambda whole: whole["tensor_bytes"].pop(), "'a/dw' points"),
        (lambda whole: whole["calls"][0].__setitem__(2, -5), "negative size: -5"),
        (lambda whole: whole["calls"][0].__setitem__(5, "float7"), "float7"),
        (lambda whole: whole["parameters"][0].__setitem__(0, []), "without a name"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: Any, says: str) -> None:
    path = tmp_path / "step.json"
    path.write_text(json.dumps(damaged(change)))
    with pytest.raises(CaptureError, match=says):
        load(path)


@settings(deadline=None)
@given(st.data())
def test_any_other_bytes_are_refused_or_read(tmp_path_factory: Any, data: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json.gz"
    save(step(), path)
    whole = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(whole) - 1))
    whole[where] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with contextlib.suppress(CaptureError):
        assert isinstance(load(path), Captured)


def test_what_nobody_reads_takes_memory_too() -> None:
    whole = step()
    forward = Captured(
        "forward", whole.calls, whole.operators[:3], whole.tensor_bytes, whole.parameters
    )
    graph = to_graph(forward, {"k80": DEVICE_KINDS["k80"]})
    made = np.bincount(graph.tensors.producer, graph.tensors.size_bytes, len(graph))
    assert made.tolist() == [40, 400, 400]  # the last is the model's output
