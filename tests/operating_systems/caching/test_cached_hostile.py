"""acumen.cached where finalizers and comparisons use the function while it keeps a result."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from acumen import cached

# What the end of every result does. Not an attribute of the class: that would be looked up in the
# interpreter's cache of attributes while it is replaced.
ACTIONS: list[Callable[[], object]] = []


class Result:
    """A result of some size, whose end can be made to do something."""

    def __init__(self, size: int = 1) -> None:
        self.size = size

    def __del__(self) -> None:
        for action in ACTIONS[:]:
            action()


@pytest.fixture(autouse=True)
def at_peace_in_the_end() -> Any:
    yield
    ACTIONS.clear()


def size_of(result: Result) -> int:
    return result.size


def test_a_finalizer_that_clears_while_room_is_made() -> None:
    wrapper = cached(100, getsizeof=size_of)(lambda key: Result(1 if key < 1000 else 100))
    for key in range(100):
        wrapper(key)
    ACTIONS.append(wrapper.cache_clear)
    assert wrapper(1000).size == 100
    assert wrapper.cache_info().currsize == 100


def test_a_comparison_that_clears_while_room_is_made() -> None:
    armed = False

    class Key:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            assert isinstance(other, Key)
            if armed and self.number != other.number:
                wrapper.cache_clear()
            return self.number == other.number

    def function(key: Key) -> int:
        nonlocal armed
        armed = key.number == 1000
        return 60 if armed else 1

    wrapper = cached(60, getsizeof=lambda result: result)(function)
    for number in range(60):
        wrapper(Key(number))
    assert wrapper(Key(1000)) == 60
    assert wrapper.cache_info().currsize <= 60


def test_an_expired_result_whose_finalizer_calls_again_is_kept_once() -> None:
    now = 0.0
    wrapper = cached(10, ttl=5, timer=lambda: now)(lambda key: Result())
    wrapper(1)
    now = 6.0
    ACTIONS.append(lambda: wrapper(1))
    wrapper(1)
    assert wrapper.cache_info().currsize == 1


@pytest.mark.parametrize("seed", range(6))
def test_finalizers_that_call_at_random(seed: int) -> None:
    random_ = random.Random(seed)
    now, depth = 0.0, 0

    def make(_: int) -> Result:
        return Result(random_.choice([0, 1, 1, 1, 2, 40]))

    wrappers = [
        cached(64, getsizeof=size_of)(make),
        cached(64, getsizeof=size_of, ttl=5, timer=lambda: now)(make),
    ]

    def operate() -> None:
        nonlocal now
        now += 0.01
        wrapper, choice = random_.choice(wrappers), random_.random()
        if choice < 0.97:
            wrapper(random_.randrange(300))
        elif choice < 0.985:
            wrapper.cache_clear()
        else:
            assert wrapper.cache_info().currsize <= 64

    def act() -> None:
        nonlocal depth
        if depth < 2 and random_.random() < 0.3:
            depth += 1
            operate()
            depth -= 1

    ACTIONS.append(act)
    for _ in range(20_000):
        operate()
