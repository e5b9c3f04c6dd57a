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

DEVICES = "gpu:k80@2GiB*2,cpu"


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
    result = place(task, seconds=3)
    print(f"GPT-2's training step: {len(graph):,} operators on {DEVICES}")
    for device, held in zip(cluster.devices, result.score.memory_bytes, strict=True):
        print(f"  {device.name}: {held / 2**30:.2f} of {device.memory_bytes / 2**30:.0f} GiB")
    print(f"  a step: {result.score.seconds:.3f} s; no plan is below {result.bound:.3f} s")

    where = device_map(module, parameter_devices(step, result.plan, cluster), ["Transformer"])
    print(where)
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    bytes_on = dict.fromkeys(where.values(), 0)
    for name, tensor in tensors.items():
        (entry,) = (one for one in where if f"{name}.".startswith(f"{one}." if one else ""))
        bytes_on[where[entry]] += tensor.nbytes
    print(f"all {len(tensors)} parameters and buffers are in it; bytes: {bytes_on}")
    load(module, where)


def load(module, where):
    """With accelerate: onto the GPUs if they are here; if not, its own check of the map."""
    try:
        from accelerate import dispatch_model
        from accelerate.utils import check_device_map
    except ImportError:
        print("to load it: pip install accelerate")
        return
    check_device_map(module, where)
    print("accelerate takes it")
    if torch.cuda.device_count() > max(one for one in where.values() if one != "cpu"):
        real, (words,), *_ = model()
        print(dispatch_model(real, where)(words[:1]).shape)


if __name__ == "__main__":
    main()
