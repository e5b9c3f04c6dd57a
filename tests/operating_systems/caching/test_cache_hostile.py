"""Keys, values and finalizers that do their worst."""

import contextlib
import gc
import math
import os
import random
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from acumen import Cache, cached


class Key:
    """A key with a hash and an action to run whenever it is compared."""

    def __init__(self, name: Any, hash_: int, action: Callable[[], object] | None = None) -> None:
        self.name, self.hash_, self.action = name, hash_, action

    def __hash__(self) -> int:
        return self.hash_

    def __eq__(self, other: object) -> bool:
        for action in (self.action, getattr(other, "action", None)):
            if action:
                action()
        return isinstance(other, Key) and self.name == other.name


def fail() -> None:
    raise ArithmeticError("in __eq__")


def operations(cache: Cache[Any, Any], key: Any) -> list[Callable[[], object]]:
    return [
        lambda: cache[key],
        lambda: cache.get(key),
        lambda: cache.peek(key),
        lambda: cache.__setitem__(key, 1),
        lambda: cache.__delitem__(key),
        lambda: cache.pop(key, None),
        lambda: cache.setdefault(key, 1),
        lambda: key in cache,
    ]


def test_unhashable_keys() -> None:
    cache = Cache(3)
    for operation in operations(cache, []):
        with pytest.raises(TypeError, match="unhashable"):
            operation()
    assert len(cache) == 0


def test_comparisons_that_raise() -> None:
    cache = Cache(3)
    cache[Key("stored", 1)] = 1
    for operation in operations(cache, Key("other", 1, fail)):
        with pytest.raises(ArithmeticError, match="in __eq__"):
            operation()
    assert len(cache) == 1


@pytest.mark.parametrize("name", range(8))
@pytest.mark.parametrize("equal", [True, False])
def test_comparisons_that_change_the_cache(name: int, equal: bool) -> None:
    """Whatever a comparison does to the cache, the cache stays in order."""
    random_ = random.Random(name)
    for _ in range(200):
        cache: Cache[Any, Any] = Cache(8)
        spare = iter(range(100, 10_000))
        busy = False

        def disturb(cache: Cache[Any, Any] = cache, spare: Any = spare) -> None:
            nonlocal busy
            if busy:  # the disturbance compares as well
                return
            busy = True
            choice = random_.randrange(5)
            if choice == 0:
                cache.clear()
            elif choice == 1 and cache:
                cache.popitem()
            elif choice == 2:
                for _ in range(20):
                    cache[next(spare)] = object()
            elif choice == 3:
                cache[Key("stored", 1)] = "again"
            elif choice == 4:
                cache.pop(Key("stored", 1), None)
            busy = False

        for filler in range(3):
            cache[Key(filler, 1)] = filler
        cache[Key("stored", 1)] = "value"
        probe = Key("stored" if equal else "absent", 1, disturb)
        with contextlib.suppress(KeyError):
            operations(cache, probe)[name]()
        assert_in_order(cache)


def assert_in_order(cache: Cache[Any, Any]) -> None:
    items = list(cache.items())
    assert len(items) == len(cache) == cache.currsize <= cache.maxsize
    for key, value in items:
        if isinstance(key, Key):
            key.action = None
        assert cache.peek(key) is value


def test_a_comparison_that_always_changes_the_cache_is_an_error_in_the_end() -> None:
    cache: Cache[Any, Any] = Cache(math.inf)
    cache[Key("stored", 1)] = 1
    spare = iter(range(10**9))
    with pytest.raises(RuntimeError, match="changed during every comparison"):
        cache.get(Key("other", 1, lambda: cache.__setitem__(next(spare), 1)))


def test_getsizeof_that_changes_the_cache() -> None:
    def getsizeof(value: int) -> int:
        if len(cache) > 5:
            cache.clear()
        return value

    cache: Cache[int, int] = Cache(20, getsizeof=getsizeof)
    for key in range(100):
        cache[key] = key % 7
        assert cache[key] == key % 7
        assert cache.currsize <= 20


