"""The program of one process that runs a stage: reads what to do, a line each, and answers.

Started by `processes.py`, which see. Answers are lines of JSON on what was the standard output;
what a model prints goes to the standard error.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from acumen.placement.pytorch import saved
from acumen.placement.pytorch.library import pipelining, torch
from acumen.placement.pytorch.measure import measure
from acumen.placement.pytorch.model_source import Example, load_example, microbatches
from acumen.placement.pytorch.pipeline_cut import Cut, split_model

_MEETING = timedelta(seconds=60)
_LEARNING_RATE = 1e-3


def main() -> None:
    """Answers until nobody asks any more."""
    device, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch().set_num_threads(threads)
    # Lines are read beside the work, so that the end of them ends the work too.
    lines: list[str] = []
    more = threading.Semaphore(0)

    def read() -> None:
        for line in sys.stdin:
            lines.append(line)
            more.release()
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    while True:
        more.acquire()
        question = json.loads(lines.pop(0))
        try:
            answer = _DO[question.pop("do")](device, **question)
        except Exception as error:  # whatever it is, who asks is to know of it
            text = str(error).strip().partition("\n")[0]
            answer = {"error": f"{type(error).__name__}: {text}"}
        print(json.dumps(answer), file=answers, flush=True)


def _ready(device: str) -> dict[str, Any]:
    torch().empty(1, device=device)
    return {}


def _measure(device: str, step: str) -> dict[str, Any]:
    return {"seconds": measure(saved.load(Path(step)), device).tolist()}


def _link(device: str, rank: int, meeting: str, sizes: list[int], repeats: int) -> dict[str, Any]:
    """Half of the time of each way there and back: the median, for each size in bytes."""
    t = torch()
    found = []
    with _group(device, rank, 2, meeting):
        for size in sizes:
            memory = t.zeros(size, dtype=t.uint8, device=device)
            runs = []
            for _ in range(repeats + 1):
                _wait(device)
                start = time.perf_counter()
                for turn in (0, 1):
                    if turn == rank:
                        t.distributed.send(memory, 1 - rank)
                    else:
                        t.distributed.recv(memory, 1 - rank)
                _wait(device)
                runs.append((time.perf_counter() - start) / 2)
            found.append(statistics.median(runs[1:]))
    return {"seconds": found}


def _stage(
    device: str,
    rank: int,
    meeting: str,
    source: str,
    cut: dict[str, Any],
    parts: int,
    steps: int,
) -> dict[str, Any]:
    """Runs one stage of a model: a first step that is looked at, one to warm up, and `steps`."""
    example = load_example(source, "cpu")
    batches = microbatches(example.inputs, parts)
    pipe = split_model(example.model, batches[0], Cut(**cut))
    seen: list[Any] = []
    loss = _Loss(example, parts, device, seen)
    times = []
    with _group(device, rank, pipe.num_stages, meeting):
        stage = pipe.build_stage(rank, torch().device(device))
        optimizer = _optimizer(example, stage.submod)
        schedule = pipelining().ScheduleGPipe(stage, parts, loss_fn=loss, scale_grads=False)
        given = _inputs(example, device) if rank == 0 else ((), {})
        gradients: dict[str, str] = {}
        for number in range(steps + 2):
            torch().distributed.barrier()
            start, before = time.monotonic(), time.process_time()
            schedule.step(*given[0], target=loss.numbers, return_outputs=False, **given[1])
            if not number:
                gradients = _gradients(stage.submod)
                loss.seen = None
            optimizer.step()
            optimizer.zero_grad()
            _wait(device)
            times.append((start, time.monotonic(), time.process_time() - before))
    return {"times": times[2:], "outputs": [_digest(one) for one in seen], "gradients": gradients}


def _whole(device: str, source: str, parts: int) -> dict[str, Any]:
    """What the model makes in one piece, of the same microbatches in the same order."""
    example = load_example(source, "cpu")
    example.model.to(device)
    seen: list[Any] = []
    loss = _Loss(example, parts, device, seen)
    args, kwargs = _inputs(example, device)
    losses = [
        loss(example.model(*some_args, **some), number)
        for number, (some_args, some) in enumerate(microbatches((args, kwargs), parts))
    ]
    for one in losses:
        one.backward()
    gradients = _gradients(example.model)
    return {"outputs": [_digest(one) for one in seen], "gradients": gradients}


class _Loss:
    """The loss of a microbatch, known by its number; keeps what it is given as long as wanted."""

    def __init__(self, example: Example, parts: int, device: str, seen: list[Any]) -> None:
        t = torch()
        self.parts = parts
        self.seen: list[Any] | None = seen
        self.numbers = t.arange(parts)
        self._loss = example.loss
        place = t.device(device)
        moved = t.utils._pytree.tree_map_only(t.Tensor, lambda one: one.to(place), example.targets)
        self._targets = microbatches(moved, parts)

    def __call__(self, output: Any, number: Any) -> Any:
        """The microbatch's share of the mean over all."""
        (made,) = torch().utils._pytree.tree_leaves(output)
        loss = self._loss(made, *self._targets[int(number)]) if self._loss else made
        if self.seen is not None:
            self.seen += [made, loss]
        return loss / self.parts


@contextmanager
def _group(device: str, rank: int, world: int, meeting: str) -> Iterator[None]:
    dist = torch().distributed
    backend = "nccl" if device.startswith("cuda") else "gloo"
    store = dist.FileStore(meeting, world)
    if backend == "nccl":
        torch().cuda.set_device(device)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=_MEETING)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _inputs(example: Example, device: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    t = torch()
    moved = t.utils._pytree.tree_map_only(t.Tensor, lambda one: one.to(device), example.inputs)
    return ((), dict(moved)) if isinstance(moved, dict) else (moved, {})


def _optimizer(example: Example, module: Any) -> Any:
    parameters = [one for one in module.parameters() if one.requires_grad]
    kind = {"sgd": torch().optim.SGD, "adam": torch().optim.Adam}[example.optimizer]
    return kind(parameters or [torch().nn.Parameter(torch().zeros(1))], lr=_LEARNING_RATE)


def _gradients(module: Any) -> dict[str, str]:
    return {
        name: _digest(one.grad)
        for name, one in module.named_parameters(remove_duplicate=False)
        if one.grad is not None
    }


def _digest(tensor: Any) -> str:
    """Of a tensor's bytes: equal for equal ones only."""
    plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch().uint8)
    return hashlib.sha256(plain.numpy().tobytes()).hexdigest()


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch().cuda.synchronize(device)


_DO: dict[str, Callable[..., dict[str, Any]]] = {
    "ready": _ready,
    "measure": _measure,
    "link": _link,
    "stage": _stage,
    "whole": _whole,
}

if __name__ == "__main__":
    main()
