"""Regularised evolution: the best of a few changes a little, the oldest dies."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from acumen.learners._parameters import check_between
from acumen.learners.search.genes import Matrix
from acumen.learners.search.searcher import Suggestion
from acumen.learners.search.space import Setting, Space


@dataclass(frozen=True)
class RegularizedEvolution:
    """Keep a population, take the best of a random few, change it a little; the oldest dies.

    When to use it: where an evaluation is cheap (thousands of them), and parameters matter
    together. Dying of age, not of being worst, it gets over a measurement that was merely lucky.
    It starts near the default and anywhere: half of the first ones are the default with many
    changes, half are drawn at random.

    Args:
        population: Settings that are kept.
        sample: How many of them compete to be changed.
        changes: Parameters that change at once, on average.

    Raises:
        ValueError: A parameter is out of range.

    Example:
        >>> from acumen.learners.search import Integer, RegularizedEvolution, Space
        >>> searcher = RegularizedEvolution().build(Space({"n": Integer(0, 1000)}), seed=1)
        >>> costs = []
        >>> for _ in range(200):
        ...     suggestion = searcher.ask()
        ...     costs.append(abs(suggestion.setting["n"] - 700))
        ...     searcher.tell(suggestion, costs[-1])
        >>> min(costs) < 10
        True

    References:
        Real, Aggarwal, Huang & Le, "Regularized evolution for image classifier architecture
        search", AAAI 2019.
    """

    population: int = 20
    sample: int = 5
    changes: float = 1.5

    def __post_init__(self) -> None:
        check_between("population", self.population, 2, 1e6)
        check_between("sample", self.sample, 1, self.population)
        check_between("changes", self.changes, 1.0, 1e6)

    def build(self, space: Space, seed: int) -> "EvolutionSearcher":
        """Build the searcher."""
        return EvolutionSearcher(self, space, seed)


class EvolutionSearcher:
    """Holds the population; see `RegularizedEvolution`."""

    def __init__(self, spec: RegularizedEvolution, space: Space, seed: int) -> None:
        self._spec, self._space = spec, space
        self._rng = np.random.default_rng(seed)
        self._population: deque[tuple[float, Setting]] = deque(maxlen=spec.population)
        self._asked = 0

    def ask(self) -> Suggestion:
        """A child of the best of a few; at first the default, changed more and more."""
        self._asked += 1
        if len(self._population) < max(1, self._spec.population // 2):
            if self._asked == 1:
                return Suggestion(dict(self._space.default), "evolution")
            if self._asked % 2:
                return Suggestion(self._space.sample(self._rng), "evolution")
            most = max(2.0, self._space.layout.count / 2)
            changes = float(self._rng.uniform(1.0, most))
            return self._child(self._space.default_genes, changes)
        few = self._rng.integers(len(self._population), size=self._spec.sample)
        parent = min((self._population[i] for i in few), key=lambda member: member[0])[1]
        return self._child(self._space.genes([parent])[0], self._spec.changes)

    def _child(self, parent: Matrix, changes: float) -> Suggestion:
        for _ in range(20):
            genes = self._space.mutate(parent[None], self._rng, changes=changes)[0]
            setting = self._space.setting(genes)
            if self._space.valid(setting):
                return Suggestion(setting, "evolution")
        return Suggestion(self._space.sample(self._rng), "evolution")

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """It joins the population; what has failed, as the worst of all."""
        cost = float("inf") if value is None else value
        self._population.append((cost, suggestion.setting))
