"""acumen.cached: what functools.lru_cache promises, and what goes beyond."""

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import acumen
from acumen import cached


class Counter:
    """Counts the calls of a function."""

    def __init__(self, function: Callable[..., Any] = lambda *args, **kwargs: (args, kwargs)):
        self.function, self.calls = function, 0
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.function(*args, **kwargs)


@cached(maxsize=10)
def module_level(number: int) -> int:
    """Twice the number."""
    return 2 * number


def test_results_are_remembered_and_counted() -> None:
    function = Counter()
    wrapper = cached(3)(function)
    assert wrapper(1) is wrapper(1)
    assert wrapper("a") == (("a",), {})
    assert function.calls == 2
    assert wrapper.cache_info() == (1, 2, 3, 2)
    assert repr(wrapper.cache_info()) == "CacheInfo(hits=1, misses=2, maxsize=3, currsize=2)"
    assert wrapper.cache_info()._fields == functools.lru_cache(len).cache_info()._fields
    for number in range(10):
        wrapper(number)
    assert wrapper.cache_info().currsize == 3
    wrapper.cache_clear()
    assert wrapper.cache_info() == (0, 0, 3, 0)
    wrapper(9)
    assert wrapper.cache_info() == (0, 1, 3, 1)


def test_the_wrapper_looks_like_the_function() -> None:
    assert module_level.__name__ == "module_level"
    assert module_level.__doc__ == "Twice the number."
    assert inspect.signature(module_level) == inspect.signature(module_level.__wrapped__)
    assert module_level.__wrapped__(4) == module_level(4) == 8
    module_level.note = "attributes can be set"  # type: ignore[attr-defined]
    assert module_level.cache_parameters() == {"maxsize": 10, "typed": False, "ttl": None}


def test_without_parentheses() -> None:
    @cached
    def double(number: int) -> int:
        return 2 * number

    assert (double(2), double(2)) == (4, 4)
    assert double.cache_info() == (1, 1, 128, 1)


@pytest.mark.parametrize(("maxsize", "shown", "kept"), [(0, 0, 0), (-5, 0, 0), (None, None, 500)])
def test_no_room_and_no_bound(maxsize: int | None, shown: int | None, kept: int) -> None:
    function = Counter()
    wrapper = cached(maxsize)(function)
    for _ in range(2):
        for number in range(500):
            wrapper(number)
    assert wrapper.cache_info() == (kept, 1000 - kept, shown, kept)
    assert function.calls == 1000 - kept


def test_arguments_are_told_apart_as_in_lru_cache() -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda f: f(),
        lambda f: f(1),
        lambda f: f(1, 2),
        lambda f: f((1, 2)),
        lambda f: f(((1, 2),)),
        lambda f: f(1, b=2),
        lambda f: f(a=1, b=2),
        lambda f: f(b=2, a=1),
        lambda f: f("a", 1),
        lambda f: f(a=1),
        lambda f: f(object, "a", 1),
        lambda f: f(None),
        lambda f: f("1"),
        lambda f: f(-1),
        lambda f: f(-2),
        lambda f: f(*range(50)),
        lambda f: f(*range(49), 50),
    ]
    function = Counter()
    wrapper = cached(None)(function)
    for call in calls * 2:
        assert call(wrapper) == call(function.function)
    assert function.calls == len(calls)
    assert wrapper.cache_info() == (len(calls), len(calls), None, len(calls))


def test_equal_arguments_share_a_result_unless_typed() -> None:
    loose, strict = Counter(), Counter()
    wrapper = cached(None)(loose)
    for call in (wrapper(1, 1), wrapper(1.0, True), wrapper(1, 1.0)):
        assert call == ((1, 1), {})
    assert loose.calls == 1
    wrapper = cached(None, typed=True)(strict)
    for _ in range(2):
        wrapper(1), wrapper(1.0), wrapper(True), wrapper(x=1), wrapper(x=1.0), wrapper("1", 1)
    assert strict.calls == 6
    assert type(wrapper(1.0)[0][0]) is float


def test_exceptions_are_not_remembered() -> None:
    @Counter
    def fail(number: int) -> None:
        raise ArithmeticError(number)

    wrapper = cached(fail)
    for _ in range(3):
        with pytest.raises(ArithmeticError, match="7"):
            wrapper(7)
    assert fail.calls == 3
    assert wrapper.cache_info() == (0, 3, 128, 0)


