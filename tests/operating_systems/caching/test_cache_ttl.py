"""Expiry by ttl, on clocks that the tests turn themselves."""

import pickle
import time
from typing import Any

import pytest

from acumen import Cache


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_items_live_for_their_ttl_and_no_longer(clock: Clock) -> None:
    cache = Cache(10, ttl=5, timer=clock)
    assert (cache.ttl, cache.timer) == (5, clock)
    cache[1] = "one"
    clock.now = 4.999
    assert cache[1] == "one"
    cache[2] = "two"
    clock.now = 5.0
    assert 1 not in cache
    assert cache.get(1) is None
    assert cache.peek(1, "gone") == "gone"
    with pytest.raises(KeyError):
        cache[1]
    assert dict(cache) == {2: "two"}
    assert (len(cache), cache.currsize, cache.stats().expirations) == (1, 1, 1)
    clock.now = 100
    assert (len(cache), cache.currsize, list(cache)) == (0, 0, [])
    with pytest.raises(KeyError):
        cache.popitem()


def test_setting_again_starts_the_ttl_again_and_reading_does_not(clock: Clock) -> None:
    cache = Cache(10, ttl=5, timer=clock)
    cache.update({1: 1, 2: 2})
    clock.now = 4
    cache[1] = 1
    assert cache[2] == 2
    clock.now = 6
    assert (1 in cache, 2 in cache) == (True, False)
    clock.now = 9
    assert 1 not in cache


def test_expired_items_make_room_before_anybody_is_evicted(clock: Clock) -> None:
    cache = Cache(3, ttl=5, timer=clock)
    cache.update({1: 1, 2: 2})
    clock.now = 3
    cache[3] = 3
    clock.now = 6
    cache.update({4: 4, 5: 5})
    assert set(cache) == {3, 4, 5}
    assert (cache.stats().evictions, cache.stats().expirations) == (0, 2)


def test_expired_keys_are_absent_to_every_method(clock: Clock) -> None:
    cache = Cache(3, ttl=5, timer=clock)
    for action in (
        lambda: cache.pop(1, "none"),
        lambda: cache.setdefault(1, "none"),
        lambda: cache.get(1, "none"),
    ):
        cache[1] = "old"
        clock.now += 5
        assert action() == "none"
    cache[1] = "old"
    clock.now += 5
    with pytest.raises(KeyError):
        del cache[1]


@pytest.mark.parametrize("ttl", [0, -1])
def test_without_a_life_nothing_is_kept(ttl: float) -> None:
    cache = Cache(3, ttl=ttl)
    cache[1] = 1
    assert 1 not in cache
    assert len(cache) == 0


def test_expire_removes_at_once(clock: Clock) -> None:
    cache = Cache(1000, ttl=5, timer=clock)
    cache.update({key: key for key in range(500)})
    assert cache.expire() == 0
    clock.now = 5
    assert cache.expire() == 500
    assert cache.stats().expirations == 500
    assert Cache(3).expire() == 0


def test_sets_alone_keep_expired_items_from_piling_up(clock: Clock) -> None:
    cache = Cache(float("inf"), ttl=10, timer=clock)
    for key in range(1000):
        clock.now = key
        cache[key] = key
        assert key + 1 - cache.stats().expirations <= 11


def test_sizes_and_ttl_together(clock: Clock) -> None:
    cache = Cache(10, getsizeof=lambda value: value, ttl=5, timer=clock)
    cache.update({1: 4, 2: 6})
    clock.now = 4
    cache[1] = 3
    clock.now = 5
    assert cache.currsize == 3
    cache[3] = 7
    assert dict(cache) == {1: 3, 3: 7}


def test_the_machines_clock() -> None:
    cache = Cache(3, ttl=0.05)
    assert cache.timer is time.monotonic
    cache[1] = 1
    assert 1 in cache
    time.sleep(0.06)
    assert 1 not in cache


def test_a_clock_that_fails_changes_nothing(clock: Clock) -> None:
    broken = False

    def timer() -> Any:
        return "noon" if broken else clock()

    cache = Cache(3, ttl=5, timer=timer)
    cache[1] = 1
    broken = True
    for action in (
        lambda: cache[1],
        lambda: cache.get(1),
        lambda: cache.__setitem__(2, 2),
        lambda: 1 in cache,
        lambda: len(cache),
        lambda: list(cache),
        lambda: cache.currsize,
        lambda: cache.popitem(),
    ):
        with pytest.raises(TypeError):
            action()
    broken = False
    assert dict(cache) == {1: 1}


def test_a_clock_may_use_the_cache() -> None:
    cache: Cache[Any, Any]

    def timer() -> float:
        cache.clear()
        return 0.0

    cache = Cache(3, ttl=5, timer=timer)
    for key in range(10):
        cache[key] = key
    assert len(cache) == 0


def test_a_clock_that_goes_backwards_does_no_harm(clock: Clock) -> None:
    cache = Cache(100, ttl=5, timer=clock)
    for key in range(1000):
        clock.now = (key * 7919) % 13
        cache[key % 150] = key
        assert cache.get(key % 150) == key
        assert cache.currsize <= 100


def test_nan_is_no_ttl() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Cache(3, ttl=float("nan"))


def test_pickling_keeps_what_is_left_of_each_ttl() -> None:
    cache = Cache(3, ttl=1000)
    cache.update({1: 1, 2: 2})
    again = pickle.loads(pickle.dumps(cache))
    assert again == cache
    assert all(999 < left <= 1000 for *_, left in again._snapshot(3))
