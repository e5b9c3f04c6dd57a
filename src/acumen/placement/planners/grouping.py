"""What a grouper and a placer are told: atoms, the groups that they may join, and their features.

unit    what must be on one device               all of the graph
atom    units that exchange much                 thousands: what the grouper moves between groups
group   atoms that exchange much                 tens to hundreds: what the placer puts on devices
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acumen.placement.graph import Bools, Floats, Ints
from acumen.placement.plan import Task
from acumen.placement.planners.coarsening import Flow, flow_of
from acumen.placement.planners.lists import Lists
from acumen.placement.planners.units import NO_LIMIT, Units

CANDIDATES_MAX = 6
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Atoms:
    """What a task consists of, for a grouper: a atoms, on d devices.

    Attributes:
        of: the atom of each operator; shape (n,).
        seconds: how long each takes on each device; infinite where it cannot run; shape (a, d).
        held_bytes: what it keeps, all that it makes, and all that it reads of others: its device
            never holds more for it; shape (a,).
        limit_bytes: what each device holds; `NO_LIMIT`: unknown; shape (d,).
        flow: what atoms exchange.
        features: see `_features`; shape (a, f).
    """

    of: Ints
    seconds: Floats
    held_bytes: Ints
    limit_bytes: Ints
    flow: Flow
    features: Matrix

    def __len__(self) -> int:
        return len(self.held_bytes)

    @classmethod
    def of_task(cls, task: Task, units: Units, atom: Ints, lists: Lists) -> Atoms:
        """Atoms, given the one of each unit; shape (u,)."""
        of, count = atom[units.of], int(atom.max()) + 1
        seconds = np.zeros((count, units.devices))
        np.add.at(seconds, atom, units.seconds.T)
        held = np.zeros(count, np.int64)
        np.add.at(held, atom, units.resident_bytes + units.made_bytes)
        tensors = task.graph.tensors
        # A tensor and an atom that reads it, in one number: once each.
        pair = np.unique(tensors.reads.astype(np.int64) * count + of[tensors.consumers])
        tensor, reader = pair // count, pair % count
        copied = of[tensors.producer[tensor]] != reader
        np.add.at(held, reader[copied], tensors.size_bytes[tensor[copied]])
        flow = flow_of(task, of)
        features = _features(task, of, seconds, held, flow, lists)
        return cls(of, seconds, held, units.limit_bytes, flow, features)


def _features(
    task: Task, of: Ints, seconds: Floats, held: Ints, flow: Flow, lists: Lists
) -> Matrix:
    """Shares and ratios, around 0 to 2, of each atom.

    Work, memory and operators in shares of the mean; place in the order, and in that of upward
    ranks, as from 0 to 1; the share that belongs to the backward pass; what is read and what is
    handed on, in relation to the work; and how much slower than at best each device is.
    """
    count = len(seconds)
    members = np.bincount(of, minlength=count)
    best = seconds.min(axis=1)
    place = np.empty(len(of))
    place[lists.topological] = np.arange(len(of)) / len(of)
    rank = lists.upward_ranks()
    rank = rank / max(float(rank.max()), 1e-300)
    inward = np.bincount(flow.target, flow.seconds, count)
    outward = np.bincount(flow.source, flow.seconds, count)
    means = [np.bincount(of, one, count) / members for one in (place, rank, task.graph.backward)]
    columns = [
        *(_by_mean(one) for one in (best, held.astype(np.float64), members.astype(np.float64))),
        *means,
        *(one / (one + best + 1e-30) for one in (inward, outward)),
        *(np.where(best > 0.0, best / np.maximum(row, 1e-300), row == 0.0) for row in seconds.T),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _by_mean(values: Floats) -> Floats:
    finite = np.where(np.isfinite(values), values, 0.0)
    return np.log1p(finite / max(float(finite.mean()), 1e-300))


@dataclass(frozen=True)
class Groups:
    """How atoms are grouped to begin with: g groups.

    Attributes:
        of: the group of each atom; shape (a,).
        candidates: the groups that each atom may join: its own first, then those with which it
            exchanges most; padded with its own; shape (a, c).
        usable: whether each is one, and not padding; shape (a, c).
        features: of groups; shape (g, f).
        reads: how much of what a group reads comes from each other one; rows add up to 1, or 0;
            shape (g, g).
        hands: the same of what it hands on; shape (g, g).
        able: whether each device can run all of a group; shape (g, d).
    """

    of: Ints
    candidates: Ints
    usable: Bools
    features: Matrix
    reads: Matrix
    hands: Matrix
    able: Bools

    def __len__(self) -> int:
        return len(self.features)

    @classmethod
    def of_atoms(cls, atoms: Atoms, of: Ints, count: int) -> Groups:
        """So many groups, given the one of each atom; shape (a,)."""
        members = np.maximum(np.bincount(of, minlength=count), 1)  # all may have left one
        sums = np.zeros((count, atoms.features.shape[1]))
        np.add.at(sums, of, atoms.features)
        size = np.log2(members / members.mean())[:, None]
        features = np.concatenate([sums / members[:, None], size], axis=1).astype(np.float32)
        able = np.ones((count, atoms.seconds.shape[1]), np.bool_)
        np.logical_and.at(able, of, np.isfinite(atoms.seconds))
        flow = atoms.flow.between(of)
        exchanged = np.zeros((count, count), np.float32)
        exchanged[flow.target, flow.source] = flow.seconds
        candidates, usable = _candidates(atoms, of, able)
        return cls(of, candidates, usable, features, _rows(exchanged), _rows(exchanged.T), able)


def _rows(matrix: Matrix) -> Matrix:
    total = matrix.sum(axis=1, keepdims=True)
    shares: Matrix = np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)
    return shares


def _candidates(atoms: Atoms, of: Ints, able: Bools) -> tuple[Ints, Bools]:
    """An atom may join those groups alone that can run wherever it can: none is made unable."""
    flow, groups = atoms.flow, len(able)
    atom = np.concatenate([flow.source, flow.target])
    group = of[np.concatenate([flow.target, flow.source])]
    pair, which = np.unique(atom * groups + group, return_inverse=True)
    weight = np.bincount(which, np.concatenate([flow.seconds] * 2), len(pair))
    atom, group = pair // groups, pair % groups
    fits = (np.isfinite(atoms.seconds)[atom] | ~able[group]).all(axis=1)
    keep = (group != of[atom]) & fits
    atom, group, weight = atom[keep], group[keep], weight[keep]
    rank = np.lexsort((-weight, atom))
    atom, group = atom[rank], group[rank]
    column = np.arange(len(atom)) - np.searchsorted(atom, atom) + 1
    few = column < CANDIDATES_MAX
    candidates = np.repeat(of[:, None], CANDIDATES_MAX, axis=1)
    candidates[atom[few], column[few]] = group[few]
    usable = candidates != of[:, None]
    usable[:, 0] = True
    return candidates, usable


def fits(atoms: Atoms, device: Ints) -> Bools:
    """Which placements cannot exceed memory, whatever runs when; shape (b,).

    Args:
        atoms: what is placed.
        device: of each atom, a row a placement; shape (b, a).
    """
    if (atoms.limit_bytes == NO_LIMIT).all():
        return np.ones(len(device), np.bool_)
    held = np.stack([np.bincount(row, atoms.held_bytes, len(atoms.limit_bytes)) for row in device])
    roomy: Bools = np.all(held <= atoms.limit_bytes, axis=1)
    return roomy
