"""What type checkers understand of acumen.cached: mypy checks this file, and it runs as well."""

import asyncio
from typing import assert_type

import pytest

import acumen


class Shape:
    @acumen.cached(maxsize=10)
    def area(self, scale: int = 1) -> float:
        return 1.5 * scale

    @acumen.cached
    def name(self) -> str:
        return "shape"

    @staticmethod
    @acumen.cached
    def unit() -> str:
        return "m2"

    @acumen.cached
    async def later(self) -> int:
        return 1


@acumen.cached(8, True)
def twice(number: int) -> int:
    return 2 * number


def test_functions() -> None:
    assert assert_type(twice(1), int) == 2
    with pytest.raises(TypeError):
        twice("x", "y")  # type: ignore[arg-type,call-arg]


def test_methods() -> None:
    shape = Shape()
    assert assert_type(shape.area(2), float) == assert_type(shape.area(scale=2), float) == 3
    assert assert_type(Shape.area(shape, 2), float) == 3
    assert assert_type(shape.name(), str) == "shape"
    assert assert_type(Shape.unit(), str) == "m2"
    with pytest.raises(TypeError):
        shape.name(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        shape.area("x", "y")  # type: ignore[arg-type,call-arg]


def test_methods_of_the_class_have_what_functions_have() -> None:
    assert Shape.area.cache_info().maxsize == 10
    Shape.name.cache_clear()


def test_coroutine_methods() -> None:
    async def wait() -> None:
        assert assert_type(await Shape().later(), int) == 1

    asyncio.run(wait())
