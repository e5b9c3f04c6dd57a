"""The load of each device when steps follow each other in a pipeline: the objective "throughput".

Once the pipeline is full, its busiest device sets the pace. A device is busy with the operators on
it, with sending each tensor of theirs that is read elsewhere (once, whoever reads it), and with
receiving each tensor that they read from elsewhere (once, however many read it). Hosts (devices of
the kind "cpu") have everything in their own memory and copy nothing; forward and backward pass
count alike. This is the model of Tarnawski, Phanishayee, Devanur, Mahajan and Nina Paravecino,
"Efficient Algorithms for Device Placement of DNN Graph Operators", NeurIPS 2020.
"""

from __future__ import annotations

import numpy as np

from acumen.placement.graph import NO_GROUP, Bools, Floats, Indices
from acumen.placement.plan import Plan, PlanError, Score, Task

HOST_KIND = "cpu"


def copies(task: Task) -> Floats:
    """How long a copy of each tensor keeps its sender busy, and each receiver; shape (m,).

    It is what the file states or, where it states nothing, what the cluster's slowest channel
    needs: a pipeline's copies go by way of the host.
    """
    tensors = task.graph.tensors
    if tensors.copy_seconds is not None:
        return tensors.copy_seconds
    cluster = task.cluster
    if len(cluster) == 1:
        return np.zeros(len(tensors))
    used = np.unique(cluster.route[~np.eye(len(cluster), dtype=np.bool_)])
    channels = [cluster.channels[number] for number in used]
    latency = np.array([channel.latency_seconds for channel in channels])
    bandwidth = np.array([channel.bytes_per_second for channel in channels])
    slowest = np.zeros(len(tensors))
    for wait, speed in zip(latency, bandwidth, strict=True):
        np.maximum(slowest, wait + tensors.size_bytes / speed, out=slowest)
    return slowest


def pays(task: Task) -> Bools:
    """Which devices are busy with copies: all but hosts; shape (d,)."""
    return np.array([device.kind != HOST_KIND for device in task.cluster.devices])


def loads(task: Task, device: Indices) -> Floats:
    """How long each device is busy a step, in seconds; shape (d,), float64.

    Infinite where an operator lies on a device that cannot run it.

    Args:
        task: what is placed.
        device: the number of each operator's device; shape (n,).

    Raises:
        PlanError: there is not one device an operator, or there is no such device.
    """
    d = len(task.cluster)
    where = checked(task, device)
    busy = np.bincount(where, task.seconds()[where, np.arange(len(where))], minlength=d)
    tensors = task.graph.tensors
    ends = np.concatenate([where[tensors.producer], where[tensors.consumers]])
    numbers = np.concatenate([np.arange(len(tensors)), tensors.reads])
    at = np.unique(numbers * d + ends)  # each tensor once a device
    tensor, there = np.divmod(at, d)
    cut = np.bincount(tensor, minlength=len(tensors)) > 1
    copying = np.bincount(there, np.where(cut, copies(task), 0.0)[tensor], minlength=d)
    return np.asarray(busy + np.where(pays(task), copying, 0.0), np.float64)


def checked(task: Task, device: Indices) -> Indices:
    """The devices, if there is one an operator and each exists; shape (n,).

    Raises:
        PlanError: otherwise.
    """
    where = np.asarray(device)
    if where.shape != (len(task.graph),):
        raise PlanError(f"devices of shape {where.shape} for {len(task.graph)} operators")
    bad = np.flatnonzero((where < 0) | (where >= len(task.cluster)))
    if len(bad):
        name = task.graph.operators[bad[0]]
        raise PlanError(f"operator {name!r} lies on device {where[bad[0]]}, which does not exist")
    return where


def score(task: Task, plan: Plan) -> Score:
    """What a plan is worth as a pipeline.

    `seconds` is the largest load, infinite if an operator lies where it cannot run or a group is
    torn apart; `memory_bytes` is what the operators of each device keep there.

    Raises:
        PlanError: there is not one device an operator, or there is no such device.
    """
    where = checked(task, plan.device)
    graph, devices = task.graph, task.cluster.devices
    seconds = float(loads(task, where).max())
    grouped = np.flatnonzero(graph.group != NO_GROUP)
    pairs = np.unique(np.stack([graph.group[grouped], where[grouped]]), axis=1)
    if len(np.unique(pairs[0])) < pairs.shape[1]:
        seconds = np.inf
    memory = np.zeros(len(devices), np.int64)
    np.add.at(memory, where, graph.resident_bytes)
    excess = sum(
        max(0, int(held) - device.memory_bytes)
        for held, device in zip(memory, devices, strict=True)
        if device.memory_bytes is not None
    )
    return Score(seconds, memory, excess)
