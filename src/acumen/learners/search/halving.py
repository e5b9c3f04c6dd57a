"""Successive halving: many settings measured a little, the best of them measured more."""

from dataclasses import dataclass, field

from acumen.learners._parameters import check_between
from acumen.learners.search.racing import Racing
from acumen.learners.search.searcher import Searcher, SearchLearner, Suggestion
from acumen.learners.search.space import Setting, Space
from acumen.learners.search.surrogate import SurrogateSearch


@dataclass(frozen=True)
class SuccessiveHalving:
    """Measure many settings a little; measure the best of them ``factor`` times as much, and so on.

    When to use it: where a measurement can be made in part (fewer iterations, smaller input), and
    a part says something about the whole. A trial's ``fidelity`` tells the part that is wanted; it
    is for whoever measures to heed it, and to tell values that are comparable within one fidelity.
    Asynchronous: a setting goes up as soon as it is among the best ``1 / factor`` of its rung, so
    parallel trials never wait for one another.

    Args:
        inner: The learner that suggests new settings, and learns from the lowest rung.
        least: The smallest part, in (0, 1].
        factor: How much more the next rung is.

    Raises:
        ValueError: A parameter is out of range.

    Example:
        >>> from acumen.learners.search import Integer, Space, SuccessiveHalving
        >>> searcher = SuccessiveHalving(least=0.25, factor=2).build(Space({"n": Integer(1, 9)}), 1)
        >>> searcher.ask().fidelity
        0.25

    References:
        Jamieson & Talwalkar, "Non-stochastic best arm identification and hyperparameter
        optimization", AISTATS 2016; Li et al., "A system for massively parallel hyperparameter
        tuning", MLSys 2020.
    """

    inner: SearchLearner = field(default_factory=SurrogateSearch)
    least: float = 1 / 9
    factor: float = 3.0

    def __post_init__(self) -> None:
        check_between("least", self.least, 1e-6, 1.0)
        check_between("factor", self.factor, 1.1, 1e6)
        if isinstance(self.inner, (SuccessiveHalving, Racing)):
            raise ValueError(f"{type(self.inner).__name__} cannot be the inner one: both repeat")

    def build(self, space: Space, seed: int) -> "HalvingSearcher":
        """Build the searcher."""
        return HalvingSearcher(self, space, seed)


class Rung:
    """Settings that were measured to one part."""

    def __init__(self, fidelity: float) -> None:
        self.fidelity = fidelity
        self.results: dict[str, tuple[float, Setting]] = {}
        self.promoted: set[str] = set()

    def best(self, factor: float) -> tuple[str, Setting] | None:
        """One that is to go up and has not yet."""
        ordered = sorted(self.results.items(), key=lambda item: item[1][0])
        for key, (_, setting) in ordered[: int(len(ordered) / factor)]:
            if key not in self.promoted:
                return key, setting
        return None


class HalvingSearcher:
    """Holds the rungs; see `SuccessiveHalving`."""

    def __init__(self, spec: SuccessiveHalving, space: Space, seed: int) -> None:
        self._spec, self._space = spec, space
        self._inner: Searcher = spec.inner.build(space, seed)
        fidelities = [1.0]
        while fidelities[-1] > spec.least * (1 + 1e-9):
            fidelities.append(max(fidelities[-1] / spec.factor, spec.least))
        self._rungs = [Rung(fidelity) for fidelity in reversed(fidelities)]

    def ask(self) -> Suggestion:
        """One that goes up, from the highest rung that has one; or a new one."""
        for lower, upper in reversed(list(zip(self._rungs, self._rungs[1:], strict=False))):
            found = lower.best(self._spec.factor)
            if found is not None:
                key, setting = found
                lower.promoted.add(key)
                return Suggestion(dict(setting), "halving", 1.0, upper.fidelity)
        return self._inner.ask()._replace(fidelity=self._rungs[0].fidelity)

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """It is entered at its rung; the inner learner sees the lowest one."""
        rung = min(self._rungs, key=lambda rung: abs(rung.fidelity - suggestion.fidelity))
        if value is not None:
            key = self._space.key(suggestion.setting)
            rung.results[key] = value, dict(suggestion.setting)
        if rung is self._rungs[0]:
            self._inner.tell(suggestion, value)
