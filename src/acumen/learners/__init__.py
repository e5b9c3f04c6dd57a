"""Learners: one file, one algorithm. Each is a small description that builds a native learner.

`SquareCB` and the others are immutable descriptions (parameters only); ``build`` makes the native
learner that a `Choice` asks and teaches. `VowpalWabbit` is an optional
adapter to somebody else's; it stands outside `__all__`, because the contract of
`acumen.testing` is about what is written here.
"""

from acumen.learners.actor_critic import ActorCritic
from acumen.learners.apprentice import Apprentice
from acumen.learners.binned_additive import BinnedAdditive
from acumen.learners.epsilon_greedy import EpsilonGreedy
from acumen.learners.lin_ucb import LinUCB
from acumen.learners.linear_thompson import LinearThompson
from acumen.learners.q_lambda import QLambda
from acumen.learners.sarsa_lambda import SarsaLambda
from acumen.learners.softmax_gradient import SoftmaxGradient
from acumen.learners.square_cb import SquareCB
from acumen.learners.vowpal_wabbit import VowpalWabbit as VowpalWabbit

__all__ = [
    "ActorCritic",
    "Apprentice",
    "BinnedAdditive",
    "EpsilonGreedy",
    "LinUCB",
    "LinearThompson",
    "QLambda",
    "SarsaLambda",
    "SoftmaxGradient",
    "SquareCB",
]
