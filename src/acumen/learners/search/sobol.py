"""Quasi-random designs: Sobol sequences and Latin hypercubes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from acumen.learners._parameters import check_between
from acumen.learners.search.genes import Matrix
from acumen.learners.search.searcher import Suggestion
from acumen.learners.search.space import Space

BLOCK = 64
SOBOL_MAX = 21201  # dimensions that scipy has direction numbers for


@dataclass(frozen=True)
class Sobol:
    """Spread settings more evenly than chance does: a scrambled Sobol sequence.

    When to use it: as a design for a model, or to see how a program behaves everywhere. Needs scipy
    (``pip install acumen[search]``); `LatinHypercube` does not.

    Raises:
        ImportError: By ``build``, without scipy.

    References:
        Sobol, "On the distribution of points in a cube and the approximate evaluation of
        integrals", 1967; Owen, "Scrambling Sobol' and Niederreiter-Xing points", 1998.
    """

    def build(self, space: Space, seed: int) -> "DesignSearcher":
        """Build the searcher."""
        try:
            from scipy.stats import qmc
        except ImportError:
            raise ImportError("Sobol needs scipy: pip install 'acumen[search]'") from None
        if space.layout.count > SOBOL_MAX:
            raise ValueError(f"a Sobol sequence has at most {SOBOL_MAX} dimensions")
        sequence = qmc.Sobol(space.layout.count, rng=np.random.default_rng(seed))
        return DesignSearcher(space, seed, "sobol", lambda: sequence.random(BLOCK))


@dataclass(frozen=True)
class LatinHypercube:
    """Cut every parameter's range into as many parts as there are settings; each part is met once.

    When to use it: as `Sobol`, and where the number of settings is known.

    Args:
        settings: How many make up one design; afterwards comes another one.

    Raises:
        ValueError: A parameter is out of range.

    References:
        McKay, Beckman & Conover, "A comparison of three methods for selecting values of input
        variables in the analysis of output from a computer code", 1979.
    """

    settings: int = 16

    def __post_init__(self) -> None:
        check_between("settings", self.settings, 1, 1e6)

    def build(self, space: Space, seed: int) -> "DesignSearcher":
        """Build the searcher."""
        rng = np.random.default_rng(seed)
        rows, columns = self.settings, space.layout.count

        def design() -> Matrix:
            cells = rng.permuted(np.repeat(np.arange(rows)[:, None], columns, axis=1), axis=0)
            found: Matrix = (cells + rng.random((rows, columns))) / rows
            return found

        return DesignSearcher(space, seed, "latin hypercube", design)


class DesignSearcher:
    """Hands out the rows of designs, one after the other.

    Args:
        space: what may be set.
        seed: of the settings that replace what constraints forbid.
        name: of the learner.
        design: makes float64[n, genes] in [0, 1].
    """

    def __init__(self, space: Space, seed: int, name: str, design: Callable[[], Matrix]) -> None:
        self._space, self._name, self._design = space, name, design
        self._rng = np.random.default_rng(seed)
        self._rows: list[Matrix] = []

    def ask(self) -> Suggestion:
        """The next row; if constraints forbid it, a random setting in its place."""
        if not self._rows:
            self._rows = list(self._space.canonical(self._space.layout.spread(self._design())))
        setting = self._space.setting(self._rows.pop(0))
        if not self._space.valid(setting):
            setting = self._space.sample(self._rng)
        return Suggestion(setting, self._name)

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """Nothing is learned."""