def test_finalizers_that_change_the_cache() -> None:
    class Value:
        def __del__(self) -> None:
            cache.get(random_.randrange(50))
            if depth[0] < 3:
                depth[0] += 1
                cache[random_.randrange(50)] = Value()
                if random_.random() < 0.05:
                    cache.clear()
                depth[0] -= 1

    depth = [0]
    random_ = random.Random(1)
    cache: Cache[int, Value] = Cache(20)
    for _ in range(3000):
        cache[random_.randrange(50)] = Value()
        assert len(cache) <= 20
    assert_in_order(cache)
    depth[0] = 3
    cache.clear()


def test_a_finalizer_may_fill_what_is_being_cleared() -> None:
    class Value:
        def __del__(self) -> None:
            cache["late"] = 1

    cache: Cache[Any, Any] = Cache(3)
    cache[1] = Value()
    cache.clear()
    assert dict(cache) == {"late": 1}


def test_one_hash_for_all() -> None:
    cache: Cache[Any, Any] = Cache(200)
    keys = [Key(name, 7) for name in range(400)]
    for number, key in enumerate(keys):
        cache[key] = number
        assert cache[Key(number, 7)] == number
    assert len(cache) == 200
    assert all(cache[Key(key.name, 7)] == key.name for key in cache)
    for key in list(cache):
        del cache[key]
    assert len(cache) == 0


@pytest.mark.parametrize("shift", [0, 3, 16, 32, 48, 60])
def test_hashes_that_differ_in_few_bits(shift: int) -> None:
    cache: Cache[int, int] = Cache(1000)
    for number in range(3000):
        cache[number << shift] = number
    assert all(cache[key] == key >> shift for key in cache)
    assert len(cache) == 1000


def test_a_key_whose_hash_changes_is_lost_but_not_dangerous() -> None:
    cache: Cache[Any, Any] = Cache(10)
    keys = [Key(name, name) for name in range(10)]
    cache.update({key: key.name for key in keys})
    for key in keys:
        key.hash_ += 1000
    assert all(key not in cache for key in keys)
    assert len(cache) == 10
    for number in range(100):
        cache[number] = number
        assert len(cache) == cache.currsize == 10
        assert cache.peek(number) == number
    while cache:  # the lost ones leave by eviction like all others
        cache.popitem()
    assert cache.currsize == 0


def test_references_are_given_back() -> None:
    class Value:
        pass

    key, value = ("a", "key"), Value()
    before = sys.getrefcount(key), sys.getrefcount(value)
    cache: Cache[Any, Any] = Cache(3)
    for _ in range(10):
        cache[key] = value
        cache[key], cache.get(key), cache.peek(key), cache.setdefault(key, value)
        list(cache), list(cache.items()), list(cache.values()), repr(cache)
        cache.pop(key)
        cache[key] = value
        cache.popitem()
        cache.update({1: value, 2: value, 3: value, 4: value, key: value})
        del cache[key]
        cache.clear()
        cache.pop(key, None), cache.get(key, value)
        with pytest.raises(KeyError):
            cache[key]
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before
    cache[key] = value
    del cache
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before


def test_evicted_values_die_at_once() -> None:
    class Value:
        pass

    cache: Cache[int, Value] = Cache(10)
    alive: weakref.WeakSet[Value] = weakref.WeakSet()
    for key in range(1000):
        value = Value()
        alive.add(value)
        cache[key] = value
        del value
        assert len(alive) == len(cache)


@pytest.mark.parametrize("kind", ["value", "key", "getsizeof", "timer", "attribute"])
def test_cycles_are_collected(kind: str) -> None:
    class Owner:
        cache: Cache[Any, Any]

        def size(self, value: Any) -> int:
            return 1

        def time(self) -> float:
            return 0.0

    owner = Owner()
    owner.cache = Cache(
        3,
        getsizeof=owner.size if kind == "getsizeof" else None,
        ttl=3,
        timer=owner.time if kind == "timer" else lambda: 0.0,
    )
    if kind == "value":
        owner.cache[1] = owner
    elif kind == "key":
        owner.cache[owner] = 1
    elif kind == "attribute":
        owner.cache.owner = owner  # type: ignore[attr-defined]
    watch = weakref.ref(owner)
    del owner
    gc.collect()
    assert watch() is None


