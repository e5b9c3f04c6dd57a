"""CMA-ES: a normal distribution that learns the shape of the valley it is in."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from acumen.learners._parameters import check_between
from acumen.learners.search.genes import Matrix
from acumen.learners.search.searcher import Suggestion
from acumen.learners.search.space import Space


def package() -> Any:
    """The package cmaes.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import cmaes
    except ImportError:
        raise ImportError("CmaEs needs cmaes: pip install 'acumen[search]'") from None
    return cmaes


@dataclass(frozen=True)
class CmaEs:
    """Draw from a normal distribution, move it to the better half, learn which directions go along.

    When to use it: numbers only, more than a few hundred evaluations, valleys that lie askew.
    Flags and categories are rounded to, which is a crutch: prefer the others for them. Needs the
    package cmaes (``pip install acumen[search]``).

    Args:
        sigma: First step, as a share of each range.
        population: Settings a generation; 0: 4 + 3 ln(genes), as is usual.

    Raises:
        ValueError: A parameter is out of range.
        ImportError: By ``build``, without cmaes.

    References:
        Hansen & Ostermeier, "Completely derandomized self-adaptation in evolution strategies",
        2001; Nomura & Shibata, "cmaes: a simple yet practical Python library for CMA-ES", 2024.
    """

    sigma: float = 0.2
    population: int = 0

    def __post_init__(self) -> None:
        check_between("sigma", self.sigma, 1e-6, 1.0)
        check_between("population", self.population, 0, 1e6)

    def build(self, space: Space, seed: int) -> "CmaEsSearcher":
        """Build the searcher."""
        cmaes = package()

        def optimizer(mean: Matrix, population: int, seed: int) -> Any:
            return cmaes.CMA(
                mean=mean,
                sigma=self.sigma,
                bounds=np.array([[0.0, 1.0]] * len(mean)),
                seed=seed % (1 << 31),
                population_size=population or None,
            )

        return CmaEsSearcher(self, space, seed, optimizer)


class CmaEsSearcher:
    """Holds the distribution; see `CmaEs`."""

    def __init__(self, spec: CmaEs, space: Space, seed: int, optimizer: Any) -> None:
        self._spec, self._space, self._seed, self._optimizer = spec, space, seed, optimizer
        # A code of k values is k intervals of equal width.
        self._size = np.maximum(space.layout.cardinality, 1).astype(float)
        self._code = space.layout.cardinality > 0
        # One gene alone has no covariance: a second one goes along, and is not looked at.
        mean = np.where(self._code, (space.default_genes + 0.5) / self._size, space.default_genes)
        self._mean = np.concatenate([mean, np.full(max(0, 2 - len(mean)), 0.5)])
        self._cma = optimizer(self._mean, spec.population, seed)
        self._waiting: dict[str, list[Matrix]] = {}
        self._solutions: list[tuple[Matrix, float]] = []
        self._worst = 0.0
        self._restarts = 0

    def ask(self) -> Suggestion:
        """A draw, rounded to a valid setting."""
        for _ in range(20):
            point = self._cma.ask()
            setting = self._space.setting(self._genes(point)[0])
            if self._space.valid(setting):
                break
        else:
            setting = self._space.sample(np.random.default_rng([self._seed, self._restarts]))
        if len(self._waiting) > 1024:
            del self._waiting[next(iter(self._waiting))]
        self._waiting.setdefault(self._space.key(setting), []).append(point)
        return Suggestion(setting, "cma-es")

    def _genes(self, point: Matrix) -> Matrix:
        genes = point[None, : self._space.layout.count]
        genes = np.where(self._code, np.floor(genes * self._size), genes)
        return self._space.canonical(self._space.layout.snap(genes))

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """A generation that is complete moves the distribution; others' results do not."""
        if value is not None:
            self._worst = max(self._worst, value)
        waiting = self._waiting.get(self._space.key(suggestion.setting))
        if not waiting:
            return
        point = waiting.pop()
        if not waiting:
            del self._waiting[self._space.key(suggestion.setting)]
        # What failed is worse than everything; by how much does not matter to ranks.
        cost = self._worst + abs(self._worst) + 1.0 if value is None else value
        self._solutions.append((point, cost))
        if len(self._solutions) == self._cma.population_size:
            self._cma.tell(self._solutions)
            self._solutions = []
            if self._cma.should_stop():  # anew, with a larger population (Auger & Hansen, 2005)
                self._restarts += 1
                size = self._cma.population_size * 2
                self._cma = self._optimizer(self._mean, size, self._seed + self._restarts)
                self._waiting.clear()
