"""The talk's placement experiments: training steps of six models, captured, on K80s and a CPU.

Weights stand by themselves and are copied to whoever reads them, as in the TensorFlow of those
experiments, so that each step of a recurrent layer may run elsewhere. What is captured is kept in
the user's cache directory.

Papers: Mirhoseini et al., "Device placement optimization with reinforcement learning", ICML 2017;
Mirhoseini, Goldie et al., "A hierarchical model for device placement", ICLR 2018.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from acumen.evaluation import cache_directory
from acumen.placement.cluster import Cluster
from acumen.placement.costs import DEVICE_KINDS
from acumen.placement.devices import parse_devices
from acumen.placement.graph import Graph, GraphError, Indices
from acumen.placement.plan import Deadline, Task
from acumen.placement.planners import layers
from acumen.placement.problems import Problem
from acumen.placement.pytorch import models
from acumen.placement.pytorch.capture import capture_training_step
from acumen.placement.pytorch.captured import Captured, CaptureError
from acumen.placement.pytorch.graphs import to_graph
from acumen.placement.pytorch.saved import cached

GPUS = (2, 4, 8)
KIND = "k80"
SENTENCES, WORDS = 64, 40
IMAGES = 32
WIDTH, VOCABULARY = 1024, 32_000


@dataclass(frozen=True)
class Step:
    """A model and one batch.

    Attributes:
        model: makes it.
        inputs: of one batch; made when they are needed, for they are tensors.
        targets: what the loss compares with.
        file: of the captured step, which stands for all of the above.
        layers: how many recurrent layers people would put on devices of their own; 0: it has none,
            and people cut it into stretches of equal work.
    """

    model: Callable[[], Any]
    inputs: Callable[[], tuple[Any, ...]]
    targets: Callable[[], tuple[Any, ...]]
    file: str
    layers: int = 0


def _recurrent(model: Callable[[], Any], texts: int, file: str, layers: int) -> Step:
    return Step(
        model,
        lambda: (models.words(SENTENCES, WORDS),) * texts,
        lambda: (models.labels(SENTENCES, WORDS),),
        f"{file}-batch{SENTENCES}-length{WORDS}.json.gz",
        layers,
    )


def _vision(model: Callable[[], Any], size: int, file: str) -> Step:
    return Step(
        model,
        lambda: (models.images(IMAGES, size),),
        lambda: (models.labels(IMAGES),),
        f"{file}-batch{IMAGES}.json.gz",
    )


def _nmt(count: int) -> Step:
    model = functools.partial(models.nmt, count, WIDTH, VOCABULARY)
    return _recurrent(model, 2, f"nmt-layers{count}-width{WIDTH}-words{VOCABULARY}", count)


STEPS: Mapping[str, Step] = {
    "nmt2": _nmt(2),
    "nmt4": _nmt(4),
    "nmt8": _nmt(8),
    "rnnlm": _recurrent(models.rnnlm, 1, "rnnlm-layers2-width2048-words10000", 2),
    "inception_v3": _vision(models.inception_v3, 299, "inception_v3"),
    "resnet50": _vision(models.resnet50, 224, "resnet50"),
}


@dataclass(frozen=True, slots=True)
class CapturedStep:
    """One of `STEPS` on so many simulated K80s (one of a board's two processors) and a CPU."""

    step: str
    gpus: int

    @property
    def name(self) -> str:
        """Of the workload."""
        return f"{self.step}-{KIND}x{self.gpus}"

    def open(self) -> Problem:
        """The captured step, for one step's latency; raises GraphError."""
        step = STEPS[self.step]
        try:
            captured = cached(_folder() / step.file, functools.partial(_capture, self.step))
        except (CaptureError, OSError) as error:
            raise GraphError(f"{self.step} cannot be captured: {error}") from error
        kinds = {kind: DEVICE_KINDS[kind] for kind in (KIND, "cpu")}
        graph = replace(to_graph(captured, kinds, "variables"), name=self.name)
        cluster = parse_devices(f"gpu:{KIND}*{self.gpus},cpu*1")
        if step.layers:
            expert = split_by_layers(captured, step.layers, self.gpus)
        else:
            expert = split_by_work(graph, cluster, self.gpus)
        return Problem(graph, cluster, ("latency",), expert)


def captured_steps() -> list[CapturedStep]:
    """Those that can be captured here, or were before."""
    here = find_spec("torch") is not None
    return [
        CapturedStep(name, gpus)
        for name, step in STEPS.items()
        if here or (_folder() / step.file).is_file()
        for gpus in GPUS
    ]


def split_by_layers(captured: Captured, count: int, gpus: int) -> Indices:
    """How people place recurrent networks: layer after layer on a GPU each, time steps together.

    Embeddings lie with the first layer, attention and the logits with the last. What belongs to no
    module lies with the last layer of which it reads something.

    Args:
        captured: a step of `models.nmt` or `models.rnnlm`.
        count: how many layers.
        gpus: how many GPUs; with more layers than GPUs neighbours share one.

    Returns:
        The device of each operator of `to_graph(captured, …, "variables")`; shape (n,).
    """
    layer = [_layer(parameter.names[0], count) or 0 for parameter in captured.parameters]
    first = len(layer)
    for operator in captured.operators:
        own = _layer(operator.module, count)
        if own is None:
            made = [captured.made_by[tensor] for tensor in operator.reads]
            own = max((layer[first + one] for one in made), default=0)
        layer.append(own)
    return (np.array(layer) * min(count, gpus) // count).astype(np.int32)


def _layer(path: str, count: int) -> int | None:
    """The layer to which a module's path belongs; None: it does not say."""
    part, _, rest = path.partition(".")
    if part in ("encoder", "decoder", "cells"):
        return int(rest.partition(".")[0]) if rest else None
    return {"source": 0, "target": 0, "words": 0, "": None}.get(part, count - 1)


def split_by_work(graph: Graph, cluster: Cluster, gpus: int) -> Indices:
    """How people cut a network without recurrence: consecutive layers, equal work, GPUs alone."""
    few = Cluster(cluster.devices[:gpus], cluster.channels, cluster.route[:gpus, :gpus].copy())
    plan = next(layers.plan(Task(graph, few, "latency"), Deadline.after(1.0), 0))
    return plan.device


def _folder() -> Path:
    return cache_directory() / "captured-steps"


def _capture(name: str) -> Captured:
    step = STEPS[name]
    return capture_training_step(
        step.model, step.inputs(), models.cross_entropy, step.targets(), name=name
    )
