"""The learned choice of this domain, as the race runs it.

Whoever wants the cache itself imports `acumen.Cache`; both call the same kernel
(`native/include/acumen/caching/learned_eviction.hpp`, which explains the policy).
"""

from __future__ import annotations

import time

from acumen import _native
from acumen.evaluation import Contender, Measurement
from acumen.operating_systems.caching.workloads import Trace

# The policy tosses coins; so many seeds give the interval around its mean.
SEEDS = 5


def learned_contender() -> Contender:
    """Acumen's eviction and admission, from a cold start on every trace."""
    return Contender(
        name="acumen",
        kind="learned",
        measure=measure_learned,
        cost=0.3,
        repeats=SEEDS,
        about="learned: lowest Gittins index of per-class hazards, may decline to admit",
    )


def measure_learned(trace: Trace, fraction: float, seed: int) -> Measurement:
    """One pass over the trace with a cache of `fraction` of its distinct keys."""
    keys = trace.keys()
    start = time.process_time()
    misses, _ = _native.simulate_learned(keys, trace.capacity(fraction), seed=seed)
    elapsed = time.process_time() - start
    return Measurement(misses / trace.requests, trace.requests, elapsed)
