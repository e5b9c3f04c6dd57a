"""Learned choices for systems software."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acumen.operating_systems.caching.cache import Cache as Cache
    from acumen.operating_systems.caching.cached import cached as cached

# Public names and where they live: imported when first asked for, so that `import acumen` is quick.
_LAZY = {
    "Cache": "acumen.operating_systems.caching.cache",
    "cached": "acumen.operating_systems.caching.cached",
}
__all__ = ["Cache", "cached"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