def test_unhashable_arguments() -> None:
    wrapper = cached(Counter())
    for call in (lambda: wrapper([]), lambda: wrapper(1, {}), lambda: wrapper(a=set())):
        with pytest.raises(TypeError, match="unhashable"):
            call()
    assert wrapper.cache_info().currsize == 0


def test_recursion() -> None:
    @cached(maxsize=None)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert [fibonacci(n) for n in range(16)][-3:] == [233, 377, 610]
    assert fibonacci.cache_info() == (28, 16, None, 16)

    @cached(maxsize=3)
    def shallow(n: int) -> int:
        return n if n < 2 else shallow(n - 1) + shallow(n - 2)

    assert shallow(30) == 832_040


def test_recursion_that_computes_the_same_result_keeps_the_first() -> None:
    @cached
    def value(depth_left: int = 0) -> object:
        nonlocal left
        if left:
            left -= 1
            value(depth_left)
        return object()

    left = 3
    last = value(0)
    assert value.cache_info().currsize == 1
    assert value(0) is not last


def test_endless_recursion_is_an_error() -> None:
    @cached
    def endless(number: int) -> int:
        return endless(number + 1)

    with pytest.raises(RecursionError):
        endless(0)
    assert endless.cache_info().currsize == 0


def test_methods() -> None:
    class Shape:
        def __init__(self, side: int) -> None:
            self.side = side

        @cached(maxsize=10)
        def area(self, scale: int = 1) -> int:
            return self.side**2 * scale

        @staticmethod
        @cached
        def unit() -> str:
            return "m2"

        @classmethod
        @cached
        def name(cls) -> str:
            return cls.__name__

    small, large = Shape(1), Shape(3)
    assert [shape.area() for shape in (small, large, small, large)] == [1, 9, 1, 9]
    assert Shape.area(large, scale=2) == 18
    bound = small.area
    assert bound() == 1
    assert Shape.area.cache_info() == (3, 3, 10, 3)
    assert (Shape.unit(), small.unit(), Shape.name(), large.name()) == (
        "m2",
        "m2",
        "Shape",
        "Shape",
    )


def test_results_expire() -> None:
    now = 0.0
    function = Counter()
    wrapper = cached(10, ttl=5, timer=lambda: now)(function)
    wrapper(1)
    now = 4.9
    wrapper(1)
    assert function.calls == 1
    now = 5.0
    assert wrapper.cache_info().currsize == 0
    wrapper(1)
    assert function.calls == 2
    assert wrapper.cache_parameters()["ttl"] == 5


def test_a_key_of_ones_own() -> None:
    function = Counter()
    wrapper = cached(10, key=lambda number, **_: abs(number))(function)
    assert wrapper(-3) is wrapper(3, unused=[]) is wrapper(3)
    assert function.calls == 1
    with pytest.raises(TypeError):
        wrapper("x")
    with pytest.raises(TypeError, match="unhashable"):
        cached(10, key=lambda x: [x])(function)(1)


def test_results_have_sizes() -> None:
    function = Counter(lambda size: "x" * size)
    wrapper = cached(10, getsizeof=len)(function)
    assert [len(wrapper(size)) for size in (3, 7, 11, 11)] == [3, 7, 11, 11]
    assert wrapper.cache_info() == (0, 4, 10, 10)
    wrapper(9)
    assert wrapper.cache_info().currsize <= 10
    broken = cached(10, getsizeof=lambda value: -1)(function)
    with pytest.raises(ValueError, match="getsizeof"):
        broken(1)


def test_results_may_be_none() -> None:
    function = Counter(lambda: None)
    wrapper = cached(function)
    assert (wrapper(), wrapper()) == (None, None)
    assert function.calls == 1


def test_what_cannot_be_remembered_is_refused() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def asynchronous() -> Any:
        yield 1

    for function in (generator, asynchronous):
        with pytest.raises(TypeError, match="generator"):
            cached(10)(function)
    with pytest.raises(TypeError, match="callables"):
        cached(10)(3)  # type: ignore[arg-type,type-var]
    for arguments in ({"maxsize": float("nan")}, {"ttl": float("nan")}):
        with pytest.raises(ValueError, match="NaN"):
            cached(**arguments)
    with pytest.raises(TypeError):
        cached("many")  # type: ignore[call-overload]


