"""An apprentice: imitates the heuristic from the log until it reproduces it, then improves."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.core.learner import LearnerSpec
from acumen.learners._parameters import check_between
from acumen.learners.binned_additive import BinnedAdditive


@dataclass(frozen=True)
class Apprentice:
    """Take the default for a teacher, then surpass it: no cold start.

    When to use it: where today's heuristic is good, and a learner that begins with nothing would
    have to make its mistakes first. Let the choice run in mode ``shadow`` (or `Choice.replay` a
    journal of that mode): every decision then shows what the heuristic does, and a model of it is
    taught and examined on decisions that it has not seen. Switched on, the policy is
    (1 - h) · imitation + h · own, where h

    - is 0 until the imitation is proven to agree with the heuristic;
    - is then ``trial``: the learner's own policy, taught by all lessons, is tried;
    - doubles each time that policy is proven better than the imitation by what the decisions
      brought, and is halved (to ``trial`` at least) each time it is proven worse.

    Until its own policy is proven better, a choice with this learner therefore earns at most
    (1 - agreement + trial) · (the difference between the best and the worst reward) less than the
    heuristic. Without a log it is the inner learner alone, and with `Candidates`, too: what else
    was on offer is not known afterwards. (The points of a `Range` are: those it imitates.) The
    model of the heuristic is a multinomial logistic regression over lines and curves of the inputs;
    built learners tell their ``agreement`` with the heuristic and their own policy's ``share``, h.

    Args:
        inner: The learner that improves: a native one, not of sequences.
        agreement: Share of contexts in which the imitation has to do what the heuristic does.
        trial: Share of the own policy before it is proven better.
        error: Probability that the agreement is ever found by mistake, and the same of the own
            policy being better.

    Raises:
        ValueError: A parameter is out of range.
        TypeError: The inner one is no learner, or, found by ``build``, not native or of sequences.

    Example:
        >>> import numpy as np
        >>> learner = Apprentice(agreement=0.8).build(dimension=2, arms=3, features=0)
        >>> rng = np.random.default_rng(0)
        >>> for x in np.c_[np.ones(600), rng.uniform(-2, 2, 600)].astype(np.float32):
        ...     arm = int(x[1] > 0) + 1  # the heuristic, which never takes arm 0
        ...     taken = learner.learn(x, arm, 1.0, reward=0.5, demonstrated=True)
        >>> learner.agreement > 0.9, learner.share
        (True, 0.1)
        >>> p = learner.distribution(np.array([1.0, 1.5], np.float32))
        >>> bool(p[2] > 0.9)
        True

    References:
        Zhang, Agarwal, Daumé, Langford & Negahban, "Warm-starting contextual bandits: robustly
        combining supervised and bandit feedback", ICML 2019; Wu, Shariff, Lattimore & Szepesvári,
        "Conservative bandits", ICML 2016.
    """

    inner: LearnerSpec = field(default_factory=BinnedAdditive)
    agreement: float = 0.9
    trial: float = 0.1
    error: float = 0.05

    def __post_init__(self) -> None:
        if not hasattr(self.inner, "build"):
            raise TypeError(f"inner must be a learner's description, not {self.inner!r}")
        check_between("agreement", self.agreement, 0.01, 0.9999)
        check_between("trial", self.trial, 1e-4, 1.0)
        check_between("error", self.error, 1e-9, 0.5)

    def build(self, dimension: int, arms: int, features: int) -> _native.Apprentice:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return self._around(self.inner.build(dimension, arms, features), None)

    def build_fixed(self, dimension: int, table: NDArray[np.float32]) -> _native.Apprentice:
        """The same for arms with features, float32[arms, features], that every call brings."""
        return self._around(self.inner.build(dimension, *table.shape), table)

    def _around(self, own: object, table: NDArray[np.float32] | None) -> _native.Apprentice:
        if not isinstance(own, _native.Learner) or isinstance(own, _native.SequenceLearner):
            raise TypeError(f"needs a native learner of single choices, not {self.inner!r}")
        return _native.apprentice(
            own, agreement=self.agreement, trial=self.trial, error=self.error, table=table
        )
