"""A plan run for real: a process a device, costs measured there, the step beside its simulation.

The model's operators are timed on each kind of device, and the links between processes by sending
to and fro. With these costs a step of the pipeline is simulated; then it is run. What the stages
make together must be what the model makes in one piece, to the last bit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from acumen.placement.cluster import Channel, Cluster, Device
from acumen.placement.graph import Bools, Floats
from acumen.placement.plan import Plan, PlanError, Task
from acumen.placement.pytorch import saved
from acumen.placement.pytorch.capture import capture_training_step, on_fakes
from acumen.placement.pytorch.captured import Captured
from acumen.placement.pytorch.graphs import to_graph
from acumen.placement.pytorch.library import torch
from acumen.placement.pytorch.model_source import Example, load_example, microbatches
from acumen.placement.pytorch.pipeline_cut import (
    Cut,
    exported_modules,
    fit_cut,
    in_one_piece,
    split_model,
)
from acumen.placement.pytorch.pipeline_step import (
    StageCosts,
    accumulating_calls,
    simulated_seconds,
    stage_costs,
)
from acumen.placement.pytorch.processes import RunError, StageProcesses

LINK_BYTES = (1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22)
LINK_REPEATS = 20
# A plan that is further from any pipeline than this is another plan.
MOVED_MAX = 0.1


@dataclass(frozen=True)
class Rehearsal:
    """What a run came to.

    Attributes:
        cut: the stages that were run.
        stages: what each was measured to take, operator by operator.
        microbatches: of a step.
        steps: how long each measured step took, in seconds.
        spent_seconds: CPU time of each stage's process a step, the median: that of its operators,
            and of what runs them and sends their results; shape (stages,).
        simulated_seconds: how long a step takes in the simulator.
    """

    cut: Cut
    stages: tuple[StageCosts, ...]
    microbatches: int
    steps: tuple[float, ...]
    spent_seconds: tuple[float, ...]
    simulated_seconds: float

    @property
    def measured_seconds(self) -> float:
        """The median step."""
        return float(np.median(self.steps))

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which half of the steps lie, in seconds."""
        low, high = np.quantile(self.steps, [0.25, 0.75])
        return float(low), float(high)

    @property
    def error(self) -> float:
        """By which share of the measured step the simulated one is longer; negative: shorter."""
        return self.simulated_seconds / self.measured_seconds - 1.0


