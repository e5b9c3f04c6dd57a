"""Bayesian optimisation within a millisecond: a Gaussian process, asked near the best.

The time of a suggestion goes into some hundred candidates, in three rounds: settings near the best
ones, then near the most promising of those, and what two of them changed, together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from acumen.learners._parameters import check_between
from acumen.learners.search.gaussian_process import GaussianProcess, product
from acumen.learners.search.genes import Matrix, Vector
from acumen.learners.search.observations import Observations
from acumen.learners.search.searcher import Suggestion
from acumen.learners.search.space import Setting, Space

FEW = 3  # settings before there is a model
FIT_STEPS = 6
FIT_STEPS_FIRST = 20
LOGISTIC = 1.702  # that many times steeper, a logistic curve is nearest to the normal one
ROUNDS = (48, 32)  # candidates
PICKED_AT = (
    40,
    120,
    200,
    280,
    360,
    440,
    520,
    600,
)  # settings seen, from which on one more is picked at a time
PARENTS = 8
WAITING_MAX = 32  # settings that were suggested and of which nothing was heard yet


@dataclass(frozen=True)
class SurrogateSearch:
    """Fit a Gaussian process to what was measured, try what promises the largest improvement.

    When to use it: where an evaluation takes long enough that each should count. Every feature has
    a relevance of its own, so that of a hundred flags the three that matter are found; failed
    settings are avoided by a second set of weights of the same process. At most `points` settings
    are in the model: the best, the newest, and a few others.

    Args:
        points: Settings that the model holds; time grows with its square.

    Raises:
        ValueError: A parameter is out of range.

    References:
        Jones, Schonlau & Welch, "Efficient global optimization of expensive black-box functions",
        1998; Hvarfner, Hellsten & Nardi, "Vanilla Bayesian optimization performs great in high
        dimensions", ICML 2024 (priors that shrink with the dimension); Wan et al., "Think global
        and act local: Bayesian optimisation over high-dimensional categorical and mixed search
        spaces", ICML 2021 (candidates near the best).
    """

    points: int = 128

    def __post_init__(self) -> None:
        check_between("points", self.points, 8, 2000)

    def build(self, space: Space, seed: int) -> "SurrogateSearcher":
        """Build the searcher."""
        return SurrogateSearcher(self, space, seed)


class Pick(NamedTuple):
    """A setting that will be suggested."""

    setting: Setting
    key: str
    genes: Vector


class SurrogateSearcher:
    """Holds observations and model; see `SurrogateSearch`.

    Args:
        spec: the parameters.
        space: what may be set.
        seed: of its chance.
        seen: observations that somebody else adds to; None: it keeps its own.
    """

    def __init__(
        self, spec: SurrogateSearch, space: Space, seed: int, seen: Observations | None = None
    ) -> None:
        self._spec, self._space = spec, space
        self._rng = np.random.default_rng(seed)
        self._own = seen is None
        self._seen = Observations(space) if seen is None else seen
        self._process = GaussianProcess(space.layout.width)
        self._rows: list[int] = []  # of observations, for the process's points
        self._taken = 0  # observations that were looked at
        self._fitted_at = 0
        self._waiting: dict[str, Matrix] = {}
        self._picked: list[Pick] = []
        parts = [np.full(s.stop - s.start, i) for i, s in enumerate(space.layout.encoded)]
        self._gene_of = np.concatenate(parts)

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """Remembers it; the model takes it in when it is asked next."""
        if self._own:
            self._seen.add(suggestion.setting, value)

    def ask(self) -> Suggestion:
        """What promises most."""
        for key in [key for key in self._waiting if key in self._seen.row_of]:
            del self._waiting[key]
        if len(self._seen) < FEW:
            pick = self._first()
        else:
            if not self._picked:
                self._picked = self._most_promising()
            pick = self._picked.pop(0)
        if len(self._waiting) == WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[pick.key] = pick.genes
        return Suggestion(pick.setting, "surrogate")

    def _first(self) -> Pick:
        """The default, then the default with many changes."""
        key = self._space.key(self._space.default)
        if key not in self._seen.row_of and key not in self._waiting:
            return Pick(dict(self._space.default), key, self._space.default_genes)
        base = np.repeat(self._space.default_genes[None], 20, axis=0)
        changes = float(self._rng.uniform(1.0, max(2.0, self._space.layout.count / 2)))
        changed = self._space.mutate(base, self._rng, changes=changes)
        found = self._settle(changed, range(len(changed)))
        return self._drawn() if found is None else found[1]

    def _drawn(self) -> Pick:
        genes = self._space.sample_genes(1, self._rng)[0]
        setting = self._space.setting(genes)
        return Pick(setting, self._space.key(setting), genes)

    # ---- the model -----------------------------------------------------------------------------

    def _update(self) -> Vector:
        """Takes in what is new; returns the targets of the process's points, float64[n]."""
        total, process, seen = len(self._seen), self._process, self._seen
        due = total - self._fitted_at >= max(2, total // 5)
        if due or len(process) > self._spec.points + 40:
            self._rows = self._chosen()
            features = self._space.layout.encode(seen.genes[self._rows])
            targets: Vector = seen.targets()[self._rows]
            if due:
                steps = FIT_STEPS if self._fitted_at else FIT_STEPS_FIRST
                process.fit(features, seen.counts[self._rows], targets, steps)
                self._fitted_at = total
            else:
                process.set_points(features, seen.counts[self._rows])
        else:
            if total > self._taken:
                process.add_points(self._space.layout.encode(seen.genes[self._taken :]))
                self._rows += range(self._taken, total)
            targets = seen.targets()[self._rows]
        self._taken = total
        return targets

    def _chosen(self) -> list[int]:
        total, most = len(self._seen), self._spec.points
        if total <= most:
            return list(range(total))
        best = np.argsort(self._seen.targets(), kind="stable")[: most // 2].tolist()
        kept = dict.fromkeys([*best, *range(total - most // 3, total)])
        others = [row for row in range(total) if row not in kept]
        more = self._rng.choice(len(others), most - len(kept), replace=False)
        return sorted([*kept, *(others[i] for i in more)])

    # ---- what to try ---------------------------------------------------------------------------

    def _most_promising(self) -> list[Pick]:
        targets = self._update()
        process = self._process
        failing = (self._seen.failures > self._seen.counts)[self._rows]
        failed = float(failing.mean())
        both = process.weights(np.stack([targets, failing - failed], axis=1))
        believed = np.where(failing, np.inf, process.fitted(targets, both[:, 0]))
        order = np.argsort(believed, kind="stable")[:PARENTS]
        best = min(float(believed[order[0]]), float(targets.max()))
        base = self._seen.genes[[self._rows[i] for i in order]]
        known = process.extended(self._waiting_features()) if self._waiting else process
        both = np.concatenate([both, np.zeros((len(known) - len(process), 2))])

        def merits(features: Matrix) -> Vector:
            covariances = known.covariances(features)
            mean, fails = product(covariances, both).T
            deviation = np.sqrt(known.variances(covariances))
            merit = log_improvement((best - mean) / deviation) + np.log(deviation)
            if failed:
                merit += np.log1p(-np.minimum(np.maximum(fails + failed, 0.0), 0.99))
            return merit

        pool, features, merit = self._pool(base, merits)
        alike = process.alike(features)
        picked: list[Pick] = []
        for left in range(sum(len(self._seen) >= size for size in PICKED_AT), -1, -1):
            order = np.argsort(-merit, kind="stable")
            found = self._settle(pool, order, picked)
            if found is None:
                break
            row, pick = found
            picked.append(pick)
            if left:  # the next one is to say something that this one does not
                merit = merit + np.log(np.maximum(1.0 - alike(row) ** 2, 1e-9))
        return picked or [self._drawn()]

    def _waiting_features(self) -> Matrix:
        return self._space.layout.encode(np.array(list(self._waiting.values())))

    def _pool(
        self, parents: Matrix, merits: Callable[[Matrix], Vector]
    ) -> tuple[Matrix, Matrix, Vector]:
        """Candidates, their features and merits; each round changes the best of the last."""
        space, rng = self._space, self._rng
        by_gene = np.bincount(self._gene_of, self._process.relevance, space.layout.count)
        weights = by_gene / by_gene.sum() + 1.0 / space.layout.count
        pool, merit = np.empty((0, space.layout.count)), np.empty(0)
        features = np.empty((0, space.layout.width))
        most = max(2.0, min(6.0, space.layout.count / 3))
        for number, size in enumerate(ROUNDS):
            chosen = np.minimum(rng.geometric(0.35, size=size) - 1, len(parents) - 1)
            base = parents[chosen]
            crossed = size // 3
            one, two = parents[rng.integers(len(parents), size=(2, crossed))]
            # What two of them changed, together.
            united = np.where(one != parents[0], one, two)
            changes = np.where(rng.random(size) < 0.6, 1.0, rng.uniform(1.0, most, size))
            new = space.mutate(base, rng, changes=changes, weights=weights)
            if number:
                new[:crossed] = space.canonical(united)
            else:
                strangers = max(1, size // 12)
                new[:strangers] = space.canonical(space.layout.draw(strangers, rng))
            encoded = space.layout.encode(new)
            merit = np.concatenate([merit, merits(encoded)])
            pool, features = np.concatenate([pool, new]), np.concatenate([features, encoded])
            parents = pool[np.argsort(-merit, kind="stable")[:PARENTS]]
        return pool, features, merit

    def _settle(
        self, pool: Matrix, order: Iterable[int], but: Sequence[Pick] = ()
    ) -> tuple[int, Pick] | None:
        """The first of these that is valid and new, and its row."""
        for row in order:
            genes = pool[row]
            setting = self._space.setting(genes)
            key = self._space.key(setting)
            new = key not in self._seen.row_of and key not in self._waiting
            new = new and all(key != other.key for other in but)
            if new and self._space.valid(setting):
                return row, Pick(setting, key, genes)
        return None


def log_improvement(z: Vector) -> Vector:
    """Logarithm of the improvement that is expected of a logistic variable over -z, float64[n].

    In place of the normal distribution's: its tails are straight lines, so that nothing underflows,
    and being heavier they trust the model less.
    """
    steep = LOGISTIC * z
    found: Vector = np.where(
        steep < -30.0, steep, np.log(np.logaddexp(0.0, np.maximum(steep, -30.0)))
    )
    return found