def test_coroutine_functions_remember_what_was_awaited() -> None:
    calls: list[int] = []

    @cached(2, typed=True)
    async def double(number: int, *, extra: int = 0) -> int:
        """Twice."""
        calls.append(number)
        await asyncio.sleep(0)
        if number < 0:
            raise ArithmeticError(number)
        return 2 * number + extra

    async def main() -> None:
        assert [await double(1), await double(1), await double(1, extra=1)] == [2, 2, 3]
        assert await double(1.0) == 2  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(ArithmeticError):
                await double(-1)
        assert await asyncio.gather(double(5), double(5), double(6)) == [10, 10, 12]

    asyncio.run(main())
    assert inspect.iscoroutinefunction(double)
    assert double.__doc__ == "Twice."
    assert calls == [1, 1, 1.0, -1, -1, 5, 5, 6]
    assert double.cache_info() == (1, 8, 2, 2)
    assert double.cache_parameters() == {"maxsize": 2, "typed": True, "ttl": None}
    double.cache_clear()
    assert double.cache_info() == (0, 0, 2, 0)


def test_coroutine_functions_without_room_or_with_sizes() -> None:
    @cached(0)
    async def nothing(number: int) -> int:
        return number

    @cached(10, getsizeof=lambda value: value)
    async def sized(number: int) -> int:
        return number

    async def main() -> None:
        assert [await nothing(1), await nothing(1)] == [1, 1]
        assert [await sized(11), await sized(4), await sized(4)] == [11, 4, 4]

    asyncio.run(main())
    assert nothing.cache_info() == (0, 2, 0, 0)
    assert sized.cache_info() == (1, 2, 10, 4)


def test_pickled_and_copied_as_functions_are() -> None:
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    assert copy.copy(module_level) is copy.deepcopy(module_level) is module_level


def test_references_are_given_back() -> None:
    argument, result = object(), object()
    before = sys.getrefcount(argument), sys.getrefcount(result)
    wrapper = cached(3)(lambda *args, **kwargs: result)
    for number in range(20):
        wrapper(argument), wrapper(argument, number), wrapper(name=argument), wrapper(number)
    wrapper.cache_clear()
    assert (sys.getrefcount(argument), sys.getrefcount(result)) == before
    watch = weakref.ref(wrapper)
    del wrapper
    gc.collect()
    assert watch() is None
    assert (sys.getrefcount(argument), sys.getrefcount(result)) == before


def test_cycles_through_the_wrapper_are_collected() -> None:
    class Node:
        @functools.cached_property
        def method(self) -> Any:
            return cached(3)(lambda number: self)

    node = Node()
    assert node.method(1) is node
    watch = weakref.ref(node)
    del node
    gc.collect()
    assert watch() is None


def test_a_function_that_clears_its_own_cache() -> None:
    @cached(5)
    def clear(number: int) -> int:
        clear.cache_clear()
        return number

    assert [clear(number) for number in (1, 2, 2, 1)] == [1, 2, 2, 1]
    assert clear.cache_info().currsize == 1


def test_comparisons_that_use_the_function() -> None:
    class Argument:
        def __init__(self, name: int) -> None:
            self.name = name

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            nonlocal depth, spare
            if depth < 3 and spare > 0:
                depth += 1
                spare -= 1
                wrapper(Argument(100 + self.name), self.name)
                depth -= 1
            return isinstance(other, Argument) and other.name == self.name

    depth = spare = 0
    wrapper = cached(4)(lambda argument, number: argument.name)
    for name in range(30):
        spare = 50  # some comparison must leave the cache alone
        assert wrapper(Argument(name % 7), 1) == name % 7
    assert wrapper.cache_info().currsize == 4


def test_threads_that_miss_together_agree_in_the_end() -> None:
    barrier = threading.Barrier(4)

    @cached
    def result(number: int) -> object:
        barrier.wait(timeout=10)
        return object()

    threads = [threading.Thread(target=result, args=(1,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert result.cache_info() == (0, 4, 128, 1)
    assert result(1) is result(1)


def test_importing_the_package_does_not_import_the_cache() -> None:
    assert "Cache" in acumen.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        acumen.nothing  # noqa: B018
    code = "import sys, acumen; assert not [n for n in sys.modules if 'caching' in n], n"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_parameters_of_the_decorator() -> None:
    assert cached(8, True)(abs).cache_parameters() == {"maxsize": 8, "typed": True, "ttl": None}
    assert cached(np.int64(8))(abs).cache_info().maxsize == 8
    assert cached(2.5, getsizeof=lambda value: 0.5)(abs).cache_info().maxsize == 2.5
    assert repr(cached(True)(abs).cache_info().maxsize) == "1"
    assert cached(-3)(abs).cache_info().maxsize == 0
    with pytest.raises(TypeError, match="maxsize must be a number or None, not 'x'"):
        cached("x")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"maxsize must be whole .*, not 2\.5"):
        cached(2.5)
