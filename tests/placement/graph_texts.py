"""One small, whole file of each format of graphs, for tests that read them and that damage them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from acumen.placement import Cluster, Device, Graph, save_graph
from acumen.placement.graph import Tensors
from acumen.placement.pytorch import Call, Captured, Operator, save


def msr_node(id_: int, **more: Any) -> dict[str, Any]:
    usual = {
        "name": f"n{id_}", "id": id_, "supportedOnFpga": 1, "cpuLatency": 10.0 * id_,
        "fpgaLatency": 1.0 * id_, "isBackwardNode": 0, "colorClass": id_, "size": 100.0,
    }  # fmt: skip
    return usual | more


def msr_file() -> dict[str, Any]:
    return {
        "maxSizePerFPGA": 1e9, "maxFPGAs": 2, "maxCPUs": 1,
        "nodes": [
            msr_node(7),
            msr_node(1, supportedOnFpga=False),
            msr_node(3, isBackwardNode=1, colorClass=7),
        ],
        "edges": [
            {"sourceId": 7, "destId": 1, "cost": 0.5, "size": 64.0},
            {"sourceId": 7, "destId": 3, "cost": 0.5, "size": 64.0},
            {"sourceId": 1, "destId": 3, "cost": 2.0},
        ],
    }  # fmt: skip


def piper_way(seconds: float, a: float, b: float) -> dict[str, Any]:
    return {
        "id": "vanilla", "timePerSample": seconds, "parameterSize": 1.0, "memoryUsageA": a,
        "memoryUsageB": b, "syncTimeFw": {}, "syncTimeBw": {},
    }  # fmt: skip


def piper_file() -> dict[str, Any]:
    """Layers 5 -> 2 -> 9, and 5 -> 9; layer 2 can recompute, or be split over two devices."""
    several = {
        "1": [piper_way(0.5, 10, 1), piper_way(0.2, 20, 2)],
        "2": [piper_way(0.1, 10, 1)],
    }
    return {
        "maxDevices": 3, "maxMemoryPerDevice": 1e9, "bandwidth": 1e6, "mbsInBatch": 8,
        "nodes": [
            {"id": 5, "name": "in", "TMPCs": {"1": [piper_way(0.0, 8, 0)]}},
            {"id": 2, "name": "layer", "TMPCs": several},
            {"id": 9, "TMPCs": {"1": [piper_way(0.25, 30, 3)]}},
        ],
        "edges": [
            {"sourceId": 5, "destId": 2, "communicationCost": 1000.0},
            {"sourceId": 2, "destId": 9, "communicationCost": 500.0},
            {"sourceId": 5, "destId": 9, "communicationCost": 1000.0},
        ],
    }  # fmt: skip


PIPEDREAM = (
    "node1 -- Input0 -- forward_compute_time=0.000, backward_compute_time=0.000, "
    "activation_size=8.0, parameter_size=0.000\n"
    "node2 -- Linear(in=3, out=4) -- forward_compute_time=1.500, backward_compute_time=3.000, "
    "activation_size=[16.0; 4.0], parameter_size=12.000\n"
    "\tnode1 -- node2\n"
)

# Five nodes, two of which stand for inputs: 0 -> 1 -> 2 and 0 -> 2.
DOPPLER = "5\n0, 1, \n0, 0, 1, \n1, 2, 2,\n1000,4000,einsummable\n20,80,formation\n300,1200\n"


def own_graph() -> Graph:
    """Thirds, an operator that runs on one kind alone, a group, and a tensor that nobody reads."""
    return Graph(
        "own",
        ("first", "second [b]", "dritte ü"),
        {"gpu": np.array([1 / 3, 0.1 + 0.2, np.inf]), "cpu": np.array([5e-324, 1e300, 0.0])},
        np.array([2**60 + 1, 0, 3]),
        Tensors(
            np.array([0, 1, 0], np.int32),
            np.array([2**53 + 1, 0, 7]),
            np.array([0, 2, 3, 3]),
            np.array([1, 2, 2], np.int32),
            np.array([1 / 7, 0.0, 1e-9]),
        ),
        group=np.array([0, -1, 0], np.int32),
        backward=np.array([False, False, True]),
    )


def own_cluster() -> Cluster:
    devices = [Device("gpu:0", "gpu", 10**10), Device("cpu:0", "cpu")]
    return Cluster.full_mesh(devices, 1e-5, np.inf)


def captured_step() -> Captured:
    call = Call("aten.relu.default", "[[],{}]", 0, 400, 400, "float32")
    operators = [
        Operator("x", "", "input", -1, (), (0,), (), (), ()),
        Operator("relu", "act", "forward", 0, (0,), (1,), (), (), ()),
    ]
    return Captured("step", [call], operators, [400, 400], [])


def whole_texts(folder: Path) -> dict[str, str]:
    """A text of each format, by the name that `Loaded.source` has for it."""
    save_graph(folder / "own.json", own_graph(), own_cluster(), objective="throughput", notes=["n"])
    save(captured_step(), folder / "step.json")
    return {
        "acumen": (folder / "own.json").read_text(),
        "captured": (folder / "step.json").read_text(),
        "msr": json.dumps(msr_file()),
        "piper": json.dumps(piper_file()),
        "pipedream": PIPEDREAM,
        "doppler": DOPPLER,
    }