class Bench:
    """The devices that are here, with a process each, and a model to be run on them.

    Args:
        source: the model: "package.module:factory".
        cluster: whose devices are used, "cpu:0", "gpu:0" and so on, all of one family, with their
            memory; its links are measured anew.
        parts: how many microbatches a step has.
        seconds_max: after which everything ends, whatever it does.

    Raises:
        RunError: the devices are not here, or are of several families.
        CaptureError: see `load_example` and `capture_training_step`.
    """

    def __init__(
        self, source: str, cluster: Cluster, parts: int = 1, seconds_max: float = 600.0
    ) -> None:
        self.source, self.parts = source, parts
        self._named = cluster
        devices = [_torch_device(one.name) for one in cluster.devices]
        families = {one.partition(":")[0] for one in devices}
        if len(families) > 1:
            raise RunError(f"stages run on devices of one family, not on {' and '.join(devices)}")
        there = torch().cuda.device_count()
        if "cuda" in families and len(devices) > there:
            raise RunError(f"{len(devices)} GPUs are wanted; PyTorch sees {there}")
        self.example = load_example(source)
        self.captured = self._capture(None)
        threads = max(1, (os.cpu_count() or 1) // len(devices)) if "cpu" in families else 1
        self.processes = StageProcesses(devices, threads, seconds_max)

    def __enter__(self) -> Bench:
        self.processes.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self.processes.__exit__(*problem)

    def task(self) -> Task:
        """What is to be placed, with costs that are measured now: a step's load of a pipeline.

        Raises:
            RunError: a process fails.
            CaptureError: an operator cannot run here.
        """
        self._seconds = self._measure(self.captured)
        self.cluster = self._measure_links()
        kinds = {
            device.kind: seconds
            for device, seconds in zip(self.cluster.devices, self._seconds, strict=True)
        }
        graph = to_graph(self.captured, kinds)
        # The update comes once a step, and the graph is of a microbatch.
        update = np.array([one.phase == "update" for one in self.captured.operators])
        shared = {
            kind: np.where(update, seconds / self.parts, seconds)
            for kind, seconds in graph.seconds.items()
        }
        return Task(replace(graph, seconds=shared), self.cluster, "throughput")

    def run(self, plan: Plan, steps: int = 20, allowed: Bools | None = None) -> Rehearsal:
        """Runs a plan for the graph of `task`.

        Args:
            plan: is cut where a pipeline can be.
            steps: that are measured.
            allowed: on which devices each operator may run, as `Task.allowed`; None: on all.

        Raises:
            PlanError: the plan cannot be a pipeline, or the model not be cut as it says, or the cut
                would break a pin.
            RunError: a process fails, or what the stages make is not what the model makes.
        """
        modules = on_fakes(self.example.model, self._first(), exported_modules)
        cut = fit_cut(self.captured, self._seconds[0], plan, modules)
        if cut.moved > MOVED_MAX:
            raise PlanError(
                f"the plan is no pipeline: {cut.moved:.0%} of the forward pass would have to move"
            )
        if allowed is not None:
            check_allowed(self.captured, modules, cut, allowed)
        stages = self._stages(cut)
        simulated = simulated_seconds(stages, self.parts, self.cluster, cut.devices)
        ran = self._run(cut, steps)
        times = [answer["times"] for answer in ran]
        lasted = tuple(
            max(end for _, end, _ in together) - min(start for start, _, _ in together)
            for together in zip(*times, strict=True)
        )
        spent = tuple(float(np.median([one[2] for one in stage])) for stage in times)
        return Rehearsal(cut, tuple(stages), self.parts, lasted, spent, simulated)

    def _first(self) -> object:
        return microbatches(self.example.inputs, self.parts)[0]

    def _capture(self, rebuild: Callable[[object, object], object] | None) -> Captured:
        example: Example = self.example
        return capture_training_step(
            example.model,
            microbatches(example.inputs, self.parts)[0],
            example.loss,
            microbatches(example.targets, self.parts)[0],
            example.optimizer,
            self.source.rpartition(":")[2],
            rebuild,
        )

    def _measure(self, captured: Captured) -> list[Floats]:
        """How long each call takes on each device; alike devices are measured once."""
        path = self.processes.folder / "step.json"
        saved.save(captured, path)
        found: dict[str, Floats] = {}
        for number, device in enumerate(self._named.devices):
            if device.kind not in found:
                answer = self.processes.ask({number: {"do": "measure", "step": str(path)}})
                found[device.kind] = np.array(answer[number]["seconds"])
        return [found[device.kind] for device in self._named.devices]

    def _measure_links(self) -> Cluster:
        """A channel for each pair of devices, in both directions."""
        d = len(self._named)
        channels, route = [Channel(0.0, math.inf)], np.zeros((d, d), np.int16)
        for a in range(d):
            for b in range(a):
                meeting = self.processes.meeting()
                question = {"do": "link", "sizes": LINK_BYTES, "repeats": LINK_REPEATS}
                answers = self.processes.ask(
                    {
                        one: {**question, "rank": rank, "meeting": meeting}
                        for rank, one in enumerate((a, b))
                    }
                )
                channel = fit_link(LINK_BYTES, answers[a]["seconds"])
                for ends in ((a, b), (b, a)):
                    route[ends] = len(channels)
                    channels.append(channel)
        # Not "cpu", which means a host whose copies cost a pipeline nothing.
        devices = [
            Device(one.name, f"{one.kind} here", one.memory_bytes) for one in self._named.devices
        ]
        return Cluster(devices, channels, route)

    def _stages(self, cut: Cut) -> list[StageCosts]:
        def rebuild(module: object, inputs: object) -> object:
            return in_one_piece(split_model(module, inputs, cut))

        split = self._capture(rebuild)
        adding = accumulating_calls(split)
        whole = replace(split, calls=[*split.calls, *adding.values()])
        measured = self._measure(whole)
        n = len(split.calls)
        sums = dict(zip(adding, measured[cut.devices[0]][n:].tolist(), strict=True))
        return stage_costs(split, [measured[one][:n] for one in cut.devices], sums)

    def _run(self, cut: Cut, steps: int) -> list[dict[str, Any]]:
        meeting = self.processes.meeting()
        question = {"do": "stage", "source": self.source, "parts": self.parts, "steps": steps}
        answers = self.processes.ask(
            {
                device: {**question, "meeting": meeting, "rank": rank, "cut": asdict(cut)}
                for rank, device in enumerate(cut.devices)
            }
        )
        ran = [answers[device] for device in cut.devices]
        first = cut.devices[0]
        question = {"do": "whole", "source": self.source, "parts": self.parts}
        whole = self.processes.ask({first: question})[first]
        check_same(ran, whole)
        return ran


def check_allowed(captured: Captured, modules: Sequence[str], cut: Cut, allowed: Bools) -> None:
    """No module of the forward pass is on a device where one of its operators must not run.

    Args:
        captured: the step that was planned.
        modules: as for `fit_cut`.
        cut: of that step.
        allowed: as `Task.allowed`; shape (d, n).

    Raises:
        PlanError: one is; the message names the operator.
    """
    stage = np.searchsorted(cut.starts, np.arange(len(modules)), side="right")
    found: dict[str, set[int]] = {}
    for module, number in zip(modules, stage.tolist(), strict=True):
        found.setdefault(module, set()).add(cut.devices[number])
    for number, operator in enumerate(captured.operators):
        for device in found.get(operator.module, ()) if operator.phase == "forward" else ():
            if not allowed[device, number]:
                raise PlanError(
                    f"cut where a pipeline can be, the plan has operator {operator.name!r} on "
                    f"device {device}, which breaks a pin"
                )


def check_same(ran: Sequence[Mapping[str, Any]], whole: Mapping[str, Any]) -> None:
    """The stages together have made what the model makes in one piece, to the last bit.

    Args:
        ran: what each stage has made: digests of "outputs" (of the last one) and of "gradients"
            by the parameter's name.
        whole: the same, of the model.

    Raises:
        RunError: they have not.
    """
    if list(ran[-1]["outputs"]) != list(whole["outputs"]):
        raise RunError(
            "the stages' outputs are not those of the model in one piece: does it draw random "
            "numbers (dropout)?"
        )
    missing = set(whole["gradients"].values())
    for stage, answer in enumerate(ran):
        for name, digest in answer["gradients"].items():
            if whole["gradients"].get(name) != digest:
                raise RunError(f"stage {stage}'s gradient of {name!r} is not the model's")
            missing.discard(digest)
    if missing:
        name = next(one for one, digest in whole["gradients"].items() if digest in missing)
        raise RunError(f"no stage has a gradient of {name!r}")


def fit_link(sizes: Sequence[int], seconds: Sequence[float]) -> Channel:
    """Latency and bandwidth from how long copies took: least squares of relative errors.

    >>> channel = fit_link([0, 10**6, 4 * 10**6], [1e-4, 1.1e-3, 4.1e-3])
    >>> round(channel.latency_seconds, 6), round(channel.bytes_per_second / 1e9, 3)
    (0.0001, 1.0)
    """
    times = np.maximum(np.asarray(seconds), 1e-9)
    rows = np.stack([1 / times, np.asarray(sizes) / times], axis=1)
    (latency, per_byte), *_ = np.linalg.lstsq(rows, np.ones(len(times)), rcond=None)
    if latency < 0:  # a straight line through nothing fits better
        latency = 0.0
        per_byte = float(rows[:, 1].sum() / (rows[:, 1] ** 2).sum())
    return Channel(float(latency), float(1 / per_byte) if per_byte > 0 else math.inf)


def devices_here() -> Cluster:
    """The GPUs that are here with what they hold, or else two processes on the CPU."""
    cuda = torch().cuda
    count = cuda.device_count()
    devices = [
        Device(f"gpu:{one}", "gpu", int(cuda.get_device_properties(one).total_memory))
        for one in range(count)
    ] or [Device(f"cpu:{one}", "cpu") for one in range(2)]
    return Cluster.full_mesh(devices, 0.0, math.inf)


def _torch_device(name: str) -> str:
    family, _, number = name.partition(":")
    if family not in ("cpu", "gpu"):
        raise RunError(f"{name} cannot be run: stages run on CPUs or on GPUs")
    return "cpu" if family == "cpu" else f"cuda:{number}"
