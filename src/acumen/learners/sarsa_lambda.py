"""True online Sarsa(λ), with linear action values or a hidden layer."""

from dataclasses import dataclass

from acumen import _native
from acumen.learners._parameters import check_between


@dataclass(frozen=True)
class SarsaLambda:
    """Learn what is still to come after each arm, if one goes on as one does.

    When to use it: with `Choice.episode`, in doubt. It values what is really served, exploration
    and the default's share included, and so keeps away from where a slip is dear. It takes arms of
    any kind: those with features (`Candidates`, `Range`) share one function.

    Args:
        rate: Step size; with 1 a prediction would be exact at once, until the next one.
        trace: λ. How far a surprise reaches back: 1 to the beginning, 0 to the last step.
        epsilon: Share of uniformly drawn arms at the beginning.
        decay: Epsilon falls with the steps learned: ``epsilon * (1 + steps / arms) ** -decay``.
        temperature: 0: else the best arm is taken. Above: arms are drawn by softmax of their
            values, over `temperature` root mean squares of what they were moved towards.
        bonus: What an arm never tried in such a context counts more, in the same unit; it
            falls with the root of the tries.
        settling: How the step falls with the times ``n`` that an arm was taken in such a context:
            ``(1 + n / 10) ** -settling``.
        hidden: Units of a hidden layer (tanh), 0 to 1024, whose traces are kept too. 0: values
            are linear. For what no line can tell apart; where one can, a hidden layer learns
            more slowly and is the likelier to settle for less.
        seed: Of the hidden layer's first weights.

    Raises:
        ValueError: A parameter is out of range.

    Example:
        >>> import numpy as np
        >>> learner = SarsaLambda().build(dimension=2, arms=2, features=0)
        >>> xs = np.array([[1, 0], [1, 1]], np.float32)  # before and after the first choice
        >>> half = np.full(2, 0.5, np.float32)
        >>> for _ in range(50):
        ...     for first in (0, 1):  # the first choice decides, the reward comes later
        ...         arms = np.array([first, 0], np.uint32)
        ...         rewards = np.array([0.0, first], np.float32)
        ...         taken = learner.learn_episode(xs, arms, half, rewards, 1.0, True)
        >>> int(learner.distribution(xs[0]).argmax())
        1

    References:
        Sutton, "Learning to predict by the methods of temporal differences", Machine Learning
        1988; van Seijen, Mahmood, Pilarski, Machado & Sutton, "True online temporal-difference
        learning", JMLR 2016; with a hidden layer: van Seijen, "Effective multi-step
        temporal-difference learning for non-linear function approximation", 2016.
    """

    rate: float = 0.4
    trace: float = 0.9
    epsilon: float = 1.0
    decay: float = 0.5
    temperature: float = 0.0
    bonus: float = 2.0
    settling: float = 0.7
    hidden: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_between("rate", self.rate, 1e-6, 1.0)
        check_between("trace", self.trace, 0.0, 1.0)
        check_between("epsilon", self.epsilon, 0.0, 1.0)
        check_between("decay", self.decay, 0.0, 2.0)
        check_between("temperature", self.temperature, 0.0, 1e6)
        check_between("bonus", self.bonus, 0.0, 1e6)
        check_between("settling", self.settling, 0.0, 1.0)
        check_between("hidden", self.hidden, 0, 1024)
        check_between("seed", self.seed, 0, 2**63)

    def build(self, dimension: int, arms: int, features: int) -> _native.SequenceLearner:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return _native.temporal_difference(
            dimension,
            arms,
            features,
            best_next=False,
            rate=self.rate,
            trace=self.trace,
            epsilon=self.epsilon,
            decay=self.decay,
            temperature=self.temperature,
            bonus=self.bonus,
            settling=self.settling,
            hidden=self.hidden,
            seed=self.seed,
        )
