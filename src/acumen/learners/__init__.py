"""Learners: one file, one algorithm. Each is a small description that builds a native learner.

`SquareCB` and the others are immutable descriptions (parameters only); ``build`` makes the native
learner that a `Choice` asks and teaches. `acumen.learners.vowpal_wabbit` is an optional adapter to
somebody else's learners.
"""

from acumen.learners.binned_additive import BinnedAdditive
from acumen.learners.epsilon_greedy import EpsilonGreedy
from acumen.learners.lin_ucb import LinUCB
from acumen.learners.linear_thompson import LinearThompson
from acumen.learners.softmax_gradient import SoftmaxGradient
from acumen.learners.square_cb import SquareCB

__all__ = [
    "BinnedAdditive",
    "EpsilonGreedy",
    "LinUCB",
    "LinearThompson",
    "SoftmaxGradient",
    "SquareCB",
]