def test_deeply_nested_caches_are_freed_without_deep_recursion() -> None:
    cache: Cache[int, Any] = Cache(1)
    for _ in range(20_000):
        outer: Cache[int, Any] = Cache(math.inf)
        outer[0] = cache
        cache = outer
    del cache, outer


def test_threads_share_a_cache() -> None:
    cache: Cache[int, int] = Cache(64, ttl=0.01)
    stop = threading.Event()
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        random_ = random.Random(seed)
        try:
            while not stop.is_set():
                key = random_.randrange(200)
                choice = random_.randrange(10)
                if choice < 4:
                    assert cache.get(key, key) == key
                elif choice < 8:
                    cache[key] = key
                elif choice == 8:
                    assert cache.pop(key, key) == key
                else:
                    assert all(a == b for a, b in cache.items())
                    assert len(cache) <= 64
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        stop.wait(1.5)
        stop.set()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert_in_order(cache)


def test_threads_evict_through_an_overridden_hook() -> None:
    """Two threads may be told of the same victim; only one of them can remove it."""

    class Hooked(Cache[int, int]):
        def __delitem__(self, key: int) -> None:
            super().__delitem__(key)

    cache = Hooked(16)
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for step in range(10_000):
                cache[(step * 7 + seed) % 400] = step
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert_in_order(cache)


def test_a_hook_that_refuses_to_remove_is_heard() -> None:
    class Refusing(Cache[Any, int]):
        def __delitem__(self, key: Any) -> None:
            raise KeyError("refused")

    cache = Refusing(1)
    cache[1] = 1
    with pytest.raises(KeyError, match="refused"):
        cache[2] = 2
    assert dict(cache) == {1: 1}


def test_a_key_whose_hash_changes_cannot_be_removed_by_hooks() -> None:
    class Hooked(Cache[Any, int]):
        def __delitem__(self, key: Any) -> None:
            super().__delitem__(key)

    cache, key = Hooked(1), Key("lost", 1)
    cache[key] = 1
    key.hash_ = 2
    with pytest.raises(KeyError):
        cache[2] = 2
    assert len(cache) == 1


def test_who_was_to_be_evicted_and_stayed_is_deleted_like_others() -> None:
    class Sparing(Cache[int, int]):
        def pop(self, key: int, *default: Any) -> Any:
            return None

    cache = Sparing(3)
    cache.update({1: 1, 2: 2, 3: 3})
    cache.popitem()
    assert len(cache) == 3
    for key in (1, 2, 3):
        del cache[key]
    assert cache.stats().evictions == 0


def test_threads_share_a_cached_function() -> None:
    class Slow(int):
        """Compares in Python, so that threads switch in the middle of a lookup."""

        def __eq__(self, other: object) -> bool:
            return int(self) == other

        __hash__ = int.__hash__

    @cached(50)
    def square(number: int) -> int:
        return int(number) ** 2

    wrong: list[int] = []
    calls = 4000

    def work(seed: int) -> None:
        random_ = random.Random(seed)
        for _ in range(calls):
            number = random_.randrange(120)
            if square(Slow(number)) != number**2:
                wrong.append(number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    info = square.cache_info()
    assert wrong == []
    assert info.hits + info.misses == 4 * calls
    assert info.currsize == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_has_a_copy_of_its_own() -> None:
    cache: Cache[int, int] = Cache(10)
    cache.update({key: key for key in range(10)})
    child = os.fork()
    if child == 0:
        try:
            cache.update({key: -key for key in range(100, 200)})
            os._exit(0 if len(cache) == 10 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert dict(cache) == {key: key for key in range(10)}
