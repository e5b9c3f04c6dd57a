from collections.abc import Callable
from typing import Any

import pytest

import acumen


@pytest.fixture
def make_choice() -> Callable[..., acumen.Choice]:
    """Builds a small choice; every argument may be replaced."""

    def make(**changes: Any) -> acumen.Choice:
        arguments: dict[str, Any] = {
            "name": "test",
            "arms": ["a", "b", "c"],
            "context": {"size": float},
            "default": "b",
            "metric": acumen.maximize("reward"),
            "seed": 1,
        }
        arguments |= changes
        return acumen.Choice(**arguments)

    return make
