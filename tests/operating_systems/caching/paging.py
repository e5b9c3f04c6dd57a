"""A very small page cache in which each miss is a choice: a decision process from the house.

The pages are those that SQLite asks for, recorded as the race does it (`trace_recorder`). When the
cache is full, a miss is a choice among the pages in it, whose features are their ranks by last
request, by arrival and by number of requests; the hits until the next miss are its reward. What
the best choices would be is known exactly: Belady's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acumen
from acumen.operating_systems.caching import trace_recorder

CAPACITY = 8
REQUESTS = 40_000
STEPS = 100  # of an episode, which is then cut off: paging never ends
RECENT = 0.02  # how fast the running mean of hits follows


def record(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """uint64[40000]: page requests of a small shop."""
    shop = {"CUSTOMERS": 2000, "ITEMS": 1000, "ORDERS": 8000, "VISITS": 3000}
    for name, number in shop.items():
        monkeypatch.setattr(trace_recorder, name, number)
    folder.mkdir()
    (keys,) = trace_recorder.record(folder, seed, requests_max=REQUESTS)
    assert len(keys) == REQUESTS
    return keys


class Cache:
    """What is known of the pages in the cache, one value a slot.

    Attributes:
        last, first: when the page was last requested, and when it came; in requests.
        uses: requests since then.
        now: requests so far.
        hits: since the last miss.
        recent: running mean of hits per request.
    """

    def __init__(self, capacity: int) -> None:
        self.last, self.first, self.uses = (np.zeros(capacity) for _ in range(3))
        self.pages = np.zeros(capacity, np.uint64)
        self.now = self.hits = 0
        self.recent = 0.0


def misses(keys: Any, capacity: int, victim: Callable[[Cache], int]) -> Any:
    """bool[requests]: which requests miss, if `victim` names the slot that is given up."""
    cache, slots = Cache(capacity), dict[int, int]()
    missed = np.zeros(len(keys), bool)
    for now, key in enumerate(keys.tolist()):
        cache.now, slot = now, slots.get(key)
        cache.recent += RECENT * ((slot is not None) - cache.recent)
        if slot is not None:
            cache.hits += 1
        else:
            missed[now] = True
            if len(slots) == capacity:
                slot = victim(cache)
                del slots[int(cache.pages[slot])]
            else:
                slot = len(slots)
            cache.hits = 0
            slots[key] = slot
            cache.pages[slot], cache.first[slot], cache.uses[slot] = key, now, 0
        cache.last[slot] = now
        cache.uses[slot] += 1
    return missed


class Learned:
    """Gives up what a choice says; episodes of 100 misses."""

    def __init__(self, learner: Any, capacity: int, seed: int, discount: float = 0.5) -> None:
        self.choice = acumen.Choice(
            "victim",
            acumen.Candidates(3, most=capacity),
            context={"recent": float, "oldest": float},
            default=0,
            metric=acumen.maximize("hits"),
            learner=learner,
            holdback=0.0,
            seed=seed,
        )
        self.ranks = np.arange(capacity, dtype=np.float32) / capacity
        self.features = np.zeros((capacity, 3), np.float32)
        self.discount = discount
        self.episode = self.choice.episode(discount=discount)

    def __call__(self, cache: Cache) -> int:
        self.episode.reward(hits=float(cache.hits))
        if len(self.episode) == STEPS:
            self.episode.cut_off()
            self.episode = self.choice.episode(discount=self.discount)
        for column, values in enumerate((cache.last, cache.first, cache.uses)):
            self.features[np.argsort(values, kind="stable"), column] = self.ranks
        oldest = np.log(cache.now - cache.last.min())
        return self.episode.choose_row((cache.recent, oldest), self.features).index
