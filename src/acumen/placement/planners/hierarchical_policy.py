"""The two networks of the hierarchical planner: a grouper of atoms and a placer of groups.

The grouper is a feed-forward network: what it makes of an atom is compared with a vector for each
group that the atom may join. The placer reads all groups in their order (what it makes of each is
mixed with that of the groups it exchanges tensors with; then a recurrent network, both ways) and
says a device for one after the other: a recurrent network again, that is told its last word and
attends to all that was read (Luong, Pham and Manning, "Effective approaches to attention-based
neural machine translation", EMNLP 2015). Attention does not feed back, so that the probabilities
of placements that are known are computed for all groups at once.

Both begin with what is known: networks add to the logits of prior chances, nothing at first. So a
plan is imitated by a prior that is sure of it, and no lesson is needed for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from acumen.placement.graph import Floats, Ints
from acumen.placement.planners.grouping import Atoms, Groups
from acumen.placement.pytorch.library import torch

Tensor = Any

WIDTH = 64
LEARNING_RATE = 3e-3
GRADIENT_MAX = 1.0
NEVER = -1e9  # a logit; infinite ones make gradients that are no numbers


@dataclass(frozen=True)
class Samples:
    """b placements that were drawn.

    Attributes:
        choice: the column of `Groups.candidates` that each atom took; shape (b, a).
        device: of each group; shape (b, g).
    """

    choice: Ints
    device: Ints

    def of_atoms(self, groups: Groups) -> Ints:
        """The device of each atom; shape (b, a)."""
        joined = groups.candidates[np.arange(len(groups.of)), self.choice]
        return np.take_along_axis(self.device, joined, axis=1)


class Policy:
    """Grouper and placer for one task, at one number of groups.

    Args:
        atoms: what is placed.
        groups: what the atoms are in to begin with.
        prior: see `begin`.
        stray: how many atoms leave their group in a placement, on average, to begin with.
        seed: of weights and draws.
    """

    def __init__(
        self, atoms: Atoms, groups: Groups, prior: Floats, stray: float, seed: int
    ) -> None:
        self._torch = t = torch()
        with _seeded(t, seed):
            self._net = _networks(t, atoms, groups)
        self._draws = t.Generator().manual_seed(seed)
        self._optimizer = t.optim.Adam(self._net.parameters(), LEARNING_RATE)
        self._atoms = t.from_numpy(atoms.features)
        self._stray = stray
        self.begin(groups, prior)

    def begin(self, groups: Groups, prior: Floats) -> None:
        """Placements are again like `prior`, but for what has been learned.

        Args:
            groups: as many as before.
            prior: the chances of each device, above 0 where it can run the group; shape (g, d).
        """
        t = self._torch
        self._features = t.from_numpy(groups.features)
        self._reads, self._hands = t.from_numpy(groups.reads), t.from_numpy(groups.hands)
        self._candidates = t.from_numpy(groups.candidates)
        self._unusable = t.from_numpy(~groups.usable)
        atoms = len(groups.of)
        others = int(groups.usable.sum()) - atoms
        # A chance of stray / atoms to leave, if all have as many others.
        self._loyalty = math.log(max(others / self._stray - others / atoms, 1.0))
        with np.errstate(divide="ignore"):
            logits = np.where(groups.able, np.log(prior), NEVER)
        self._prior = t.tensor(logits, dtype=t.float32)

    def sample(self, count: int) -> Samples:
        """So many placements."""
        t = self._torch
        with t.no_grad(), _one_thread(t):
            chances = self._grouping().exp()
            choice = t.multinomial(chances, count, replacement=True, generator=self._draws)
            device = self._draw_devices(count)
        return Samples(choice.T.contiguous().numpy(), device.numpy())

    def _draw_devices(self, count: int) -> Tensor:
        t, net = self._torch, self._net
        memory = self._read()
        inputs, keys = net["told"](memory), net["key"](memory)
        words = net["word"].weight
        hidden = t.zeros(1, count, WIDTH)
        last = t.full((count,), len(words) - 1)
        said = []
        for group in range(len(memory)):
            step = (inputs[group] + words[last]).unsqueeze(1)
            state, hidden = net["decoder"](step, hidden)
            chances = self._devices(memory, keys, state[:, 0], self._prior[group]).exp()
            last = t.multinomial(chances, 1, generator=self._draws)[:, 0]
            said.append(last)
        return t.stack(said, 1)

    def chances(self, device: Ints) -> Floats:
        """Logarithms of the chances that groups are put on these devices; (b, g) -> (b,)."""
        t = self._torch
        with t.no_grad():
            said = self._saying(t.from_numpy(device))
            taken = said.gather(2, t.from_numpy(device)[:, :, None])[:, :, 0].sum(1)
        return np.asarray(taken.numpy(), np.float64)

    def reinforce(self, samples: Samples, advantage: Floats, entropy: float) -> None:
        """One lesson by policy gradient.

        Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement
        learning", Machine Learning 8, 1992.

        Args:
            samples: what was drawn.
            advantage: how much better than expected each was; shape (b,).
            entropy: what a nat of entropy is worth, a group and an atom.
        """
        t = self._torch
        choice, device = t.from_numpy(samples.choice), t.from_numpy(samples.device)
        gain = t.from_numpy(np.asarray(advantage, np.float32))
        with _one_thread(t):
            joined, said = self._grouping(), self._saying(device)
            taken = said.gather(2, device[:, :, None])[:, :, 0].sum(1)
            went = joined.gather(1, choice.T).sum(0)
            unsure = -(said.exp() * said).sum(2).mean() - (joined.exp() * joined).sum(1).mean()
            self._learn(-(gain * (taken + went)).mean() / len(self._prior) - entropy * unsure)

    def _learn(self, loss: Tensor) -> None:
        t = self._torch
        self._optimizer.zero_grad()
        loss.backward()
        t.nn.utils.clip_grad_norm_(self._net.parameters(), GRADIENT_MAX)
        self._optimizer.step()

    def _grouping(self) -> Tensor:
        """Logarithms of the chances that each atom takes each of its candidates; shape (a, c)."""
        t, net = self._torch, self._net
        seen = net["grouper"](self._atoms)
        logits = (seen[:, None] * net["group"].weight[self._candidates]).sum(2) / WIDTH**0.5
        logits = logits.masked_fill(self._unusable, NEVER)
        at_home = t.zeros(logits.shape[1])
        at_home[0] = self._loyalty
        return (logits + at_home).log_softmax(1)

    def _read(self) -> Tensor:
        """What the placer remembers of each group; shape (g, w)."""
        net = self._net
        seen = (net["features"](self._features) + net["name"].weight).relu()
        around = net["reads"](self._reads @ seen) + net["hands"](self._hands @ seen)
        return net["encoder"]((seen + around).relu()[None])[0][0]

    def _saying(self, device: Tensor) -> Tensor:
        """Logarithms of the chances of devices, given those before; shape (b, g, d)."""
        t, net = self._torch, self._net
        memory = self._read()
        words = net["word"].weight
        first = t.full((len(device), 1), len(words) - 1)
        before = words[t.cat([first, device[:, :-1]], 1)]
        state, _ = net["decoder"](net["told"](memory)[None] + before)
        return self._devices(memory, net["key"](memory), state, self._prior)

    def _devices(self, memory: Tensor, keys: Tensor, state: Tensor, prior: Tensor) -> Tensor:
        t, net = self._torch, self._net
        weight = (state @ keys.T / WIDTH**0.5).softmax(-1)
        logits = net["out"](t.cat([state, weight @ memory], -1))
        return (logits + prior).log_softmax(-1)


def _networks(t: Any, atoms: Atoms, groups: Groups) -> Any:
    nn, devices = t.nn, atoms.seconds.shape[1]
    net = nn.ModuleDict(
        {
            "grouper": nn.Sequential(
                nn.Linear(atoms.features.shape[1], WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)
            ),
            "group": nn.Embedding(len(groups), WIDTH),
            "features": nn.Linear(groups.features.shape[1], WIDTH),
            "name": nn.Embedding(len(groups), WIDTH),
            "reads": nn.Linear(WIDTH, WIDTH),
            "hands": nn.Linear(WIDTH, WIDTH),
            "encoder": nn.GRU(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True),
            "told": nn.Linear(WIDTH, WIDTH),
            "word": nn.Embedding(devices + 1, WIDTH),  # the last one: nothing was said yet
            "decoder": nn.GRU(WIDTH, WIDTH, batch_first=True),
            "key": nn.Linear(WIDTH, WIDTH),
            "out": nn.Linear(2 * WIDTH, devices),
        }
    )
    # All devices are as likely, and all candidates but for loyalty, before anything was learned.
    for last in (net["out"], net["grouper"][2]):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return net


@contextmanager
def _seeded(t: Any, seed: int) -> Iterator[None]:
    """Weights are drawn from a seed of their own; the caller's generator is left as it was."""
    with t.random.fork_rng(devices=[]):
        t.manual_seed(seed)
        yield


@contextmanager
def _one_thread(t: Any) -> Iterator[None]:
    """The networks are small: more threads would mostly wait for each other."""
    before = t.get_num_threads()
    t.set_num_threads(1)
    try:
        yield
    finally:
        t.set_num_threads(before)
