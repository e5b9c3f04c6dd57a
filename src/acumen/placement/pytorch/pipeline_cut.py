"""A plan as stages of a pipeline: where the forward pass is cut, and the model cut there.

A pipeline's stages are stretches of the forward pass, each on one device; the backward pass of a
stage runs where its forward does. A plan places operators: the cut is the one at which least of
the forward pass's time runs elsewhere than the plan says.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acumen.placement.graph import Floats
from acumen.placement.plan import Plan, PlanError
from acumen.placement.pytorch.captured import NO_CALL, Captured
from acumen.placement.pytorch.library import pipelining, torch

STAGE = "submod_pp_"  # what `torch.distributed.pipelining` calls its stages


@dataclass(frozen=True)
class Cut:
    """A forward pass cut into s stages.

    Attributes:
        devices: the number of each stage's device; each different; shape (s,).
        starts: the exported operator with which each stage but the first begins; shape (s - 1,).
        operators: how many exported operators there are.
        moved: the share of the forward pass's time that the plan has elsewhere, 0 to 1.
    """

    devices: tuple[int, ...]
    starts: tuple[int, ...]
    operators: int
    moved: float


def fit_cut(captured: Captured, seconds: Floats, plan: Plan, modules: Sequence[str]) -> Cut:
    """The cut that is nearest to a plan.

    Args:
        captured: the step that was planned, by `to_graph(..., "with_users")`.
        seconds: how long each of `captured.calls` takes; shape (calls,).
        plan: for that graph.
        modules: the module of each operator that is exported, in the order in which they run.

    Raises:
        PlanError: the plan is for another graph, or a device's stage would be empty.
    """
    if len(plan.device) != len(captured):
        raise PlanError(f"a plan for {len(plan.device)} operators; {len(captured)} were captured")
    devices = np.unique(plan.device)
    time_on: dict[str, Floats] = defaultdict(lambda: np.zeros(len(devices)))
    for number in _forward(captured):
        operator = captured.operators[number]
        column = np.searchsorted(devices, plan.device[number])
        time_on[operator.module][column] += seconds[operator.call]
    # A module's time is its operators', alike: which of them is which nobody has said.
    share = {module: time / max(1, modules.count(module)) for module, time in time_on.items()}
    nothing = np.zeros(len(devices))
    wanted = np.stack([share.get(module, nothing) for module in modules])
    position = np.arange(len(modules)) @ wanted
    total = wanted.sum(axis=0)
    order = np.argsort(position / np.where(total > 0, total, 1.0), kind="stable")
    order = order[total[order] > 0] if total.any() else order[:1]
    starts, kept = _best_starts(wanted[:, order])
    moved = 1.0 - kept / total.sum() if total.any() else 0.0
    return Cut(
        tuple(int(devices[one]) for one in order), tuple(starts), len(modules), max(0.0, moved)
    )


def _forward(captured: Captured) -> list[int]:
    """The operators of the model's forward pass, without the loss, which the last stage runs."""
    found = [
        number
        for number, one in enumerate(captured.operators)
        if one.phase == "forward" and one.call != NO_CALL
    ]
    while found and not captured.operators[found[-1]].module:
        found.pop()
    return found


def _best_starts(wanted: Floats) -> tuple[list[int], float]:
    """Where stretches begin so that most time lies in its own column's; and how much does."""
    n, s = wanted.shape
    if n < s:
        raise PlanError(f"{n} operators cannot be cut into {s} stages")
    before = np.concatenate([np.zeros((1, s)), wanted.cumsum(axis=0)])
    # best[i]: of the first i operators with the stages so far; each stage has an operator.
    best = np.where(np.arange(n + 1) > 0, before[:, 0], -np.inf)
    choices = []
    for stage in range(1, s):
        column = before[:, stage]
        gain = best - column
        ahead = np.maximum.accumulate(gain)
        where = np.maximum.accumulate(np.where(gain >= ahead, np.arange(n + 1), 0))
        best = np.concatenate([[-np.inf], column[1:] + ahead[:-1]])
        choices.append(np.concatenate([[0], where[:-1]]))
    starts, end = [], n
    for choice in reversed(choices):
        end = int(choice[end])
        starts.append(end)
    return starts[::-1], float(best[n])


def exported_modules(model: Any, inputs: Any) -> list[str]:
    """The path of each exported operator's module, in the order in which they run.

    Args:
        model: an `nn.Module`, of real or fake tensors.
        inputs: of a microbatch; a tuple, or a mapping.

    Raises:
        PlanError: `torch.export` cannot export the model.
    """
    found: list[str] = []
    _pipe(model, inputs, lambda graph: found.extend(_path(node) for node in _calls(graph)))
    return found


def split_model(model: Any, inputs: Any, cut: Cut) -> Any:
    """The model as a `torch.distributed.pipelining.Pipe` of the cut's stages.

    Raises:
        PlanError: it cannot be exported, or not be cut there: stages share a weight, a later stage
            wants the model's own input, or it returns more than a tensor.
    """

    def mark(graph: Any) -> None:
        calls = _calls(graph)
        if len(calls) != cut.operators:
            raise PlanError(f"{len(calls)} operators were exported; the cut is of {cut.operators}")
        for start in cut.starts:
            with graph.graph.inserting_before(calls[start]):
                graph.graph.call_function(torch().ops.pippy._pipe_split.default)
        graph.recompile()

    pipe = _pipe(model, inputs, mark)
    if pipe.num_stages != len(cut.devices):
        raise PlanError(f"{len(cut.devices)} stages were planned, and {pipe.num_stages} made")
    for shared in pipe.replicated_params:
        name = next(iter(shared.values()))
        raise PlanError(f"the weight {name!r} is used by {len(shared)} stages, which share none")
    for node in pipe.split_gm.graph.nodes:
        later = node.op == "call_module" and node.target != f"{STAGE}0"
        for one in node.all_input_nodes if later else ():
            if one.op == "placeholder":
                raise PlanError(f"the input {one.name!r} is used after the first stage")
        if node.op == "output" and len(torch().utils._pytree.tree_leaves(node.args)) != 1:
            raise PlanError("a model that is run as a pipeline returns one tensor")
    return pipe


def in_one_piece(pipe: Any) -> Any:
    """The stages as a module through which gradients flow: a pipe's own way of running cuts them.

    Args:
        pipe: of `split_model`; it is changed, and answered.
    """
    t = torch()

    class Plain(t.fx.Interpreter):  # type: ignore[misc, name-defined]
        def run(self, *args: Any) -> Any:
            (found,) = t.utils._pytree.tree_leaves(super().run(*args))
            return found

    pipe.executor = Plain(pipe.split_gm)
    return pipe


def _pipe(model: Any, inputs: Any, mark: Any) -> Any:
    def policy(graph: Any) -> Any:
        mark(graph)
        return graph

    args, kwargs = ((), dict(inputs)) if isinstance(inputs, Mapping) else (tuple(inputs), {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's own code about itself
        try:
            return pipelining().pipeline(model, args, kwargs, split_policy=policy)
        except PlanError:
            raise
        except Exception as error:  # export's errors have many classes and no common one
            reason = str(error).strip().partition("\n")[0]
            raise PlanError(f"the model cannot be made a pipeline: {reason}") from error


def _calls(graph: Any) -> list[Any]:
    return [node for node in graph.graph.nodes if node.op == "call_function"]


def _path(node: Any) -> str:
    """Where a node's module is; a module that is called again is known by its first call."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    return re.sub(r"@\d+", "", str(list(stack.values())[-1][0]))
