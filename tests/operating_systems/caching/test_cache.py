"""The contract of acumen.Cache: that of a bounded mapping, as cachetools has it."""

import contextlib
import copy
import math
import pickle
import random
import sys
from collections.abc import MutableMapping
from typing import Any

import pytest

from acumen import Cache


class Doubling(Cache):
    """Supplies absent keys, and keeps what it supplied if it fits."""

    def __missing__(self, key: int) -> int:
        value = 2 * key
        with contextlib.suppress(ValueError):  # too large
            self[key] = value
        return value


class Recording(Cache):
    """Notes what popitem gives out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.evicted: list[tuple[Any, Any]] = []

    def popitem(self) -> tuple[Any, Any]:
        item = super().popitem()
        self.evicted.append(item)
        return item


class Weighing(Cache):
    def getsizeof(self, value: int) -> int:
        return value


def test_a_new_cache_is_empty_and_says_so() -> None:
    cache = Cache(maxsize=1)
    assert isinstance(cache, MutableMapping)
    assert (len(cache), cache.maxsize, cache.currsize) == (0, 1, 0)
    assert [cache.getsizeof(value) for value in (None, "", 0, "abc")] == [1, 1, 1, 1]
    assert repr(cache) == "Cache({}, maxsize=1, currsize=0)"
    assert not cache
    assert list(cache) == []


def test_items_are_set_read_replaced_and_deleted() -> None:
    cache = Cache(maxsize=3)
    cache[1] = "one"
    cache.update({2: "two"}, three=3)
    assert (cache[1], cache[2], cache["three"]) == ("one", "two", 3)
    cache[1] = "eins"
    assert cache[1] == "eins"
    assert len(cache) == cache.currsize == 3
    del cache[2]
    assert 2 not in cache
    assert sorted(map(str, cache)) == ["1", "three"]
    with pytest.raises(KeyError, match="2"):
        del cache[2]


def test_an_absent_key_is_a_key_error_that_names_it() -> None:
    cache = Cache(maxsize=3)
    for key in (1, (1, 2), "x"):
        with pytest.raises(KeyError) as caught:
            cache[key]
        assert caught.value.args == (key,)
        with pytest.raises(KeyError) as caught:
            cache.pop(key)
        assert caught.value.args == (key,)


@pytest.mark.parametrize("maxsize", [1, 2, 3, 17, 1000])
def test_the_bound_holds_and_the_newest_item_is_inside(maxsize: int) -> None:
    cache = Cache(maxsize)
    for key in range(3 * maxsize):
        cache[key] = -key
        assert cache.peek(key) == -key
        assert len(cache) == cache.currsize == min(key + 1, maxsize)
    assert cache.stats().evictions == 2 * maxsize


def test_get_pop_and_setdefault() -> None:
    cache = Cache(maxsize=2)
    assert cache.get(1) is None
    assert cache.get(1, "default") == "default"
    assert cache.setdefault(1) is None
    assert cache.setdefault(1, "late") is None
    assert cache.setdefault(2, "two") == cache[2] == "two"
    assert cache.pop(2) == "two"
    assert cache.pop(2, "gone") == "gone"
    assert dict(cache) == {1: None}


@pytest.mark.parametrize("name", ["get", "peek", "pop", "setdefault"])
def test_methods_check_their_arguments(name: str) -> None:
    method = getattr(Cache(maxsize=2), name)
    for arguments, names in (
        ((), {}),
        ((1, 2, 3), {}),
        ((1, 2), {"default": 3}),
        ((1,), {"key": 1}),
        ((1,), {"other": 1}),
        ((), {"default": 1}),
    ):
        with pytest.raises(TypeError, match=name):
            method(*arguments, **names)


def test_popitem_empties_the_cache_item_by_item() -> None:
    cache = Cache(maxsize=5)
    content = {key: str(key) for key in range(5)}
    cache.update(content)
    assert dict(cache.popitem() for _ in range(5)) == content
    with pytest.raises(KeyError, match="Cache is empty"):
        cache.popitem()


def test_clear_and_what_follows() -> None:
    cache = Cache(maxsize=5)
    for _ in range(3):
        cache.update({key: key for key in range(9)})
        cache.clear()
        assert (len(cache), cache.currsize, list(cache)) == (0, 0, [])


@pytest.mark.parametrize("make", [lambda n: Cache(n, getsizeof=lambda value: value), Weighing])
def test_sizes_are_the_users(make: Any) -> None:
    cache = make(3)
    assert cache.getsizeof(7) == 7
    cache.update({1: 1, 2: 2})
    assert (len(cache), cache.currsize) == (2, 3)
    cache[1] = 2  # grows: the other must go
    assert (dict(cache), cache.currsize) == ({1: 2}, 2)
    cache.update({1: 1, 2: 2})
    assert (dict(cache), cache.currsize) == ({1: 1, 2: 2}, 3)
    cache[3] = 3  # needs the room of both
    assert (dict(cache), cache.currsize) == ({3: 3}, 3)
    for key in (3, 4):
        with pytest.raises(ValueError, match="value too large"):
            cache[key] = 4
        assert (dict(cache), cache.currsize) == ({3: 3}, 3)
    cache[4] = 0
    assert (dict(cache), cache.currsize) == ({3: 3, 4: 0}, 3)


def test_sizes_may_be_fractions_and_the_sum_does_not_drift() -> None:
    random_ = random.Random(1)
    cache: Cache[int, float] = Cache(30.0, getsizeof=lambda value: value)
    for _ in range(20_000):
        cache[random_.randrange(100)] = random_.choice([0.1, 0.2, 0.3, 1e-9, 7.7])
        cache.pop(random_.randrange(100), None)
    assert len(cache) > 5
    assert cache.currsize == pytest.approx(math.fsum(cache.values()), rel=3e-16)
    while len(cache) > 0:
        cache.popitem()
    assert cache.currsize == 0


def test_a_copy_of_fractional_sizes_loses_nothing() -> None:
    for seed in range(40):
        random_ = random.Random(seed)
        sizes = [random_.random() for _ in range(40)]
        cache: Cache[int, float] = Cache(sum(sizes), getsizeof=lambda value: value)
        cache.update(enumerate(sizes))
        kept = random_.sample(list(cache), 20)
        cache.update([(key, cache.pop(key)) for key in kept])  # in other places than before
        assert copy.copy(cache) == cache


@pytest.mark.parametrize("maxsize", [3, math.inf])
def test_nothing_of_infinite_size_is_kept(maxsize: float) -> None:
    cache: Cache[int, int] = Cache(maxsize, getsizeof=lambda value: math.inf)
    with pytest.raises(ValueError, match="value too large"):
        cache[1] = 1
    assert cache.currsize == 0


@pytest.mark.parametrize("size", [-1, math.nan])
def test_sizes_that_are_none_are_refused(size: float) -> None:
    cache = Cache(3, getsizeof=lambda value: size)
    with pytest.raises(ValueError, match="getsizeof must return a number >= 0"):
        cache[1] = 1
    assert len(cache) == 0
    with pytest.raises(TypeError):
        Cache(3, getsizeof=lambda value: "large")[1] = 1  # type: ignore[arg-type,return-value]


def test_many_items_make_room_for_a_large_one() -> None:
    cache = Cache(1000, getsizeof=lambda value: value)
    cache.update(dict.fromkeys(range(1000), 1))
    assert len(cache) == 1000
    cache["large"] = 900
    assert cache["large"] == 900
    assert (cache.currsize, len(cache)) == (1000, 101)


@pytest.mark.parametrize("maxsize", [-1, math.nan, -math.inf])
def test_impossible_bounds_are_refused(maxsize: float) -> None:
    with pytest.raises(ValueError, match="maxsize must be >= 0"):
        Cache(maxsize)
    with pytest.raises(TypeError):
        Cache("ten")  # type: ignore[arg-type]


def test_without_room_nothing_can_be_set() -> None:
    cache = Cache(maxsize=0)
    with pytest.raises(ValueError, match="value too large"):
        cache[1] = 1
    with pytest.raises(ValueError, match="value too large"):
        cache.setdefault(1, 1)
    assert cache.get(1) is None


def test_without_a_bound_nothing_is_evicted() -> None:
    cache = Cache(math.inf)
    cache.update({key: key for key in range(10_000)})
    assert len(cache) == 10_000
    assert cache.maxsize == math.inf
    assert len({cache.popitem() for _ in range(10_000)}) == 10_000


def test_missing_supplies_values_to_subscription_only() -> None:
    cache = Doubling(maxsize=2)
    assert (cache[1], cache[2]) == (2, 4)
    assert dict(cache) == {1: 2, 2: 4}
    assert cache[3] == 6
    assert 3 in cache
    assert len(cache) == 2
    assert cache.get(9) is None
    assert cache.pop(9, "none") == "none"
    assert 9 not in cache
    assert cache.setdefault(9, 0) == 0


def test_missing_with_a_value_that_does_not_fit() -> None:
    cache = Doubling(5, getsizeof=lambda value: value)
    assert [cache[key] for key in (1, 2, 3)] == [2, 4, 6]
    assert 3 not in cache
    assert cache.currsize <= 5


def test_missing_by_default_raises_also_when_called_from_a_subclass() -> None:
    class Calling(Cache):
        def __missing__(self, key: Any) -> Any:
            return super().__missing__(key)

    with pytest.raises(KeyError):
        Calling(3)[1]


def test_every_eviction_goes_through_popitem() -> None:
    cache = Recording(maxsize=2)
    for key in range(5):
        cache[key] = str(key)
    assert len(cache.evicted) == 3
    assert {**dict(cache.evicted), **dict(cache)} == {key: str(key) for key in range(5)}
    cache.clear()
    assert len(cache.evicted) == 5


def test_popitem_may_choose_by_itself() -> None:
    class LastIn(Cache):
        def popitem(self) -> tuple[Any, Any]:
            key = list(self)[-1]
            return key, self.pop(key)

    cache = LastIn(maxsize=3)
    cache.update({key: key for key in range(4)})
    assert {0, 1, 3} == set(cache)


def test_popitem_that_makes_no_room_is_found_out() -> None:
    class Stubborn(Cache):
        def popitem(self) -> tuple[Any, Any]:
            return (None, None)

    cache = Stubborn(maxsize=1)
    cache[1] = 1
    with pytest.raises(RuntimeError, match="makes no room"):
        cache[2] = 2
    assert dict(cache) == {1: 1}


def test_popitem_that_sets_the_cache_up_anew() -> None:
    class Shrinking(Cache):
        def popitem(self) -> tuple[Any, Any]:
            Cache.__init__(self, maxsize=0)
            return (None, None)

    cache = Shrinking(maxsize=1)
    cache[1] = 1
    with pytest.raises(ValueError, match="value too large"):
        cache[2] = 2
    assert len(cache) == 0


def test_popitem_that_raises_stops_the_set() -> None:
    class Failing(Cache):
        def popitem(self) -> tuple[Any, Any]:
            raise OSError("not now")

    cache = Failing(maxsize=1)
    cache[1] = 1
    with pytest.raises(OSError, match="not now"):
        cache[2] = 2
    assert dict(cache) == {1: 1}


def test_overridden_hooks_are_called_by_the_other_methods() -> None:
    calls: list[tuple[str, Any]] = []

    class Hooked(Cache):
        def __getitem__(self, key: Any) -> Any:
            calls.append(("get", key))
            return super().__getitem__(key)

        def __setitem__(self, key: Any, value: Any) -> None:
            calls.append(("set", key))
            super().__setitem__(key, value)

        def __delitem__(self, key: Any) -> None:
            calls.append(("del", key))
            super().__delitem__(key)

    cache = Hooked(maxsize=1)

    def called(action: Any) -> list[tuple[str, Any]]:
        calls.clear()
        action()
        return calls

    assert called(lambda: cache.setdefault(1, 1)) == [("set", 1)]
    assert called(lambda: cache.get(1)) == [("get", 1)]
    assert called(lambda: cache.update({1: 2})) == [("set", 1)]
    assert called(lambda: list(cache.items())) == [("get", 1)]
    assert called(lambda: cache.__setitem__(2, 2)) == [("set", 2), ("get", 1), ("del", 1)]
    assert called(lambda: cache.pop(2)) == [("get", 2), ("del", 2)]
    assert cache.stats().evictions == 1


def test_counts() -> None:
    cache = Cache(maxsize=2)
    assert math.isnan(cache.stats().hit_ratio)
    cache[1] = 1
    cache[1], cache.get(1), cache.setdefault(1)  # three hits
    cache.get(2), cache.setdefault(2, 2)  # two misses
    with pytest.raises(KeyError):
        cache[3]
    assert 1 in cache  # none of these counts
    assert cache.peek(1) == 1
    assert list(cache.items()) == [(1, 1), (2, 2)]
    assert cache.pop(1) == 1
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.evictions, stats.expirations) == (3, 3, 0, 0)
    assert (stats.maxsize, stats.currsize, stats.hit_ratio) == (2, 1, 0.5)
    assert stats.policy_bytes > 0


def test_views_show_the_content_and_use_nothing() -> None:
    cache = Cache(maxsize=3)
    content = {1: "a", 2: "b", 3: math.nan}
    cache.update(content)
    assert set(cache.keys()) == set(content)
    assert set(cache.values()) == set(content.values())
    assert set(cache.items()) == set(content.items())
    assert (1, "a") in cache.items()
    assert (1, "b") not in cache.items()
    assert (4, "a") not in cache.items()
    assert content[3] in cache.values()
    assert "c" not in cache.values()
    assert (len(cache.keys()), len(cache.values()), len(cache.items())) == (3, 3, 3)
    assert cache.keys() & {1, 9} == {1}
    assert cache.stats().hits == 0


def test_iterators_show_a_snapshot() -> None:
    cache = Cache(maxsize=3)
    cache.update({1: 1, 2: 2, 3: 3})
    for key in cache:
        del cache[key]
        cache[key + 10] = key
    assert dict(cache) == {11: 1, 12: 2, 13: 3}


def test_equality_is_that_of_mappings_and_there_is_no_hash() -> None:
    cache = Cache(maxsize=3)
    cache.update({1: 1, 2: 2})
    other = Cache(maxsize=9)
    other.update({2: 2, 1: 1})
    assert cache == other == {1: 1, 2: 2}
    assert cache != {1: 1}
    with pytest.raises(TypeError, match="unhashable"):
        hash(cache)


def test_keys_are_found_by_equality_across_types() -> None:
    cache = Cache(maxsize=9)
    cache[1] = "int"
    assert cache[1.0] == cache[True] == "int"
    cache[1.0] = "float"
    assert list(cache.items()) == [(1, "float")]
    assert type(next(iter(cache))) is int  # the first key stays, as in a dict
    cache[-1], cache[-2] = "a", "b"  # equal hashes
    assert (cache[-1], cache[-2]) == ("a", "b")
    cache[2**61 - 1 + 5] = "large"  # the hash of 5
    assert 5 not in cache
    cache[math.nan] = "nan"
    assert math.nan in cache
    assert float("nan") not in cache


def test_a_cache_may_contain_itself() -> None:
    cache = Cache(maxsize=3)
    cache["self"] = cache
    assert repr(cache) == "Cache({'self': ...}, maxsize=3, currsize=1)"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_everything_but_what_was_learned(protocol: int) -> None:
    cache = Weighing(20)
    cache.update({key: key for key in range(7)})
    cache.note = "kept"  # type: ignore[attr-defined]
    again = pickle.loads(pickle.dumps(cache, protocol))
    assert type(again) is Weighing
    assert again == cache
    assert (again.maxsize, again.currsize, again.note) == (20, cache.currsize, "kept")
    again["new"] = 20
    assert dict(again) == {"new": 20}
    assert len(cache) > 1


def test_copies_are_apart() -> None:
    cache = Cache(maxsize=2)
    cache[1] = ["content"]
    shallow, deep = copy.copy(cache), copy.deepcopy(cache)
    assert shallow == deep == cache
    assert shallow[1] is cache[1]
    assert deep[1] is not cache[1]
    shallow[2] = 2
    del deep[1]
    assert list(cache) == [1]


def test_a_cache_can_be_set_up_anew() -> None:
    cache = Cache(maxsize=2)
    cache[1] = 1
    Cache.__init__(cache, maxsize=3)
    assert (len(cache), cache.maxsize, cache.stats().hits) == (0, 3, 0)


def test_equal_seeds_and_requests_evict_equally() -> None:
    def content(seed: int) -> set[int]:
        cache: Cache[int, int] = Cache(50, seed=seed)
        for step in range(5000):
            key = step * step % 997
            if cache.get(key) is None:
                cache[key] = step
        return set(cache)

    assert content(1) == content(1)


def test_the_size_in_memory_grows_with_the_content() -> None:
    cache = Cache(maxsize=100_000)
    before = sys.getsizeof(cache)
    cache.update({key: key for key in range(10_000)})
    assert sys.getsizeof(cache) > before + 10_000 * 24


def test_annotations() -> None:
    cache: Cache[str, int] = Cache[str, int](3)
    cache["a"] = 1
    assert cache == {"a": 1}
