"""GPT-2 on two small GPUs and a CPU: a plan for its training step, and the `device_map` of it.

No weight is allocated until the model is loaded. Needs `pip install acumen[torch]`; the map is
loaded with accelerate where that is installed.

    python examples/split_gpt2.py
    acumen place examples.split_gpt2:untied --run --microbatches 4     # a smaller one, for real
"""

import sys

try:
    import torch
except ImportError:
    sys.exit(print("this example needs PyTorch: pip install 'acumen[torch]'"))

from acumen.placement import DEVICE_KINDS, Task, parse_devices, place
from acumen.placement.pytorch import capture_training_step, device_map, parameter_devices, to_graph
from acumen.placement.pytorch.models import cross_entropy, gpt2

DEVICES = "gpu:k80@3GiB*2,cpu"


def model(**size):
    """The module, a batch of 4 x 256 words, the loss, what is right, and the optimiser."""
    words = torch.randint(50257, (4, 256))
    return gpt2(**size), (words,), cross_entropy, (words.roll(-1, 1),), "adam"


def untied(layers=4, width=256, heads=4):
    """A smaller one whose last layer has weights of its own, so that a pipeline can be cut."""
    small = gpt2(layers, width, heads, vocabulary=8192)
    small.head.weight = torch.nn.Parameter(small.head.weight.detach().clone())
    words = torch.randint(8192, (8, 32))
    return small, (words,), cross_entropy, (words.roll(-1, 1),)


def main() -> None:
    """Plans with costs of such devices, and prints what goes where."""
    with torch.device("meta"):
        module, *others = model()
    step = capture_training_step(module, *others)
    cluster = parse_devices(DEVICES)
    graph = to_graph(step, {one.kind: DEVICE_KINDS[one.kind] for one in cluster.devices})
    task = Task(graph, cluster, "latency")
    result = place(task, seconds=5)
    print(f"GPT-2's training step: {len(graph):,} operators on {DEVICES}")
    for device, held in zip(cluster.devices, result.score.memory_bytes, strict=True):
        print(f"  {device.name}: {held / 2**30:.2f} of {device.memory_bytes / 2**30:.0f} GiB")
    print(f"  a step: {result.score.seconds:.3f} s; no plan is below {result.bound:.3f} s")

    where = device_map(module, parameter_devices(step, result.plan, cluster), ["Transformer"])
    print(where)
    try:
        from accelerate import load_checkpoint_and_dispatch
    except ImportError:
        print("accelerate is not here to load it")


if __name__ == "__main__":
    main()
