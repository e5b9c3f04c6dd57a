"""isl, the integer set library, imported when it is first needed.

Everybody here takes it from this module, so that a base install knows nothing of it.
"""

from __future__ import annotations

from typing import Any

from acumen.compilers.loop_nests.errors import MissingError


def load() -> Any:
    """The module `islpy`.

    Raises:
        MissingError: it is not installed.
    """
    try:
        import islpy
    except ImportError as error:
        raise MissingError(
            "loop nests need isl and a parser of C: pip install 'acumen[compilers]'"
        ) from error
    return islpy
