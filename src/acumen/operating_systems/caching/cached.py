"""A decorator that remembers results, and learns which to remember."""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from numbers import Real
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from acumen._native import CachedFunction
from acumen.operating_systems.caching.cache import Cache

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_MISSING: Any = object()
_KEYWORDS = object()  # separates positional from keyword arguments in a key


class CacheInfo(NamedTuple):
    """What `cache_info()` returns: the fields of `functools.lru_cache`."""

    hits: int
    misses: int
    maxsize: float | None
    currsize: float


class Cached(Protocol[P, R_co]):
    """A function whose results are remembered."""

    __wrapped__: Callable[..., Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The result, remembered or computed."""

    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Cached[P, R_co]: ...
    @overload
    def __get__(
        self: Cached[Concatenate[Any, Q], R_co], instance: object, owner: type | None = None, /
    ) -> Callable[Q, R_co]: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Any:
        """Of an instance's method: the function with the instance as its first argument."""

    def cache_info(self) -> CacheInfo:
        """Hits, misses, maxsize and currsize."""

    def cache_clear(self) -> None:
        """Forgets all results, all counts and all that was learned."""

    def cache_parameters(self) -> dict[str, Any]:
        """What the decorator was given: maxsize, typed and ttl."""


class Decorator(Protocol):
    """What `cached(…)` returns."""

    def __call__(self, function: Callable[P, R], /) -> Cached[P, R]:
        """The function with a memory."""


@overload
def cached(maxsize: Callable[P, R], /) -> Cached[P, R]: ...
@overload
def cached(
    maxsize: float | None = 128,
    typed: bool = False,
    *,
    ttl: float | None = None,
    key: Callable[..., Hashable] | None = None,
    getsizeof: Callable[[Any], float] | None = None,
    timer: Callable[[], float] = time.monotonic,
    seed: int = 0,
) -> Decorator: ...
def cached(
    maxsize: Any = 128,
    typed: bool = False,
    *,
    ttl: float | None = None,
    key: Callable[..., Hashable] | None = None,
    getsizeof: Callable[[Any], float] | None = None,
    timer: Callable[[], float] = time.monotonic,
    seed: int = 0,
) -> Any:
    """Remembers a function's results by its arguments, as `functools.lru_cache` does.

    What to forget when the memory is full is learned (see `acumen.Cache`). The decorator may be
    used with parentheses or without, on functions, methods and coroutine functions; arguments must
    be hashable. Exceptions are not remembered. No lock is held while the function runs: it may
    recurse, and threads or tasks that miss at the same time each compute the result. The wrapper
    has `cache_info()`, `cache_clear()`, `cache_parameters()` and `__wrapped__`.

    Args:
        maxsize: The bound of the sum of sizes; None: none; 0 or less: remember nothing. Without
            getsizeof it is a number of results, and whole.
        typed: Whether arguments of different types are different even if they are equal.
        ttl: Seconds, on the timer, that a result is remembered. None: for ever.
        key: Makes the key from the arguments, instead of the arguments themselves.
        getsizeof: Size of a result, >= 0; 1 by default. Results larger than maxsize are returned
            but not remembered.
        timer: The clock of `ttl`.
        seed: For the policy's few random bits.

    Raises:
        TypeError: If what is decorated is no callable, or is a generator function (its result can
            be used only once), or maxsize is no number.
        ValueError: If maxsize or ttl is NaN, or maxsize is not whole where it must be.

    Example:
        >>> import acumen
        >>> @acumen.cached(maxsize=100)
        ... def fibonacci(n):
        ...     return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
        >>> fibonacci(50)
        12586269025
        >>> fibonacci.cache_info()
        CacheInfo(hits=48, misses=51, maxsize=100, currsize=51)
    """
    if callable(maxsize):
        return cached(128)(maxsize)
    maxsize = _bound(maxsize, sized=getsizeof is not None)
    if ttl is not None and math.isnan(ttl):
        raise ValueError("ttl must be a number of seconds or None, not NaN")
    clock = None if timer is time.monotonic else timer

    def decorate(function: Callable[..., Any]) -> Any:
        _check(function)
        wrapper: Any
        if inspect.iscoroutinefunction(function):
            bound = math.inf if maxsize is None else maxsize
            cache: Cache[Any, Any] = Cache(bound, getsizeof, ttl, timer, seed)
            wrapper = _remember_awaited(function, cache, maxsize, key or _key_maker(typed))
        else:
            wrapper = CachedFunction(
                function, maxsize, typed, ttl, clock, key, getsizeof, seed, CacheInfo
            )
            functools.update_wrapper(wrapper, function)
        wrapper.cache_parameters = lambda: {"maxsize": maxsize, "typed": typed, "ttl": ttl}
        return wrapper

    return decorate


def _bound(maxsize: Any, sized: bool) -> Any:
    if maxsize is None:
        return None
    if not isinstance(maxsize, Real):
        raise TypeError(f"maxsize must be a number or None, not {maxsize!r}")
    if math.isnan(maxsize):
        raise ValueError("maxsize must be a number or None, not NaN")
    if not sized and math.isfinite(maxsize) and maxsize != math.floor(maxsize):
        raise ValueError(f"maxsize must be whole unless getsizeof is given, not {maxsize!r}")
    return max(0, int(maxsize) if isinstance(maxsize, bool) else maxsize)


def _check(function: Callable[..., Any]) -> None:
    if not callable(function):
        raise TypeError(f"cached() decorates callables, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("cached() cannot remember a generator: it can be used only once")


def _key_maker(typed: bool) -> Callable[..., Hashable]:
    """The key of a call, as CachedFunction makes it of its arguments."""

    def make(*args: Any, **kwargs: Any) -> Hashable:
        key = args
        if kwargs:
            key += (_KEYWORDS, *(part for item in kwargs.items() for part in item))
        if typed:
            key += (*map(type, args), *map(type, kwargs.values()))
        return key

    return make


def _remember_awaited(
    function: Callable[..., Awaitable[Any]],
    cache: Cache[Any, Any],
    maxsize: float | None,
    make_key: Callable[..., Hashable],
) -> Callable[..., Awaitable[Any]]:
    """What is remembered of a coroutine function is the awaited result, not the coroutine."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        key = make_key(*args, **kwargs)
        result = cache.get(key, _MISSING)
        if result is _MISSING:
            result = await function(*args, **kwargs)
            size = cache.getsizeof(result)
            if size <= cache.maxsize and key not in cache:
                cache._put(key, result, size, cache.ttl or 0, True)
        return result

    def cache_info() -> CacheInfo:
        stats = cache.stats()
        return CacheInfo(stats.hits, stats.misses, maxsize, stats.currsize)

    wrapper.cache_info = cache_info  # type: ignore[attr-defined]
    wrapper.cache_clear = cache._forget  # type: ignore[attr-defined]
    return wrapper
