"""Learners of sequences on real page requests, between the heuristics and Belady's optimum."""

from typing import Any

import numpy as np
import pytest
from paging import CAPACITY, Cache, Learned, misses, record

from acumen import _native
from acumen.learners import SarsaLambda
from acumen.operating_systems.caching import trace_recorder

pytestmark = pytest.mark.skipif(not trace_recorder.is_installed(), reason="apsw is not installed")

# Features, discount and λ were chosen on shops 1 and 2, with seeds 0 to 3.
SHOPS, SEEDS = (11, 12, 13), (100, 101)


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    folder = tmp_path_factory.mktemp("shops")
    with pytest.MonkeyPatch.context() as monkeypatch:
        return {shop: record(folder / str(shop), shop, monkeypatch) for shop in SHOPS}


def next_requests(keys: Any) -> Any:
    """int64[requests]: when the same page is requested again."""
    coming, soon = np.full(len(keys), len(keys) + 1), dict[int, int]()
    for i in range(len(keys) - 1, -1, -1):
        coming[i] = soon.get(int(keys[i]), len(keys) + 1)
        soon[int(keys[i])] = i
    return coming


def test_the_process_is_the_one_whose_optimum_is_known(traces: dict[int, Any]) -> None:
    """With the heuristics and with Belady's choices it misses as the native simulators do."""
    keys = traces[SHOPS[0]]
    coming = next_requests(keys)
    rules = (
        (lambda cache: cache.last.argmin(), _native.simulate_lru),
        (lambda cache: cache.first.argmin(), _native.simulate_fifo),
        (lambda cache: coming[cache.last.astype(np.int64)].argmax(), _native.simulate_belady),
    )
    for rule, simulate in rules:
        assert misses(keys, CAPACITY, lambda c, r=rule: int(r(c))).sum() == simulate(keys, CAPACITY)


def late(simulate: Any, keys: Any) -> float:
    """Miss ratio in the second half of a trace."""
    half = len(keys) // 2
    return float(simulate(keys, CAPACITY) - simulate(keys[:half].copy(), CAPACITY)) / half


def residuals(traces: dict[int, Any], victims: Any) -> Any:
    """Of every trace and seed, in its second half: 0 is Belady's miss ratio, 1 is LRU's."""
    found = []
    for keys in traces.values():
        best, lru = (late(s, keys) for s in (_native.simulate_belady, _native.simulate_lru))
        for seed in SEEDS:
            ratio = misses(keys, CAPACITY, victims(seed))[len(keys) // 2 :].mean()
            found.append((ratio - best) / (lru - best))
    return np.array(found)


def test_it_learns_to_do_better_than_the_heuristics(traces: dict[int, Any]) -> None:
    learned = residuals(traces, lambda seed: Learned(SarsaLambda(trace=0.5), CAPACITY, seed))
    assert learned.min() > 0  # nobody beats Belady
    assert learned.mean() + 3 * learned.std(ddof=1) / np.sqrt(len(learned)) < 1, learned


def random_victims(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return lambda cache: int(rng.integers(len(cache.last)))


def test_chance_does_not(traces: dict[int, Any]) -> None:
    assert residuals(traces, random_victims).min() > 1


def test_what_is_known_of_the_pages() -> None:
    seen: list[Cache] = []

    def look(cache: Cache) -> int:
        seen.append(cache)
        assert cache.last.tolist() == [2, 1]
        assert cache.first.tolist() == [0, 1]
        assert cache.uses.tolist() == [2, 1]
        assert cache.hits == 1
        return 1

    keys = np.array([5, 6, 5, 7, 5, 7], np.uint64)
    assert misses(keys, 2, look).tolist() == [True, True, False, True, False, False]
    assert len(seen) == 1
