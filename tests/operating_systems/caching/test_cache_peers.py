"""What acumen.Cache and cachetools.LRUCache answer to the same calls."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from acumen import Cache

cachetools = pytest.importorskip("cachetools")

CALLS: list[Callable[[Any], Any]] = [
    lambda cache: cache[1],
    lambda cache: cache[9],
    lambda cache: cache.get(1),
    lambda cache: cache.get(9),
    lambda cache: cache.get(1, 5),
    lambda cache: cache.get(9, 5),
    lambda cache: cache.get(1, default=5),
    lambda cache: cache.get(9, default=5),
    lambda cache: cache.get(key=1),
    lambda cache: cache.get(default=5, key=9),
    lambda cache: cache.get(),
    lambda cache: cache.get(1, 2, 3),
    lambda cache: cache.get(1, other=3),
    lambda cache: cache.pop(1),
    lambda cache: cache.pop(9),
    lambda cache: cache.pop(9, 5),
    lambda cache: cache.pop(9, default=5),
    lambda cache: cache.pop(1, default=5),
    lambda cache: cache.pop(key=1),
    lambda cache: cache.pop(key=9, default=None),
    lambda cache: cache.pop(),
    lambda cache: cache.setdefault(1),
    lambda cache: cache.setdefault(9),
    lambda cache: cache.setdefault(9, 5),
    lambda cache: cache.setdefault(9, default=5),
    lambda cache: cache.setdefault(key=9, default=5),
    lambda cache: cache.setdefault(default=5),
    lambda cache: cache.popitem()[0] in (1, 2),
    lambda cache: cache.clear(),
    lambda cache: cache.update({3: 3}),
    lambda cache: cache.update(a=1),
    lambda cache: cache.__setitem__(1, 7),
    lambda cache: cache.__delitem__(1),
    lambda cache: cache.__delitem__(9),
    lambda cache: cache.get([]),
    lambda cache: (1 in cache, 9 in cache, len(cache), bool(cache)),
    lambda cache: sorted(cache.items()),
    lambda cache: (cache.maxsize, cache.currsize, cache.getsizeof("abc")),
    lambda cache: cache == {1: "one", 2: "two"},
]


@pytest.mark.parametrize("derived", [False, True])
@pytest.mark.parametrize("call", range(len(CALLS)))
def test_the_same_call_has_the_same_answer(call: int, derived: bool) -> None:
    def outcome(kind: Any) -> tuple[Any, list[Any]]:
        class Derived(kind):  # type: ignore[misc]
            def __getitem__(self, key: Any) -> Any:
                return super().__getitem__(key)

            def __delitem__(self, key: Any) -> None:
                super().__delitem__(key)

        cache = (Derived if derived else kind)(4)
        cache[1], cache[2] = "one", "two"
        answer: Any = None
        try:
            answer = CALLS[call](cache)
        except Exception as error:
            answer = type(error)
        with contextlib.suppress(KeyError):
            answer = (answer, cache[9])
        return answer, sorted(map(str, cache.items())) if "popitem" not in NAMES[call] else []

    assert outcome(Cache) == outcome(cachetools.LRUCache)


NAMES = [str(call.__code__.co_names) for call in CALLS]
