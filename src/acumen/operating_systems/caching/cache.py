"""A mapping of bounded size that learns what to keep."""

from __future__ import annotations

import copyreg
import math
import time
from collections.abc import Callable, Iterator, MutableMapping
from collections.abc import ItemsView as _ItemsView
from collections.abc import ValuesView as _ValuesView
from reprlib import recursive_repr
from typing import Any, NamedTuple, TypeVar

from acumen._native import CacheBase

K = TypeVar("K")
V = TypeVar("V")

_KEYS, _VALUES, _ITEMS, _ROWS = range(4)  # what CacheBase._snapshot can list
_MISSING: Any = object()


class CacheStats(NamedTuple):
    """What a cache has done since it was made.

    Attributes:
        hits: Lookups (`cache[key]`, `get`, `setdefault`) that found their key.
        misses: Lookups that did not.
        evictions: Items removed to make room, or by `popitem`.
        expirations: Items removed because their ttl was over.
        maxsize: The bound, as given.
        currsize: The sum of the sizes of all items.
        policy_bytes: Memory that the learned policy takes, its ghosts included.
    """

    hits: int
    misses: int
    evictions: int
    expirations: int
    maxsize: float
    currsize: float
    policy_bytes: int

    @property
    def hit_ratio(self) -> float:
        """Hits among all lookups; NaN before the first."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else math.nan


class _Items(_ItemsView[K, V]):
    """Items of a cache; looking at them is no use of them."""

    _mapping: Cache[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._snapshot(_ITEMS))

    def __contains__(self, item: Any) -> bool:
        key, value = item
        found = self._mapping.peek(key, _MISSING)
        return found is not _MISSING and (found is value or found == value)


class _Values(_ValuesView[V]):
    """Values of a cache; looking at them is no use of them."""

    _mapping: Cache[Any, V]

    def __iter__(self) -> Iterator[V]:
        return iter(self._mapping._snapshot(_VALUES))

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)


class Cache(CacheBase[K, V], MutableMapping[K, V]):
    """A bounded mapping that learns, from its own requests, which items to keep.

    The contract is that of `cachetools.Cache`: when an item does not fit, others are evicted.
    Whom to evict is decided by a model that starts cold and learns from every request how likely
    items are to come back, given how often and how long ago they were used
    (`acumen/caching/learned_eviction.hpp` tells how). An item that was just set is always found,
    unless its ttl is zero or less.

    Args:
        maxsize: The bound of `currsize`, a number >= 0; `math.inf` for none.
        getsizeof: Size of a value, >= 0; every item has size 1 by default. Subclasses may
            override the method of this name instead.
        ttl: Seconds, on the timer, that an item lives after it was set. None: for ever.
        timer: The clock of `ttl`: a function without arguments that returns a float and does
            not go backwards. The default costs no call into Python.
        seed: For the policy's few random bits; equal seeds and requests give equal evictions.

    Raises:
        ValueError: From the constructor if maxsize is negative or NaN; from setting an item
            larger than maxsize ("value too large").

    Threads: Every operation is atomic except while user code runs: `__hash__` and `__eq__` of
    keys (other than int and str), `getsizeof`, `timer`, overridden methods, and the finalizers of
    what is removed, which run when the cache is in order again. Views and iterators work on a
    snapshot, so that changes meanwhile are allowed and not seen.

    Subclasses: `__missing__(key)` supplies `cache[key]` for an absent key; `popitem()` is called
    for every eviction; `__getitem__`, `__setitem__`, `__delitem__` and `__contains__`, if
    overridden, are called by the other methods as in `cachetools`. Expired items go without a
    call.

    Example:
        >>> import acumen
        >>> cache = acumen.Cache(maxsize=2)
        >>> cache["a"] = 1
        >>> cache.get("a"), cache.get("b"), "a" in cache
        (1, None, True)
        >>> cache.update(b=2, c=3)
        >>> len(cache), cache["c"]
        (2, 3)
        >>> cache.stats().hits, cache.stats().misses, cache.stats().evictions
        (2, 1, 1)
    """

    def __init__(
        self,
        maxsize: float,
        getsizeof: Callable[[V], float] | None = None,
        ttl: float | None = None,
        timer: Callable[[], float] = time.monotonic,
        seed: int = 0,
    ) -> None:
        if not maxsize >= 0:
            raise ValueError(f"maxsize must be >= 0, not {maxsize!r}")
        if ttl is not None and math.isnan(ttl):
            raise ValueError("ttl must be a number of seconds or None, not NaN")
        if getsizeof is not None:
            self.getsizeof = getsizeof  # type: ignore[assignment,method-assign]
        sized = getsizeof is not None or type(self).getsizeof is not Cache.getsizeof
        self._seed = seed
        self._configure(maxsize, sized, ttl, None if timer is time.monotonic else timer, seed)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Methods that would pass by an overridden hook give way to ones that call it."""
        super().__init_subclass__(**kwargs)

        def hooked(*names: str) -> bool:
            return any(getattr(cls, name) is not getattr(Cache, name) for name in names)

        reads, deletes = hooked("__getitem__", "__contains__"), hooked("__delitem__")
        for name, by_hooks in (
            ("get", reads),
            ("items", reads),
            ("values", reads),
            ("setdefault", reads or hooked("__setitem__")),
            ("pop", reads or deletes),
            ("popitem", deletes or hooked("pop")),
            ("clear", deletes or hooked("pop", "popitem")),
        ):
            if by_hooks and not hooked(name):
                setattr(cls, name, _BY_HOOKS[name])

    @staticmethod
    def getsizeof(value: Any) -> float:
        """The size of a value: 1, unless the constructor or a subclass says otherwise."""
        return 1

    @property
    def timer(self) -> Callable[[], float]:
        """The clock that `ttl` refers to."""
        return self._timer or time.monotonic

    def stats(self) -> CacheStats:
        """Counts since the cache was made, and its present size."""
        return CacheStats(*self._counters(), self.maxsize, self.currsize, self._policy_bytes())

    def items(self) -> _ItemsView[K, V]:
        """A view of all (key, value); looking at it is no use of the items."""
        return _Items(self)

    def values(self) -> _ValuesView[V]:
        """A view of all values; looking at it is no use of the items."""
        return _Values(self)

    @recursive_repr()
    def __repr__(self) -> str:
        content = ", ".join(f"{key!r}: {value!r}" for key, value in self._snapshot(_ITEMS))
        name = type(self).__name__
        return f"{name}({{{content}}}, maxsize={self.maxsize!r}, currsize={self.currsize!r})"

    @property
    def _settings(self) -> tuple[Any, ...]:
        return self.maxsize, self._sized, self.ttl, self._timer, self._seed

    def _forget(self) -> None:
        """Empties the cache, its counts and its policy: as if it were new."""
        self._configure(*self._settings)

    def __reduce__(self) -> tuple[Any, ...]:
        """For every protocol of pickle and for `copy`."""
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what the policy has learned: a copy starts cold."""
        return {
            "settings": self._settings,
            "rows": self._snapshot(_ROWS),
            "attributes": self.__dict__.copy(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        self._configure(*state["settings"])
        for key, value, size, seconds_left in state["rows"]:
            self._put(key, value, size, seconds_left, False)


def _get(self: Cache[Any, Any], key: Any, default: Any = None) -> Any:
    # Not self.get(…), which this stands in for.
    return self[key] if key in self else default  # noqa: SIM401


def _setdefault(self: Cache[Any, Any], key: Any, default: Any = None) -> Any:
    if key in self:
        return self[key]
    self[key] = default
    return default


def _pop(self: Cache[Any, Any], key: Any, default: Any = _MISSING) -> Any:
    if key in self:
        # To be removed is no use of an item, unless a subclass wants to see the lookup.
        seen = type(self).__getitem__ is not Cache.__getitem__
        value = self[key] if seen else self.peek(key)
        del self[key]
        return value
    if default is _MISSING:
        raise KeyError(key)
    return default


def _popitem(self: Cache[Any, Any]) -> tuple[Any, Any]:
    while True:
        key = self._victim()
        value = self.peek(key, _MISSING)
        try:
            return key, self.pop(key)
        except KeyError:
            # Another thread may have been quicker; a hook that refuses, or a key whose hash has
            # changed, stays.
            stays = value is not _MISSING and self.peek(key, _MISSING) is value
            if stays or self._victim() is key:
                raise
        finally:
            self._spare()


_BY_HOOKS: dict[str, Callable[..., Any]] = {
    "get": _get,
    "items": MutableMapping.items,
    "values": MutableMapping.values,
    "setdefault": _setdefault,
    "pop": _pop,
    "popitem": _popitem,
    "clear": MutableMapping.clear,
}
