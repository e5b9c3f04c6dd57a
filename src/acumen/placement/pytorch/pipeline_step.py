"""One step of a pipeline of stages, simulated: what each stage takes, and the order of GPipe.

Every stage runs the forward pass of microbatch after microbatch, then the backward passes in the
same order, then the update (Huang et al., "GPipe: efficient training of giant neural networks
using pipeline parallelism", NeurIPS 2019). What a stage computes is one operator of the simulated
graph, for each microbatch; what flows between stages is copied, while both compute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acumen.placement.cluster import Cluster
from acumen.placement.graph import Floats, Graph
from acumen.placement.plan import Plan, Task
from acumen.placement.pytorch.captured import NO_CALL, Call, Captured, Operator
from acumen.placement.pytorch.encoding import encode_call
from acumen.placement.pytorch.library import torch
from acumen.placement.pytorch.pipeline_cut import STAGE
from acumen.placement.simulator import Simulator


@dataclass(frozen=True)
class StageCosts:
    """What one stage does in a step.

    Attributes:
        forward_seconds: of a microbatch; of the last stage with its loss.
        backward_seconds: of a microbatch.
        accumulate_seconds: adding a microbatch's gradients to those before it.
        update_seconds: of its parameters, once a step.
        sends: bytes that the forward pass of a microbatch sends, to each later stage by number.
        returns: bytes that the backward pass sends, to each earlier stage by number.
    """

    forward_seconds: float
    backward_seconds: float
    accumulate_seconds: float
    update_seconds: float
    sends: dict[int, int]
    returns: dict[int, int]

    def step_seconds(self, microbatches: int) -> float:
        """What the stage computes in a step."""
        once = self.forward_seconds + self.backward_seconds
        adding = (microbatches - 1) * self.accumulate_seconds
        return microbatches * once + adding + self.update_seconds


def accumulating_calls(captured: Captured) -> dict[int, Call]:
    """For each number of bytes that a gradient has, adding another one to it, as a call."""
    t = torch()
    found = {}
    for size in sorted({one.gradient_bytes for one in captured.parameters} - {0}):
        flat = t.empty(size // 4, device="meta")
        arguments = encode_call((flat, flat), {})
        found[size] = Call("aten.add_.Tensor", arguments, 0, 2 * size, size, "float32")
    return found


def stage_costs(
    captured: Captured, seconds: Sequence[Floats], accumulating: dict[int, float]
) -> list[StageCosts]:
    """What each stage does.

    Args:
        captured: the step of a microbatch, of a model that was split (`split_model`).
        seconds: of each of its calls on each stage's device; shape (stages, calls).
        accumulating: how long adding up gradients of so many bytes takes.
    """
    count = len(seconds)
    spent: dict[tuple[int, str], float] = defaultdict(float)
    where = [_stage_of(operator, count) for operator in captured.operators]
    for operator, stage in zip(captured.operators, where, strict=True):
        if operator.call != NO_CALL:
            spent[stage, operator.phase] += float(seconds[stage][operator.call])
    adding: dict[int, float] = defaultdict(float)
    for parameter in captured.parameters:
        stage = _stage_in(parameter.names[0], count)
        adding[stage] += accumulating.get(parameter.gradient_bytes, 0.0)
    flows = _flows(captured, where)
    return [
        StageCosts(
            spent[stage, "forward"],
            spent[stage, "backward"],
            adding[stage],
            spent[stage, "update"],
            {to: size for (of, to, phase), size in flows.items() if (of, phase) == (stage, 0)},
            {to: size for (of, to, phase), size in flows.items() if (of, phase) == (stage, 1)},
        )
        for stage in range(count)
    ]


def _flows(captured: Captured, where: Sequence[int]) -> dict[tuple[int, int, int], int]:
    """Bytes from stage to stage; forward (0) to later ones, backward (1) to earlier ones."""
    seen = set()
    flows: dict[tuple[int, int, int], int] = defaultdict(int)
    for operator, stage in zip(captured.operators, where, strict=True):
        for tensor in operator.reads:
            maker = captured.made_by[tensor]
            key = (tensor, stage)
            made = captured.operators[maker].phase
            back = int(where[maker] > stage)
            if where[maker] == stage or made == "input" or key in seen:
                continue
            # What a stage was sent for its forward pass it keeps for its backward pass.
            if operator.phase == made == ("backward" if back else "forward"):
                seen.add(key)
                flows[where[maker], stage, back] += captured.tensor_bytes[tensor]
    return flows


def _stage_of(operator: Operator, count: int) -> int:
    return _stage_in(operator.module, count)


def _stage_in(path: str, count: int) -> int:
    """By a path such as "split_gm.submod_pp_1.head"; what is outside is the loss: the last one."""
    for part in path.split("."):
        if part.startswith(STAGE):
            return int(part.removeprefix(STAGE))
    return count - 1


def pipeline_task(
    stages: Sequence[StageCosts], microbatches: int, cluster: Cluster, devices: Sequence[int]
) -> tuple[Task, Plan]:
    """A step as a graph of what stages do, and the plan that runs each on its device.

    Args:
        stages: s of them.
        microbatches: that a step consists of.
        cluster: of which each stage has a device of its own.
        devices: the stages' devices; shape (s,).
    """
    names: list[str] = []
    seconds: list[float] = []
    place: list[int] = []
    number: dict[tuple[int, str, int], int] = {}

    def add(stage: int, what: str, batch: int, takes: float) -> None:
        number[stage, what, batch] = len(names)
        names.append(f"stage {stage}/{what} {batch}")
        seconds.append(takes)
        place.append(devices[stage])

    edges: list[tuple[int, int]] = []
    sizes: list[int] = []
    for stage, costs in enumerate(stages):
        first = len(names)
        for batch in range(microbatches):
            add(stage, "forward", batch, costs.forward_seconds)
        for batch in range(microbatches):
            adding = costs.accumulate_seconds if batch else 0.0
            add(stage, "backward", batch, costs.backward_seconds + adding)
        add(stage, "update", 0, costs.update_seconds)
        # A stage does one after the other, even if a later one could run already.
        edges += [(one, one + 1) for one in range(first, len(names) - 1)]
        sizes += [0] * (len(names) - 1 - first)
    for stage, costs in enumerate(stages):
        for what, flow in (("forward", costs.sends), ("backward", costs.returns)):
            for to, size in flow.items():
                for batch in range(microbatches):
                    edges.append((number[stage, what, batch], number[to, what, batch]))
                    sizes.append(size)
    kinds = {cluster.devices[one].kind for one in devices}
    times = dict.fromkeys(kinds, np.array(seconds))
    graph = Graph.from_edges("pipeline", names, times, np.zeros(len(names)), edges, sizes)
    return Task(graph, cluster, "latency"), Plan(np.array(place, np.int32))


def simulated_seconds(
    stages: Sequence[StageCosts], microbatches: int, cluster: Cluster, devices: Sequence[int]
) -> float:
    """How long a step takes in the simulator: see `pipeline_task`."""
    task, plan = pipeline_task(stages, microbatches, cluster, devices)
    return Simulator(task).simulate(plan).seconds
