"""Plots of a tuning's page as SVG: they need no script, and print as they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from acumen.evaluation.page_parts import text

_WIDTH, _HEIGHT = 1060, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 12, 34


@dataclass
class Chart:
    """Points, lines and bands over counted things; the vertical axis is a ratio, logarithmic.

    Args:
        count: how many things there are, along.
        ratios: what has to be seen, up and down.
        along: what is counted.
    """

    count: int
    ratios: Iterable[float]
    along: str
    _parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        logs = [math.log(one) for one in self.ratios if 0 < one < math.inf] or [0.0]
        low, high = min(*logs, 0.0), max(*logs, 0.0)
        spread = max(high - low, 0.02)
        self._low, self._high = low - 0.06 * spread, high + 0.06 * spread
        self._axes()

    def x(self, number: float) -> float:
        """Where thing number `number` stands."""
        span = max(self.count - 1, 1)
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(number / span, 0.0), 1.0)

    def y(self, ratio: float) -> float:
        """Where a ratio stands; what lies outside stands at the edge."""
        logs = math.log(ratio) if 0 < ratio < math.inf else math.copysign(99, ratio - 1)
        place = (min(max(logs, self._low), self._high) - self._low) / (self._high - self._low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * place

    def points(self, points: Iterable[tuple[float, float, str]], kind: str) -> None:
        """Dots, each with (number, ratio, what is said about it)."""
        self._parts += [
            f'<circle class="{kind}" cx="{self.x(n):.1f}" cy="{self.y(r):.1f}" r="3.5">'
            f"<title>{text(said)}</title></circle>"
            for n, r, said in points
        ]

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through (number, ratio)."""
        if points:
            path = " ".join(f"{self.x(n):.1f},{self.y(r):.1f}" for n, r in points)
            self._parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def band(self, points: Sequence[tuple[float, float, float]], kind: str) -> None:
        """An area between (number, low, high)."""
        if points:
            edge = [(n, low) for n, low, _ in points] + [(n, hi) for n, _, hi in points[::-1]]
            path = " ".join(f"{self.x(n):.1f},{self.y(r):.1f}" for n, r in edge)
            self._parts.append(f'<polygon class="{kind}" points="{path}"/>')

    def crosses(self, numbers: Iterable[tuple[float, str]], kind: str) -> None:
        """Marks at the lower edge."""
        y = _HEIGHT - _BOTTOM - 5
        for number, said in numbers:
            x = self.x(number)
            self._parts.append(
                f'<path class="{kind}" d="M{x - 3.5:.1f} {y - 3.5}l7 7m0 -7l-7 7">'
                f"<title>{text(said)}</title></path>"
            )

    def svg(self, title: str) -> str:
        """The whole plot."""
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(title)}">'
            + "".join(self._parts)
            + "</svg>"
        )

    def _axes(self) -> None:
        for ratio in ticks(math.exp(self._low), math.exp(self._high)):
            y = self.y(ratio)
            kind = "one" if ratio == 1 else "grid"
            self._parts.append(
                f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" '
                f'y2="{y:.1f}"/><text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" '
                f'text-anchor="end">{ratio:.4g}×</text>'
            )
        step = max(1, round(self.count / 8))
        for number in range(0, self.count, step):
            self._parts.append(
                f'<text class="tick" x="{self.x(number):.1f}" y="{_HEIGHT - _BOTTOM + 16}" '
                f'text-anchor="middle">{number + 1}</text>'
            )
        self._parts.append(
            f'<text class="tick" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}" '
            f'text-anchor="end">{text(self.along)}</text>'
        )


def ticks(low: float, high: float) -> list[float]:
    """A few round ratios between two, 1 among them.

    >>> ticks(0.5, 2.0)
    [0.5, 1.0, 1.5, 2.0]
    """
    for step in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first <= 6:
            return [round(step * one, 6) for one in range(first, last + 1) if one > 0]
    return [10.0**one for one in range(math.ceil(math.log10(low)), int(math.log10(high)) + 1)]
