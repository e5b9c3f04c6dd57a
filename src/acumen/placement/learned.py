"""The learned placers, as the race runs them: each learns on the graph that it places.

Neither has seen any graph before, and what it learns is forgotten after the cell.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib.util import find_spec

from acumen.evaluation import Contender, Measurement
from acumen.placement.heuristics import Rival, contender, planned
from acumen.placement.measuring import Entry, measure
from acumen.placement.plan import Objective
from acumen.placement.planners import hierarchical, sequence
from acumen.placement.pytorch.library import torch

INSTALL = "pip install 'acumen[torch]'"
FIND_BY_GROUPS = functools.partial(planned, hierarchical.plan)


def learned_contenders() -> list[Contender]:
    """The placers that learn and are here; each starts from nothing, with the race's seed."""
    about = "learned: a choice a piece, by features of the devices; imitates HEFT first"
    find = functools.partial(planned, sequence.plan)
    found = [contender(Rival("sequence", find, about, uses_time=True), "learned")]
    if not missing_learned():
        about = "learned: grouper and placer by policy gradient (ICLR 2018)"
        rival = Rival("hierarchical", FIND_BY_GROUPS, about, uses_time=True)
        found.insert(0, replace(contender(rival, "learned"), measure=measure_by_groups))
    return found


def measure_by_groups(entry: Entry, setting: Objective, seed: int) -> Measurement:
    """As `measure`; that loading PyTorch takes seconds is not the planner's fault."""
    torch()
    return measure(FIND_BY_GROUPS, entry, setting, seed)


def missing_learned() -> str:
    """Why a learned placer does not run, or nothing."""
    if find_spec("torch") is None:
        return f"The Hierarchical Planner needs PyTorch: {INSTALL}"
    return ""
