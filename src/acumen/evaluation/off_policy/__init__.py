"""What a policy would have earned, from the log of another one.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> context = rng.standard_normal((2000, 1))
>>> arm = rng.integers(2, size=2000)
>>> reward = np.where(arm == (context[:, 0] > 0), 1.0, 0.0) + rng.normal(0, 0.1, 2000)
>>> log = DecisionLog.of(arm, np.full(2000, 0.5), reward, context=context)
>>> right = estimate(log, lambda context: int(context["x0"] > 0))
>>> right.low <= 1.0 <= right.high
True
>>> compare(log, 0, "uniform").verdict
'undecided'
>>> estimate(log.take(np.arange(100)), 0).verdict
'not enough data: effective sample size 50 of the 100 needed'
"""

from acumen.evaluation.off_policy.compare import Difference, compare
from acumen.evaluation.off_policy.direct_method import DirectMethod
from acumen.evaluation.off_policy.doubly_robust import DoublyRobust
from acumen.evaluation.off_policy.estimate import Estimate, Limits, estimate, estimates
from acumen.evaluation.off_policy.estimator import Estimator, Modelling
from acumen.evaluation.off_policy.ips import IPS
from acumen.evaluation.off_policy.log import DecisionLog, LogError
from acumen.evaluation.off_policy.policies import Policy, PolicyError
from acumen.evaluation.off_policy.records import read_records
from acumen.evaluation.off_policy.snips import SNIPS
from acumen.evaluation.off_policy.switch import Switch

__all__ = [
    "IPS",
    "SNIPS",
    "DecisionLog",
    "Difference",
    "DirectMethod",
    "DoublyRobust",
    "Estimate",
    "Estimator",
    "Limits",
    "LogError",
    "Modelling",
    "Policy",
    "PolicyError",
    "Switch",
    "compare",
    "estimate",
    "estimates",
    "read_records",
]
