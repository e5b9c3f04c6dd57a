"""Steps of real models on two processes, beside what the simulator expects of them.

Each model is cut by the best pipeline that is found with costs measured just before; then its step
is measured twice, costs anew each time: how far the two errors are apart is the noise.

    python -m benchmarks.placement_pipeline [--steps 30]
"""

import argparse
import os
import platform

import torch

from acumen.placement.pipeline import place_pipeline
from acumen.placement.pytorch.models import cross_entropy, gpt2, resnet50
from acumen.placement.pytorch.rehearsal import Bench, devices_here

nn = torch.nn


def transformer():
    """GPT-2 of 4 layers of width 256, with a last layer of its own weights; 8 x 64 words."""
    model = gpt2(4, 256, 4, vocabulary=8192)
    model.head.weight = nn.Parameter(model.head.weight.detach().clone())
    words = torch.randint(8192, (8, 64))
    return model, (words,), cross_entropy, (words.roll(-1, 1),)


def perceptron():
    """8 layers of width 1024; 256 rows."""
    layers = [layer for _ in range(8) for layer in (nn.Linear(1024, 1024), nn.ReLU())]
    rows = torch.randn(256, 1024)
    return nn.Sequential(*layers), (rows,), nn.functional.mse_loss, (torch.randn(256, 1024),)


def resnet():
    """ResNet-50; 8 images of 96 x 96."""
    pictures, right = torch.randn(8, 3, 96, 96), torch.randint(1000, (8,))
    return resnet50(), (pictures,), cross_entropy, (right,)


MODELS = (transformer, perceptron, resnet)
MICROBATCHES = (1, 4)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--steps", type=int, default=30)
    arguments.add_argument("--models", nargs="+", default=[one.__name__ for one in MODELS])
    given = arguments.parse_args()
    devices = devices_here()
    names = ", ".join(one.name for one in devices.devices)
    print(f"{platform.machine()}, {os.cpu_count()} cores; {names}; torch {torch.__version__}")
    print(
        "a step: simulated, measured (quartiles), error; then of each stage: operators / CPU time"
    )
    for model in given.models:
        for parts in MICROBATCHES:
            source = f"benchmarks.placement_pipeline:{model}"
            with Bench(source, devices, parts) as bench:
                plan = place_pipeline(bench.task(), 10.0, 0, None).plan
                for _ in range(2):
                    found = bench.run(plan, given.steps)
                    each = ", ".join(
                        f"{costs.step_seconds(parts) * 1e3:.1f} / {spent * 1e3:.1f} ms"
                        for costs, spent in zip(found.stages, found.spent_seconds, strict=True)
                    )
                    low, high = (1e3 * one for one in found.quartiles)
                    print(
                        f"{model:12} {parts:13} {len(found.stages):7} "
                        f"{found.simulated_seconds * 1e3:7.1f} ms "
                        f"{found.measured_seconds * 1e3:7.1f} ms ({low:.1f} to {high:.1f}) "
                        f"{found.error:+10.1%}; {each}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
