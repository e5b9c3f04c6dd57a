"""What can go wrong with a loop nest, each with one line for a person."""

from __future__ import annotations


class LoopNestError(Exception):
    """The file, its region or the program cannot be optimised; the message is one line."""


class MissingError(LoopNestError):
    """Something that is optional is not installed; the message says how to get it."""


class RegionError(LoopNestError):
    """The marked region is not a static control part: a line of it is not affine, for example.

    Attributes:
        line: of the file, counted from 1; 0 where no line is at fault.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        self.line = line
        super().__init__(f"line {line}: {message}" if line else message)
