"""Readers of graph files: exact arrays, the real files, and damaged ones."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from graph_texts import PIPEDREAM, msr_file

from acumen.placement import GraphError
from acumen.placement.formats import load_graph, msr, pipedream
from acumen.placement.graph import NO_GROUP

DATA = os.environ.get("ACUMEN_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="ACUMEN_DATA names no folder of data")


def test_msr() -> None:
    loaded = msr.read(json.dumps(msr_file()), "small")
    graph = loaded.graph
    assert graph.operators == ("n7#7", "n1#1", "n3#3")
    assert graph.seconds["accelerator"].tolist() == pytest.approx([0.007, math.inf, 0.003])
    assert graph.seconds["cpu"].tolist() == pytest.approx([0.07, 0.01, 0.03])
    assert graph.resident_bytes.tolist() == [100, 100, 100]
    assert graph.group.tolist() == [0, NO_GROUP, 0]
    assert graph.backward.tolist() == [False, False, True]
    # Node 7 makes one tensor, which two nodes read.
    tensors = graph.tensors
    assert tensors.producer.tolist() == [0, 1]
    assert tensors.size_bytes.tolist() == [64, 0]
    assert tensors.start.tolist() == [0, 2, 3]
    assert tensors.consumers.tolist() == [1, 2, 2]
    assert tensors.copy_seconds is not None
    assert tensors.copy_seconds.tolist() == pytest.approx([0.0005, 0.002])
    assert loaded.cluster is not None
    assert [(one.name, one.memory_bytes) for one in loaded.cluster.devices] == [
        ("accelerator:0", 10**9), ("accelerator:1", 10**9), ("cpu:0", None),
    ]  # fmt: skip


def test_pipedream() -> None:
    graph = pipedream.read(PIPEDREAM, "small").graph
    assert graph.operators == (
        "node1 Input0 forward", "node2 Linear forward", "node1 Input0 backward",
        "node2 Linear backward",
    )  # fmt: skip
    assert graph.seconds["gpu"].tolist() == pytest.approx([0, 0.0015, 0, 0.003])
    assert graph.resident_bytes.tolist() == [0, 36, 0, 0]
    assert graph.group.tolist() == [0, 1, 0, 1]
    assert graph.backward.tolist() == [False, False, True, True]
    reads = {
        (int(graph.tensors.producer[t]), int(c), int(graph.tensors.size_bytes[t]))
        for t, c in zip(graph.tensors.reads, graph.tensors.consumers, strict=True)
    }
    # The input is read by both passes of node2, and by its own backward pass; the gradient of the
    # input comes back; what node2 makes stays for its backward pass.
    assert reads == {(0, 1, 8), (0, 3, 8), (0, 2, 8), (3, 2, 8), (1, 3, 20)}
    assert len(graph.tensors) == 3
    forward = pipedream.read(PIPEDREAM, "small", training=False).graph
    assert len(forward) == 2
    assert forward.resident_bytes.tolist() == [0, 12]


def test_files(tmp_path: Path) -> None:
    plain, packed = tmp_path / "one.json", tmp_path / "two.txt.zst"
    plain.write_text(json.dumps(msr_file()))
    with pa.CompressedOutputStream(str(packed), "zstd") as out:
        out.write(PIPEDREAM.encode())
    assert load_graph(plain).graph.name == "one"
    assert load_graph(packed).graph.name == "two"
    assert load_graph(packed).source == "pipedream"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda f: f["nodes"][0].update(cpuLatency=-1), r"operator 'n7#7' takes -0.001 s on cpu"),
        (lambda f: f["nodes"][0].update(cpuLatency=float("nan")), "node 'n7#7': cpuLatency is nan"),
        (lambda f: f["nodes"][0].pop("fpgaLatency"), "node 'n7#7' has no 'fpgaLatency'"),
        (lambda f: f["nodes"][1].update(id=7), "node 7 is there twice"),
        (lambda f: f["edges"][0].update(destId=99), "node 99, which does not exist"),
        (lambda f: f["edges"].append({"sourceId": 3, "destId": 7, "cost": 1}), "waits for its own"),
        (lambda f: f["edges"][0].update(cost=-2.0), "'n7#7' makes takes -0.002 s to copy"),
        (lambda f: f.update(maxFPGAs=0, maxCPUs=0), "0 accelerators and 0 hosts"),
        (lambda f: f.update(nodes=3), "no list 'nodes'"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: Any, complaint: str) -> None:
    file = msr_file()
    change(file)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(file))
    with pytest.raises(GraphError, match=complaint) as caught:
        load_graph(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (PIPEDREAM.replace("node1 -- node2", "node1 -- node9"), "line 3: there is no node 'node9'"),
        (PIPEDREAM.replace("=1.500", "=much"), "node 'node2' has no number 'forward_compute_time'"),
        (PIPEDREAM.replace("=3.000", "=inf"), "node 'node2': backward_compute_time is inf"),
        (PIPEDREAM + "\tnode2 -- node1\n", "waits for its own result"),
        (PIPEDREAM + "nonsense\n", "line 4 is neither"),
        ("", "no known format"),
    ],
)
def test_damage_of_a_profile_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(GraphError, match=complaint):
        load_graph(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    for name, content in (("a.zst", b"no zstd"), ("b.txt", b"\xff\xfe"), ("c.json", b"{1")):
        (tmp_path / name).write_bytes(content)
    for name in ("a.zst", "b.txt", "c.json", "absent.json"):
        with pytest.raises(GraphError, match=name):
            load_graph(tmp_path / name)


@needs_data
def test_all_real_files_load() -> None:
    folder = Path(str(DATA)) / "placement"
    found = {}
    for path in sorted([*folder.glob("dnn*/*-inputs/*/*.zst"), *folder.glob("pipedream/*.zst")]):
        graph = load_graph(path).graph
        found["/".join([*path.parts[-3:-1], graph.name])] = (len(graph), len(graph.edges[0]))
        assert sorted(graph.order.tolist()) == list(range(len(graph)))
    assert len(found) == 30
    assert found["throughput-inputs/LayerGraphs/bert24_training"] == (64, 110)
    assert found["throughput-inputs/OperatorGraphs/bert_L-12_training"] == (2012, 2751)
    # 48 layers and 58 edges: both directions, each activation once more for the backward pass.
    assert found["placement/pipedream/gnmt"] == (96, 3 * 58 + 48)


@needs_data
def test_a_split_by_hand() -> None:
    folder = Path(str(DATA)) / "placement" / "dnn-partitioning"
    graph = load_graph(folder / "throughput-inputs/LayerGraphs/bert24_training.json.zst").graph
    device = msr.read_split(folder / "human-experts/bert24_training_expert.json.zst", graph)
    assert np.bincount(device).sum() == len(graph)
    assert device.max() < 7
