"""The models of the talk's placement experiments, and GPT-2, in plain PyTorch.

Each function makes a model without weights of value: wrapped in a `lambda`, it is what
`capture_training_step` calls on the "meta" device. `words`, `images`, `labels` and `cross_entropy`
are example inputs and the loss for them.

Papers: Inception-V3: Szegedy et al., "Rethinking the Inception architecture for computer vision",
CVPR 2016. ResNet: He et al., "Deep residual learning for image recognition", CVPR 2016. NMT: Wu et
al., "Google's neural machine translation system", 2016, with the attention of Bahdanau et al.,
ICLR 2015. RNNLM: Jozefowicz et al., "Exploring the limits of language modeling", 2016. GPT-2:
Radford et al., "Language models are unsupervised multitask learners", 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from acumen.placement.pytorch.library import torch

Module = Any


@cache
def _block_class() -> Any:
    class Block(torch().nn.Module):  # type: ignore[misc]
        """Modules with names, and the function that is its forward."""

        def __init__(self, run: Callable[..., Any], **children: Any) -> None:
            super().__init__()
            self.run = run
            for name, child in children.items():
                setattr(self, name, child)

        def forward(self, *inputs: Any) -> Any:
            return self.run(self, *inputs)

    return Block


@cache
def _kind(name: str) -> Any:
    return type(name, (_block_class(),), {})


def _block(kind: str, run: Callable[..., Any], **children: Any) -> Module:
    """A module of a class of that name, which is what modules that stay whole are known by."""
    return _kind(kind)(run, **children)


def _convolution(
    inward: int, outward: int, size: int | tuple[int, int], stride: int = 1, relu: bool = True
) -> Module:
    """Convolution that keeps the size, batch normalisation, and a rectifier if wanted."""
    nn = torch().nn
    height, width = (size, size) if isinstance(size, int) else size
    padding = (height // 2, width // 2)
    layers = [
        nn.Conv2d(inward, outward, (height, width), stride, padding, bias=False),
        nn.BatchNorm2d(outward),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def resnet50(classes: int = 1000) -> Module:
    """ResNet-50: 25.6 million parameters, 4.1 billion multiply-adds an image of 224 x 224."""
    nn = torch().nn
    stages, width = [], 64
    for stage, (planes, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        blocks = []
        for number in range(count):
            blocks.append(_bottleneck(width, planes, 2 if stage and not number else 1))
            width = 4 * planes
        stages.append(nn.Sequential(*blocks))
    stem = nn.Sequential(_convolution(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(stem, *stages, _pooled(2048, classes))


def _bottleneck(inward: int, planes: int, stride: int) -> Module:
    nn = torch().nn
    outward = 4 * planes
    short = (
        nn.Identity()
        if inward == outward and stride == 1
        else _convolution(inward, outward, 1, stride, relu=False)
    )
    path = nn.Sequential(
        _convolution(inward, planes, 1),
        _convolution(planes, planes, 3, stride),
        _convolution(planes, outward, 1, relu=False),
    )
    return _block(
        "Bottleneck", lambda self, x: (self.path(x) + self.short(x)).relu(), path=path, short=short
    )


def _pooled(channels: int, classes: int) -> Module:
    nn = torch().nn
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def inception_v3(classes: int = 1000) -> Module:
    """Inception-V3 without the auxiliary head: 23.8 million parameters, 5.7 billion multiply-adds.

    For images of 299 x 299.
    """
    nn = torch().nn
    stem = nn.Sequential(
        _valid(3, 32, 3, 2), _valid(32, 32, 3), _convolution(32, 64, 3), nn.MaxPool2d(3, 2),
        _valid(64, 80, 1), _valid(80, 192, 3), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    return nn.Sequential(
        stem,
        _grid35(192, 32), _grid35(256, 64), _grid35(288, 64), _to17(288),
        _grid17(128), _grid17(160), _grid17(160), _grid17(192), _to8(768),
        _grid8(1280), _grid8(2048), _pooled(2048, classes),
    )  # fmt: skip


def _valid(inward: int, outward: int, size: int, stride: int = 1) -> Module:
    """Convolution without padding."""
    layers = _convolution(inward, outward, size, stride)
    layers[0].padding = (0, 0)
    return layers


def _chain(inward: int, *steps: tuple[int, int | tuple[int, int]]) -> Module:
    """Convolutions one after the other: channels and size of each."""
    layers = []
    for outward, size in steps:
        layers.append(_convolution(inward, outward, size))
        inward = outward
    return torch().nn.Sequential(*layers)


def _averaged(inward: int, outward: int) -> Module:
    nn = torch().nn
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), _convolution(inward, outward, 1))


def _joined(*branches: Module) -> Module:
    """Branches beside each other, their channels joined."""
    named = {f"branch{number}": branch for number, branch in enumerate(branches)}
    return _block(
        "Joined",
        lambda self, x: torch().cat([getattr(self, name)(x) for name in named], 1),
        **named,
    )


def _grid35(inward: int, pooled: int) -> Module:
    return _joined(
        _convolution(inward, 64, 1),
        _chain(inward, (48, 1), (64, 5)),
        _chain(inward, (64, 1), (96, 3), (96, 3)),
        _averaged(inward, pooled),
    )


def _to17(inward: int) -> Module:
    nn = torch().nn
    return _joined(
        _valid(inward, 384, 3, 2),
        nn.Sequential(_chain(inward, (64, 1), (96, 3)), _valid(96, 96, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def _grid17(width: int) -> Module:
    across, down = (1, 7), (7, 1)
    return _joined(
        _convolution(768, 192, 1),
        _chain(768, (width, 1), (width, across), (192, down)),
        _chain(768, (width, 1), (width, down), (width, across), (width, down), (192, across)),
        _averaged(768, 192),
    )


def _to8(inward: int) -> Module:
    nn = torch().nn
    return _joined(
        nn.Sequential(_convolution(inward, 192, 1), _valid(192, 320, 3, 2)),
        nn.Sequential(
            _chain(inward, (192, 1), (192, (1, 7)), (192, (7, 1))), _valid(192, 192, 3, 2)
        ),
        nn.MaxPool2d(3, 2),
    )


def _grid8(inward: int) -> Module:
    nn = torch().nn

    def forked(before: Module) -> Module:
        pair = _joined(_convolution(384, 384, (1, 3)), _convolution(384, 384, (3, 1)))
        return nn.Sequential(before, pair)

    return _joined(
        _convolution(inward, 320, 1),
        forked(_convolution(inward, 384, 1)),
        forked(_chain(inward, (448, 1), (384, 3))),
        _averaged(inward, 192),
    )


def gpt2(
    layers: int = 12,
    width: int = 768,
    heads: int = 12,
    vocabulary: int = 50257,
    context: int = 1024,
) -> Module:
    """GPT-2, the small one by default: 124 million parameters; first and last layer are tied."""
    nn = torch().nn
    blocks = nn.ModuleList([_transformer(width, heads) for _ in range(layers)])
    model = _block(
        "GPT2",
        _gpt2_forward,
        tokens=nn.Embedding(vocabulary, width),
        places=nn.Embedding(context, width),
        blocks=blocks,
        norm=nn.LayerNorm(width),
        head=nn.Linear(width, vocabulary, bias=False),
    )
    model.head.weight = model.tokens.weight
    return model


def _gpt2_forward(self: Module, words: Any) -> Any:
    places = torch().arange(words.shape[1], device=words.device)
    x = self.tokens(words) + self.places(places)
    for block in self.blocks:
        x = block(x)
    return self.head(self.norm(x))


def _transformer(width: int, heads: int) -> Module:
    nn = torch().nn

    def attend(self: Module, x: Any) -> Any:
        batch, length, _ = x.shape
        parts = self.project(x).view(batch, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*parts.unbind(0), is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))

    def forward(self: Module, x: Any) -> Any:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    project, out = nn.Linear(width, 3 * width), nn.Linear(width, width)
    return _block(
        "Transformer",
        forward,
        norm1=nn.LayerNorm(width),
        attention=_block("Attention", attend, project=project, out=out),
        norm2=nn.LayerNorm(width),
        mlp=nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * width, width),
        ),
    )


def _lstm_cell(inward: int, width: int) -> Module:
    """One step of an LSTM: (x, h, c) to (h, c); written out, so that each step is in the graph."""
    nn = torch().nn

    def forward(self: Module, x: Any, h: Any, c: Any) -> Any:
        gates = self.inward(x) + self.again(h)
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    return _block(
        "LSTMCell",
        forward,
        inward=nn.Linear(inward, 4 * width),
        again=nn.Linear(width, 4 * width, bias=False),
    )


def _unrolled(cells: Sequence[Module], x: Any, states: list[Any]) -> Any:
    """All layers for one word; changes their states. All but the first add what they are given."""
    for layer, cell in enumerate(cells):
        states[layer] = h, _ = cell(x, *states[layer])
        x = h + x if layer else h
    return x


def rnnlm(layers: int = 2, width: int = 2048, vocabulary: int = 10000) -> Module:
    """A language model of LSTM layers, unrolled over all words of its input."""
    nn = torch().nn

    def forward(self: Module, words: Any) -> Any:
        zero = self.words.weight.new_zeros(len(words), width)
        states: list[Any] = [(zero, zero)] * layers
        embedded = self.words(words).unbind(1)
        tops = [_unrolled(self.cells, x, states) for x in embedded]
        return torch().stack([self.head(top) for top in tops], 1)

    return _block(
        "RNNLM",
        forward,
        words=nn.Embedding(vocabulary, width),
        cells=nn.ModuleList([_lstm_cell(width, width) for _ in range(layers)]),
        head=nn.Linear(width, vocabulary),
    )


def nmt(layers: int = 2, width: int = 1024, vocabulary: int = 32000) -> Module:
    """An encoder and a decoder of LSTM layers with additive attention, unrolled over all words."""
    nn = torch().nn
    return _block(
        "NMT",
        _nmt_forward,
        source=nn.Embedding(vocabulary, width),
        target=nn.Embedding(vocabulary, width),
        encoder=nn.ModuleList([_lstm_cell(width, width) for _ in range(layers)]),
        decoder=nn.ModuleList(
            [_lstm_cell(width if layer else 2 * width, width) for layer in range(layers)]
        ),
        attention=_block(
            "AdditiveAttention",
            _attention_forward,
            query=nn.Linear(width, width, bias=False),
            score=nn.Linear(width, 1, bias=False),
        ),
        keys=nn.Linear(width, width),
        head=nn.Linear(width, vocabulary),
    )


def _attention_forward(self: Module, query: Any, keys: Any, values: Any) -> Any:
    """(batch, width), (batch, source, width) twice -> (batch, width)."""
    scores = self.score((self.query(query).unsqueeze(1) + keys).tanh()).squeeze(2)
    return torch().bmm(scores.softmax(1).unsqueeze(1), values).squeeze(1)


def _nmt_forward(self: Module, source: Any, target: Any) -> Any:
    t = torch()
    width = self.source.weight.shape[1]
    zero = self.source.weight.new_zeros(len(source), width)
    states: list[Any] = [(zero, zero)] * len(self.encoder)
    values = t.stack([_unrolled(self.encoder, x, states) for x in self.source(source).unbind(1)], 1)
    keys = self.keys(values)
    states = [(zero, zero)] * len(self.decoder)
    logits, context = [], zero
    for x in self.target(target).unbind(1):
        top = _unrolled(self.decoder, t.cat([x, context], 1), states)
        context = self.attention(top, keys, values)
        logits.append(self.head(top + context))
    return t.stack(logits, 1)


def words(batch: int, length: int) -> Any:
    """A batch of sentences as an example input; shape (batch, length), int64, without values."""
    return torch().empty(batch, length, dtype=torch().int64, device="meta")


def images(batch: int, size: int) -> Any:
    """A batch of images as an example input; shape (batch, 3, size, size), float32."""
    return torch().empty(batch, 3, size, size, device="meta")


def labels(*shape: int) -> Any:
    """What a loss compares with, as an example; int64, without values."""
    return torch().empty(*shape, dtype=torch().int64, device="meta")


def cross_entropy(logits: Any, right: Any) -> Any:
    """The loss of a classifier, or of one for each word; logits: (..., classes), right: (...)."""
    return torch().nn.functional.cross_entropy(logits.flatten(0, -2), right.flatten())
