"""Acumen's own graph files, Piper's, Doppler's and captured steps: exactly what they say."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from graph_texts import (
    DOPPLER,
    captured_step,
    msr_file,
    own_cluster,
    own_graph,
    piper_file,
    whole_texts,
)
from hypothesis import given, settings
from small_tasks import tasks

from acumen.cli import main
from acumen.placement import Cluster, Graph, GraphError, Task, files, load_graph, save_graph
from acumen.placement.costs import DEVICE_KINDS
from acumen.placement.formats import doppler, parse_graph, piper
from acumen.placement.pytorch import save

DATA = os.environ.get("ACUMEN_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="ACUMEN_DATA names no folder of data")


def same_arrays(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b)


def same_graphs(a: Graph, b: Graph) -> bool:
    """Bit for bit, the order of kinds included."""
    timed = a.tensors.copy_seconds
    others = b.tensors.copy_seconds
    return (
        (a.name, a.operators, a.kinds) == (b.name, b.operators, b.kinds)
        and all(same_arrays(a.seconds[kind], b.seconds[kind]) for kind in a.kinds)
        and all(
            same_arrays(getattr(a, key), getattr(b, key))
            for key in ("resident_bytes", "group", "backward")
        )
        and all(
            same_arrays(getattr(a.tensors, key), getattr(b.tensors, key))
            for key in ("producer", "size_bytes", "start", "consumers")
        )
        and (timed is others is None or same_arrays(timed, others))
    )


def same_clusters(a: Cluster, b: Cluster) -> bool:
    return (
        list(a.devices) == list(b.devices)
        and list(a.channels) == list(b.channels)
        and same_arrays(a.route, b.route)
    )


@pytest.mark.parametrize("name", ["graph.json", "graph.json.gz", "graph.json.zst"])
def test_a_saved_graph_is_the_same_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    told = {"notes": ["one", "two"], "modules": ["", "a", "a.b"]}
    save_graph(path, own_graph(), own_cluster(), objective="throughput", **told)
    loaded = load_graph(path)
    assert loaded.modules == told["modules"]
    assert same_graphs(loaded.graph, own_graph())
    assert loaded.cluster is not None
    assert same_clusters(loaded.cluster, own_cluster())
    assert (loaded.source, loaded.objective, loaded.notes) == (
        "acumen", "throughput", ("one", "two"),
    )  # fmt: skip
    assert [one.name for one in tmp_path.iterdir()] == [name]
    save_graph(path, replace(own_graph(), name="alone"))
    again = load_graph(path)
    assert (again.graph.name, again.cluster, again.notes) == ("alone", None, ())


@settings(max_examples=15, deadline=None)
@given(tasks())
def test_any_graph_is_the_same_again(tmp_path_factory: Any, task: Task) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    graph = replace(task.graph, operators=tuple(task.graph.operators))
    save_graph(path, graph, task.cluster)
    loaded = load_graph(path)
    assert same_graphs(loaded.graph, graph)
    assert loaded.cluster is not None
    assert same_clusters(loaded.cluster, task.cluster)


def test_every_format_is_recognised(tmp_path: Path) -> None:
    texts = whole_texts(tmp_path)
    assert {name: parse_graph(text, "g").source for name, text in texts.items()} == {
        name: name for name in texts
    }


def test_piper() -> None:
    loaded = piper.read(json.dumps(piper_file()), "small")
    graph = loaded.graph
    assert graph.operators == ("in#5", "layer#2", "node#9")
    # The fastest way to run on one device, and its memory with one sample in flight.
    assert graph.seconds["gpu"].tolist() == [0, 0.2, 0.25]
    assert graph.resident_bytes.tolist() == [8, 22, 33]
    # What layer 5 makes goes to both others, and its gradient comes back.
    assert graph.tensors.size_bytes.tolist() == [2000, 1000]
    assert graph.tensors.start.tolist() == [0, 2, 3]
    cluster = loaded.cluster
    assert cluster is not None
    assert [(one.name, one.memory_bytes) for one in cluster.devices] == [
        ("gpu:0", 10**9), ("gpu:1", 10**9), ("gpu:2", 10**9),
    ]  # fmt: skip
    assert cluster.route.tolist() == [[0] * 3, [1] * 3, [2] * 3]
    assert cluster.channels[0].bytes_per_second == 1e6
    assert loaded.objective == "throughput"
    assert "taken as seconds" in loaded.notes[1]
    assert "2 others" in loaded.notes[2]


def test_piper_in_milliseconds() -> None:
    file = piper_file()
    file["nodes"][2]["TMPCs"]["1"][0]["timePerSample"] = 25.0
    loaded = piper.read(json.dumps(file), "small")
    assert loaded.graph.seconds["gpu"].tolist() == pytest.approx([0, 0.2e-3, 25e-3])
    assert "taken as milliseconds: the largest is 25" in loaded.notes[1]


def test_doppler() -> None:
    loaded = doppler.read(DOPPLER, "small")
    graph = loaded.graph
    assert graph.operators == ("einsummable#0", "formation#1", "node#2")
    assert graph.seconds["gpu"].tolist() == pytest.approx([1e-7, 2e-9, 3e-8])
    assert graph.tensors.producer.tolist() == [0, 1]
    assert graph.tensors.consumers.tolist() == [1, 2, 2]
    assert graph.tensors.copy_seconds is not None
    assert graph.tensors.copy_seconds.tolist() == pytest.approx([4e-7, 8e-9])
    assert loaded.cluster is not None
    assert len(loaded.cluster) == 4
    eight = doppler.read(DOPPLER, "8gpu_small").cluster
    assert eight is not None
    assert len(eight) == 8


def test_a_captured_step_is_a_graph_with_costs_of_all_kinds(tmp_path: Path) -> None:
    save(captured_step(), tmp_path / "step.json.zst")
    loaded = load_graph(tmp_path / "step.json.zst")
    assert loaded.graph.kinds == tuple(DEVICE_KINDS)
    assert loaded.graph.operators == ("x", "relu")
    assert loaded.notes


def test_a_packed_file_is_not_unpacked_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.save_text(tmp_path / "bomb.zst", "0" * 50_000)
    monkeypatch.setattr(files, "TEXT_MAX", 20_000)
    monkeypatch.setattr(files, "_AT_ONCE", 10_000)
    with pytest.raises(GraphError, match="holds more than 20,000 bytes"):
        load_graph(tmp_path / "bomb.zst")


def test_place_says_what_was_interpreted(tmp_path: Path) -> None:
    path = tmp_path / "small[x].txt"
    path.write_text(DOPPLER)
    done = CliRunner().invoke(main, ["place", str(path), "--budget", "10ms"])
    assert done.exit_code == 0, done.output
    assert "note: costs are taken as units of 0.1 ns" in done.stderr
    assert "small[x]: 3 operators, a step" in done.stdout
    path.write_text(json.dumps(msr_file() | {"maxFPGAs": 0, "maxCPUs": 0}))
    done = CliRunner().invoke(main, ["place", str(path)])
    assert done.exit_code == 2
    assert "0 accelerators and 0 hosts" in done.stderr


@needs_data
def test_real_files() -> None:
    folder = Path(str(DATA)) / "placement"
    found = {}
    for path in sorted([*folder.glob("piper/*"), *folder.glob("doppler/*")]):
        loaded = load_graph(path)
        assert loaded.cluster is not None
        graph = loaded.graph
        total = float(graph.seconds["gpu"].sum())
        found[graph.name] = (
            len(graph), len(graph.edges[0]), len(loaded.cluster), pytest.approx(total, rel=1e-4),
        )  # fmt: skip
    assert found["bert32a100"] == (37, 67, 10, 0.97286)
    # The same sum as that of PipeDream's profile, which is in milliseconds by its own format.
    assert found["resnet"] == (177, 193, 10, 0.46238)
    assert found["gnmt"] == (78, 104, 10, 0.52045)
    assert found["chain_mm_112nodes"][:3] == (76, 80, 4)
    assert found["8gpu_transformer_block"][:3] == (302, 398, 8)
    assert len(found) == 8
