"""What the counters of everything that works in the background have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class OfficeHealth:
    """How it goes with work that one process of a directory is elected for.

    Attributes:
        elected: whether this process is the one that does it now.
        errors: attempts that failed.
        last_error: in words; empty if there was none.
    """

    elected: bool = False
    errors: int = 0
    last_error: str = ""

    def note(self, error: Exception | str) -> None:
        """Counts an attempt that failed."""
        self.errors += 1
        self.last_error = str(error) or type(error).__name__
