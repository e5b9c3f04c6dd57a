"""The default: several searchers take turns, and a choice learns which of them to ask."""

from dataclasses import dataclass

import numpy as np

from acumen.core import Choice, maximize
from acumen.learners._parameters import check_between
from acumen.learners.linear_thompson import LinearThompson
from acumen.learners.search.evolution import RegularizedEvolution
from acumen.learners.search.observations import Observations
from acumen.learners.search.racing import Referee
from acumen.learners.search.searcher import Searcher, SearchLearner, Suggestion
from acumen.learners.search.space import Space
from acumen.learners.search.surrogate import SurrogateSearch, SurrogateSearcher

WAITING_MAX = 1024


@dataclass(frozen=True)
class Portfolio:
    """Let several search learners take turns; learn which of them finds improvements here.

    When to use it: nearly always; it is the default. Which learner is to be asked is itself a
    decision of an `acumen.Choice`: its arms are the members, its feedback says how many of the
    settings seen so far a suggestion has beaten. The first member is the choice's default and
    keeps a `share` of the decisions for good. Where measurements are noisy, leaders are measured
    again (see `Racing`).

    Args:
        members: Search learners, no two of one name; empty: `SurrogateSearch` and
            `RegularizedEvolution`.
        share: Of the suggestions, what the first member makes whatever is learned.
        repeats: Largest share of trials that measure a setting again, where there is noise.

    Raises:
        ValueError: A parameter is out of range.

    References:
        Ansel et al., "OpenTuner: an extensible framework for program autotuning", PACT 2014.
    """

    members: tuple[SearchLearner, ...] = ()
    share: float = 0.9
    repeats: float = 0.1

    def __post_init__(self) -> None:
        check_between("share", self.share, 0.0, 0.99)
        check_between("repeats", self.repeats, 0.0, 0.9)

    def build(self, space: Space, seed: int) -> "PortfolioSearcher":
        """Build the searcher."""
        return PortfolioSearcher(self, space, seed)


class PortfolioSearcher:
    """Holds the members and the choice between them; see `Portfolio`."""

    def __init__(self, spec: Portfolio, space: Space, seed: int) -> None:
        self._space = space
        self._seen = Observations(space)
        self._referee = Referee(self._seen, spec.repeats, repeats=8)
        members = spec.members or (SurrogateSearch(), RegularizedEvolution(population=12))
        if len({type(member) for member in members}) < len(members):
            raise ValueError("two members are of one kind: they could not be told apart")
        self._members: dict[str, Searcher] = {}
        for number, member in enumerate(members):
            self._members[type(member).__name__] = (
                SurrogateSearcher(member, space, seed + number, self._seen)
                if isinstance(member, SurrogateSearch)
                else member.build(space, seed + number)
            )
        self.choice = Choice(
            "search learner",
            arms=list(self._members),
            context={},
            default=next(iter(self._members)),
            metric=maximize("beaten"),
            learner=LinearThompson(half_life=100),
            holdback=spec.share,
            seed=seed,
        )
        self._decisions: dict[str, int] = {}  # key of a setting that was suggested → decision

    def ask(self) -> Suggestion:
        """What the member that is chosen suggests, or a leader once more."""
        row = self._referee.again()
        if row is not None:
            return Suggestion(self._seen.setting(row), "again")
        decision = self.choice.choose()
        suggestion = self._members[decision.arm].ask()
        if len(self._decisions) == WAITING_MAX:
            del self._decisions[next(iter(self._decisions))]
        self._decisions[self._space.key(suggestion.setting)] = decision.id
        return suggestion._replace(
            learner=decision.arm, propensity=float(decision.propensity) * suggestion.propensity
        )

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """Told to all members; how it ranks is told to the choice."""
        means = self._seen.means()
        beaten = 0.0
        if value is not None and len(means):
            beaten = np.count_nonzero(means > value) / len(means)
        row = self._seen.add(suggestion.setting, value)
        decision = self._decisions.pop(self._seen.keys[row], None)
        if decision is not None:
            self.choice.feedback(decision, beaten=beaten**2)
        for member in self._members.values():
            member.tell(suggestion, value)
