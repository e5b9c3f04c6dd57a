"""An encoder-decoder with attention as a graph, computed from its sizes: no data, no framework.

Layers of long short-term memory for the source and for the target, additive attention and logits,
unrolled over the words of a batch; forward, backward and update. Words come embedded. All steps of
a layer read its weights, which are operators of their own and are copied to where they are read.

The network is that of Wu et al., "Google's neural machine translation system", 2016, in the sizes
of `acumen.placement.pytorch.models.nmt`; costs are the roofline's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acumen.placement.costs import DEVICE_KINDS
from acumen.placement.devices import parse_devices
from acumen.placement.graph import NO_GROUP, Graph
from acumen.placement.problems import Problem

KINDS = ("k80", "cpu")
GPUS = 4
DEVICES = f"gpu:k80*{GPUS},cpu*1"
FLOAT = 4
BATCH, WIDTH, VOCABULARY = 64, 1024, 32_000
STATE = BATCH * WIDTH * FLOAT


@dataclass(frozen=True, slots=True)
class Recurrent:
    """The network, on four simulated K80s and a CPU.

    Attributes:
        layers: of the encoder, and as many of the decoder.
        words: of the source, and as many of the target.
    """

    layers: int
    words: int

    @property
    def name(self) -> str:
        """Of the workload."""
        return f"recurrent-{self.layers}x{self.words}"

    def open(self) -> Problem:
        """Computes it."""
        graph = training_graph(self.name, _forward(self.layers, self.words))
        cluster = parse_devices(DEVICES)
        expert = np.array([self._expert(name) for name in graph.operators], np.int32)
        return Problem(graph, cluster, ("latency", "throughput"), expert)

    def _expert(self, name: str) -> int:
        """As people do: a layer a GPU, all words together; what is no layer with the last one."""
        part, _, rest = name.partition(".")
        layer = int(rest.partition("/")[0]) if part in ("encoder", "decoder") else self.layers - 1
        return layer * min(self.layers, GPUS) // self.layers


@dataclass(frozen=True, slots=True)
class Layer:
    """An operator of the forward pass.

    Attributes:
        name: different from all others.
        flops: of its multiplications.
        made_bytes: that it makes.
        reads: numbers of the operators whose results it reads.
        weight: it is no operator but a weight, which is there.
    """

    name: str
    flops: float
    made_bytes: int
    reads: tuple[int, ...] = ()
    weight: bool = False


def training_graph(name: str, forward: list[Layer]) -> Graph:
    """Forward pass, a backward operator of twice the work for each, and updates of the weights.

    A backward operator reads what its forward one has read, and the gradients of what that has
    made; it makes a gradient of each input, as large as that.

    Args:
        name: of the graph.
        forward: operators, each behind those that it reads.
    """
    n = len(forward)
    made = np.array([layer.made_bytes for layer in forward])
    edges, sizes = [], []
    for reader, layer in enumerate(forward):
        for read in layer.reads:
            edges += [(read, reader), (read, n + reader), (n + reader, n + read)]
            sizes += [made[read]] * 3
    moved = made + [made[list(layer.reads)].sum() for layer in forward]
    weight = np.array([layer.weight for layer in forward])
    flops = np.array([layer.flops for layer in forward])
    # An update reads the weight and its gradient, and writes the weight.
    work = np.concatenate([flops, np.where(weight, 0.0, 2 * flops)])
    moving = np.concatenate([moved, np.where(weight, 3 * made, 2 * moved)])
    seconds = {}
    for kind in KINDS:
        model = DEVICE_KINDS[kind]
        rows = zip(work.tolist(), moving.tolist(), strict=True)
        seconds[kind] = np.array([model.seconds(f, m, "float32") for f, m in rows])
        seconds[kind][:n][weight] = 0.0
    return Graph.from_edges(
        name,
        [*(layer.name for layer in forward), *(f"{layer.name}/backward" for layer in forward)],
        seconds,
        np.concatenate([np.where(weight, 2 * made, 0), np.zeros(n)]),  # and its gradient
        edges,
        sizes,
        group=np.tile(np.where(weight, np.arange(n), NO_GROUP), 2).astype(np.int32),
        backward=np.repeat([False, True], n),
    )


def _forward(layers: int, words: int) -> list[Layer]:
    net: list[Layer] = []

    def add(name: str, flops: float, made: int, *reads: int | None) -> int:
        net.append(Layer(name, flops, made, tuple(one for one in reads if one is not None)))
        return len(net) - 1

    def weight(name: str, inward: int, outward: int) -> int:
        net.append(Layer(f"{name}/weight", 0.0, inward * outward * FLOAT, weight=True))
        return len(net) - 1

    def stack(name: str, weights: list[int], word: int, below: int | None) -> int:
        """All layers for one word; what each makes is its output and its memory."""
        for layer, own in enumerate(weights):
            work = 2 * BATCH * 2 * WIDTH * 4 * WIDTH
            below = add(f"{name}.{layer}/{word}", work, 2 * STATE, own, below, last.get(layer))
            last[layer] = below
        assert below is not None
        return below

    encoder, decoder = (
        [weight(f"{name}.{layer}", 2 * WIDTH, 4 * WIDTH) for layer in range(layers)]
        for name in ("encoder", "decoder")
    )
    key, query, head = (
        weight(name, WIDTH, outward)
        for name, outward in (("keys", WIDTH), ("attention", WIDTH), ("head", VOCABULARY))
    )
    last: dict[int, int] = {}
    tops = [stack("encoder", encoder, word, None) for word in range(words)]
    keys = add("keys", 2 * BATCH * words * WIDTH**2, words * STATE, key, *tops)
    last.clear()
    context, logits = None, []
    for word in range(words):
        top = stack("decoder", decoder, word, context)
        work = 2 * BATCH * WIDTH**2 + 4 * BATCH * words * WIDTH
        context = add(f"attention/{word}", work, STATE, query, top, keys)
        work = 2 * BATCH * WIDTH * VOCABULARY
        logits.append(add(f"head/{word}", work, BATCH * VOCABULARY * FLOAT, head, top, context))
    add("loss", 0.0, FLOAT, *logits)
    return net
